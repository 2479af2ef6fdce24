"""The viewer's web application: token on every route, opaque slide ids; it writes names of HPCs, and cores that are corrected."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from pathosig.core.errors import PathosigError
from pathosig.core.overlay import tissue_rings
from pathosig.tiles.spec import TileSpec
from pathosig.viewer.answers import (
    answer_of,
    bytes_answer,
    image_answer,
    json_answer,
    missing,
    page_answer,
)
from pathosig.viewer.arrays import ArrayPages, core_routes
from pathosig.viewer.content import overlay, read_content
from pathosig.viewer.deepzoom import TILE, max_level, parse_index, tile_region
from pathosig.viewer.guard import COOKIE, Guard
from pathosig.viewer.names import rename
from pathosig.viewer.nearest import NearestTissue
from pathosig.viewer.patient import PatientFacts
from pathosig.viewer.pixels import SlideShelf

if TYPE_CHECKING:
    from fastapi import FastAPI

    from pathosig.core.study import Study
    from pathosig.slides import SlideInfo
    from pathosig.viewer.content import StudyContent

READ = ["GET", "HEAD"]
HTML = "text/html; charset=utf-8"
STATIC = Path(__file__).parent / "static"
FILES = {
    "page.js": "text/javascript",
    "viewer.js": "text/javascript",
    "overlay.js": "text/javascript",
    "panel.js": "text/javascript",
    "keys.js": "text/javascript",
    "cores.js": "text/javascript",
    "viewer.css": "text/css",
    "cores.css": "text/css",
    "icon.svg": "image/svg+xml",
    "openseadragon/openseadragon.min.js": "text/javascript",
    "openseadragon/LICENSE.txt": "text/plain",
}


def create_app(study: Study, *, token: str | None = None, read_only: bool = False) -> FastAPI:
    """The application that shows one study.

    Parameters
    ----------
    study
        An open study; only hpc_names.csv and cores.csv are ever written.
    token
        Secret that every request must carry; a fresh one by default. It is kept in ``app.state.token``.
    read_only
        Whether names of HPCs and cores cannot be changed.
    """
    from fastapi import FastAPI

    token = token or secrets.token_urlsafe(24)
    facts = PatientFacts(study)
    content = read_content(study, secrets.token_hex(16), facts)
    shelf = SlideShelf(icc=study.spec(TileSpec).icc)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        shelf.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, title="pathosig viewer", lifespan=lifespan)
    app.state.token = token
    app.state.shelf = shelf
    app.state.study_root = study.root
    _page_routes(app, token, study)
    _study_routes(app, study, content, read_only)
    _slide_routes(app, study, content, facts)
    core_routes(app, ArrayPages.of(study, content.specimens), shelf, writable=not read_only)
    app.add_middleware(Guard, token=token, read_only=read_only)
    return app


def _page_routes(app: FastAPI, token: str, study: Study) -> None:
    @app.api_route("/", methods=READ)
    def index() -> Response:
        answer = page_answer("slides", study)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/")
        return answer

    @app.api_route("/report", methods=READ)
    def report() -> Response:
        path = study.paths.report
        return (
            bytes_answer(with_links(path.read_text(encoding="utf-8")), HTML) if path.is_file() else missing()
        )

    @app.api_route("/static/{name:path}", methods=READ)
    def static(name: str) -> Response:
        if name not in FILES:
            return missing()
        return bytes_answer((STATIC / name).read_bytes(), f"{FILES[name]}; charset=utf-8")


def with_links(page: str) -> bytes:
    """The report with a link to the viewer at every mark that names a slide, or a place on one (over its tile)."""
    name = "[A-Za-z0-9%._~/-]+"
    page = re.sub(f"<!--slide:({name})-->", r'<a href="/#slide=\1">Open in the viewer</a>', page)
    words = 'title="Open in the viewer" aria-label="Open this tile in the viewer"'
    place = rf'<a class="go" href="/#slide=\1&amp;mark=\2" {words}></a>'
    return re.sub(rf"<!--place:({name})\|(\d+,\d+,\d+)-->", place, page).encode()


def _study_routes(app: FastAPI, study: Study, content: StudyContent, read_only: bool) -> None:
    @app.api_route("/api/study", methods=READ)
    def listing() -> Response:
        exemplars = [
            {
                "hpc": e.hpc,
                "coarse": e.coarse,
                "slide": e.slide,
                "x": e.x,
                "y": e.y,
                "width": e.width,
                "index": i,
            }
            for i, e in enumerate(content.exemplars)
        ]
        return json_answer(
            {
                "title": content.title,
                "slides": content.rows,
                "hpcs": named("hpc", content.hpcs),
                "groups": named("coarse", content.groups),
                "exemplars": exemplars,
                "writable": not read_only,
                "report": study.paths.report.is_file(),
                "cores": any(s.kind == "tma" for s in study.slides()),
            }
        )

    names = {f"hpc_{h['hpc']:02d}": h["given"] for h in content.hpcs}
    names |= {f"coarse_{g['coarse']}": g["given"] for g in content.groups}

    def named(level: str, units: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
        digits = "02d" if level == "hpc" else "d"
        return [{**unit, "given": names[f"{level}_{unit[level]:{digits}}"]} for unit in units]

    @app.post("/api/{level}/{number}")
    async def change_name(level: str, number: str, request: Request) -> Response:
        index = parse_index(number)
        columns = {} if index is None else {"hpcs": f"hpc_{index:02d}", "groups": f"coarse_{index}"}
        phenotype = columns.get(level, "")
        if phenotype not in names:
            return missing()
        try:
            names[phenotype] = rename(study, phenotype, json.loads(await request.body())["name"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return json_answer({"error": 'expected {"name": "..."}', "code": "E_INPUT"}, 422)
        except PathosigError as error:
            return json_answer({"error": error.message, "code": error.code}, 422)
        return json_answer({"hpc" if level == "hpcs" else "coarse": index, "given": names[phenotype]})


def _slide_routes(app: FastAPI, study: Study, content: StudyContent, facts: PatientFacts) -> None:
    shelf: SlideShelf = app.state.shelf

    @app.api_route("/api/slides/{key}", methods=READ)
    def slide(key: str) -> Response:
        specimen = content.specimens.get(key)
        return (
            missing()
            if specimen is None
            else answer_of(specimen, lambda: json_answer(_size(shelf.info(specimen))))
        )

    @app.api_route("/api/slides/{key}/overlay", methods=READ)
    def hpc_overlay(key: str) -> Response:
        specimen = content.specimens.get(key)
        if specimen is None:
            return missing()
        return answer_of(specimen, lambda: bytes_answer(overlay(study, specimen), "application/octet-stream"))

    @app.api_route("/api/slides/{key}/tissue", methods=READ)
    def tissue(key: str) -> Response:
        specimen = content.specimens.get(key)
        if specimen is None:
            return missing()
        return answer_of(
            specimen, lambda: json_answer({"rings": [r.tolist() for r in tissue_rings(study, specimen)]})
        )

    @app.api_route("/api/slides/{key}/patient", methods=READ)
    def patient(key: str) -> Response:
        specimen = content.specimens.get(key)
        return (
            missing() if specimen is None else answer_of(specimen, lambda: json_answer(facts.panel(specimen)))
        )

    tissue_behind = NearestTissue(study, content.specimens, content.exemplars)
    weights = [float(str(h["weight"])) for h in content.hpcs]

    @app.api_route("/api/slides/{key}/nearest", methods=READ)
    def nearest(key: str) -> Response:
        specimen = content.specimens.get(key)
        if specimen is None:
            return missing()
        return answer_of(
            specimen, lambda: json_answer([asdict(t) for t in tissue_behind.of(specimen, weights)])
        )

    @app.api_route("/api/slides/{key}/thumbnail.jpg", methods=READ)
    def thumbnail(key: str) -> Response:
        specimen = content.specimens.get(key)
        if specimen is None:
            return missing()
        answer = answer_of(specimen, lambda: image_answer(shelf.overview(specimen, 96)))
        return answer if answer.status_code < 400 else Response(status_code=204)  # the list shows none

    @app.api_route("/api/slides/{key}/tiles/{level}/{column}/{name}", methods=READ)
    def tile(key: str, level: str, column: str, name: str) -> Response:
        specimen = content.specimens.get(key)
        numbers = [parse_index(t) for t in (level, column, name.removesuffix(".jpg"))]
        if specimen is None or not name.endswith(".jpg") or None in numbers:
            return missing()

        def read() -> Response:
            size = shelf.info(specimen).level_sizes[0]
            region = tile_region(size, *(n for n in numbers if n is not None))
            return missing() if region is None else image_answer(shelf.jpeg(specimen, region))

        return answer_of(specimen, read)

    @app.api_route("/api/exemplars/{name}", methods=READ)
    def exemplar(name: str) -> Response:
        index = parse_index(name.removesuffix(".jpg")) if name.endswith(".jpg") else None
        if index is None or index >= len(content.exemplars):
            return missing()
        item = content.exemplars[index]
        specimen, place = content.specimens[item.slide], (item.x, item.y, item.width)
        return answer_of(specimen, lambda: image_answer(shelf.thumbnail(specimen, place, 128)))


def _size(info: SlideInfo) -> dict[str, Any]:
    width, height = info.level_sizes[0]
    top = max_level(width, height)
    return {"width": width, "height": height, "mpp": info.mpp, "tile_size": TILE, "max_level": top}
