"""Core pages of the viewer: each microarray as a whole and core by core, and corrections of its grid."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from pathosig.core.errors import InputError
from pathosig.core.tables import read_csv_rows
from pathosig.viewer.answers import answer_of, image_answer, json_answer, missing, page_answer
from pathosig.viewer.corrections import correct_core, found_core
from pathosig.viewer.deepzoom import Region, parse_index

if TYPE_CHECKING:
    from fastapi import FastAPI

    from pathosig.core.study import Specimen, Study
    from pathosig.viewer.pixels import SlideShelf

OVERVIEW_PX, CORE_PX = 2400, 640


@dataclass(frozen=True, kw_only=True)
class ArrayPages:
    """What the core pages show.

    Attributes
    ----------
    study
        Its tables are read at each request, so that a correction is seen at once.
    arrays
        Opaque id -> slide of a microarray.
    keys
        Name of a specimen -> its opaque id in the list of slides.
    """

    study: Study
    arrays: Mapping[str, Specimen]
    keys: Mapping[str, str]

    @classmethod
    def of(cls, study: Study, specimens: Mapping[str, Specimen]) -> ArrayPages:
        """The pages of a study, with the slides that its viewer lists."""
        arrays = {secrets.token_hex(10): s for s in study.slides() if s.kind == "tma"}
        return cls(study=study, arrays=arrays, keys={s.id: key for key, s in specimens.items()})

    def listing(self) -> list[dict[str, object]]:
        """Arrays with the number of their places and of missing cores.

        A place without tissue to which tma_map.csv assigns no patient is empty and not missing; without a map this is unknown.
        """
        rows = self._rows()
        mapped = {r["parent"] for r in rows if r["patient_id"]}
        states = Counter(
            (r["parent"], "empty" if _is_empty(r) and r["parent"] in mapped else r["status"]) for r in rows
        )
        return [
            {
                "id": key,
                "name": array.id,
                "places": sum(n for (parent, _), n in states.items() if parent == array.id),
                "missing": states[array.id, "missing"],
            }
            for key, array in self.arrays.items()
        ]

    def places(self, array: Specimen) -> list[dict[str, object]]:
        """Every place of an array: where it lies, whose it is, its score and whether the patient's cores agree."""
        patients = _by(self.study.paths.scores, "patient_id")
        cores = _by(self.study.paths.core_scores, "slide_id")
        cohorts = {r["patient_id"]: r.get("cohort", "") for r in read_csv_rows(self.study.paths.patients)}
        out: list[dict[str, object]] = []
        for row in self._rows():
            if row["parent"] != array.id:
                continue
            patient, own = patients.get(row["patient_id"], {}), cores.get(row["slide_id"], {})
            out.append(
                {
                    **{k: round(float(row[k])) for k in ("x", "y", "width", "height")},
                    "row": int(row["row"]),
                    "column": int(row["column"]),
                    "status": row["status"],
                    "tissue": float(row["tissue"] or 0),
                    "patient": row["patient_id"],
                    "cohort": cohorts.get(row["patient_id"], ""),
                    "slide": self.keys.get(row["slide_id"]),
                    "tiles": own.get("n_tiles", ""),
                    "score": own.get("score", ""),
                    "group": own.get("group", ""),
                    "patient_score": patient.get("score", ""),
                    "patient_group": patient.get("group", ""),
                    "agreement": patient.get("core_agreement", ""),
                }
            )
        return out

    def change(self, array: Specimen, change: Any, size: tuple[int, int]) -> None:
        """Move a core, change its status, or put it back where the stage `tma` found it.

        Raises
        ------
        InputError
            If the change names no core, corner or status.
        """
        if not isinstance(change, dict) or not {*change} <= {"row", "column", "x", "y", "status", "restore"}:
            raise InputError("expected row and column with x and y, status, or restore.")
        numbers = [change.get(k) for k in ("row", "column")]
        if not all(type(n) is int and 0 < n < 1000 for n in numbers):
            raise InputError("row and column must be whole numbers from 1.")
        core = f"{array.id}#{numbers[0]}-{numbers[1]}"
        corner, status = (change.get("x"), change.get("y")), change.get("status")
        if change.get("restore"):
            row = found_core(self.study, core)
            corner, status = (float(row["x"]), float(row["y"])), row["status"]
        if corner == (None, None) and status is None:
            raise InputError(f"core {core}: nothing to change.")
        if corner != (None, None) and not all(type(v) in (int, float) for v in corner):
            raise InputError(f"core {core}: x and y must be numbers.")
        place = None if corner == (None, None) else (float(corner[0] or 0), float(corner[1] or 0))
        correct_core(self.study, core, corner=place, status=status, size=size)

    def _rows(self) -> list[dict[str, str]]:
        path = self.study.paths.cores
        return read_csv_rows(path) if path.is_file() else []


def _is_empty(row: Mapping[str, str]) -> bool:
    return row["status"] == "missing" and not row["patient_id"]


def _by(path: Path, column: str) -> dict[str, dict[str, str]]:
    return {r[column]: r for r in read_csv_rows(path)} if path.is_file() else {}


def core_routes(app: FastAPI, pages: ArrayPages, shelf: SlideShelf, *, writable: bool) -> None:
    """Add the routes of the core pages.

    Parameters
    ----------
    app
        The viewer.
    pages
        What they show.
    shelf
        Open slides.
    writable
        Whether the grid can be corrected.
    """
    get = ["GET", "HEAD"]

    @app.api_route("/cores", methods=get)
    def page() -> Response:
        return page_answer("cores", pages.study)

    @app.api_route("/api/arrays", methods=get)
    def listing() -> Response:
        return json_answer({"title": pages.study.root.name, "arrays": pages.listing(), "writable": writable})

    @app.api_route("/api/arrays/{key}", methods=get)
    def array(key: str) -> Response:
        slide = pages.arrays.get(key)
        return missing() if slide is None else answer_of(slide, lambda: json_answer(_described(slide)))

    def _described(slide: Specimen) -> dict[str, object]:
        width, height = shelf.info(slide).level_sizes[0]
        return {"name": slide.id, "width": width, "height": height, "cores": pages.places(slide)}

    @app.api_route("/api/arrays/{key}/overview.jpg", methods=get)
    def overview(key: str) -> Response:
        slide = pages.arrays.get(key)
        return (
            missing()
            if slide is None
            else answer_of(slide, lambda: image_answer(shelf.overview(slide, OVERVIEW_PX)))
        )

    @app.api_route("/api/arrays/{key}/core/{x}/{y}/{width}", methods=get)
    def core(key: str, x: str, y: str, width: str) -> Response:
        slide = pages.arrays.get(key)
        numbers = [parse_index(t) for t in (x, y, width.removesuffix(".jpg"))]
        if slide is None or not width.endswith(".jpg") or None in numbers or numbers[2] == 0:
            return missing()
        left, top, side = (n for n in numbers if n is not None)

        def square() -> Response:
            whole = shelf.info(slide).level_sizes[0]
            if left + side > whole[0] or top + side > whole[1]:
                return missing()
            out = (min(CORE_PX, side), min(CORE_PX, side))
            place = Region(
                x=left, y=top, width=side, height=side, out=out, downsample=max(1, side // CORE_PX)
            )
            return image_answer(shelf.jpeg(slide, place))

        return answer_of(slide, square)

    @app.post("/api/arrays/{key}/cores")
    async def correct(key: str, request: Request) -> Response:
        slide = pages.arrays.get(key)
        if slide is None:
            return missing()
        try:
            change = json.loads(await request.body())
        except ValueError:
            return json_answer({"error": "expected JSON", "code": "E_INPUT"}, 422)
        size = shelf.info(slide).level_sizes[0]
        try:
            pages.change(slide, change, size)
        except InputError as error:
            return json_answer({"error": error.message, "code": error.code}, 422)
        return json_answer({"cores": pages.places(slide)})
