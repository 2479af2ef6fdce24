"""The viewer's web application: read-only, token on every route, opaque slide ids."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import PathosigError
from pathosig.core.overlay import tissue_rings
from pathosig.viewer.content import overlay, read_content
from pathosig.viewer.deepzoom import TILE, max_level, parse_index, tile_region
from pathosig.viewer.guard import COOKIE, Guard
from pathosig.viewer.pixels import SlideShelf

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response

    from pathosig.core.study import Specimen, Study
    from pathosig.viewer.content import StudyContent

STATIC = Path(__file__).parent / "static"
FILES = {
    "viewer.js": "text/javascript",
    "viewer.css": "text/css",
    "icon.svg": "image/svg+xml",
    "openseadragon/openseadragon.min.js": "text/javascript",
    "openseadragon/LICENSE.txt": "text/plain",
}


def create_app(study: Study, *, token: str | None = None) -> FastAPI:
    """The application that shows one study.

    Parameters
    ----------
    study
        An open study; only read.
    token
        Secret that every request must carry; a fresh one by default. It is kept in ``app.state.token``.
    """
    from fastapi import FastAPI

    token = token or secrets.token_urlsafe(24)
    content = read_content(study, secrets.token_hex(16))
    shelf = SlideShelf()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, title="pathosig viewer")
    app.state.token = token
    app.state.shelf = shelf
    app.state.study_root = study.root
    _page_routes(app, token)
    _slide_routes(app, study, content)
    app.add_middleware(Guard, token=token)
    return app


def _page_routes(app: FastAPI, token: str) -> None:
    @app.get("/")
    def index() -> Response:
        answer = _bytes((STATIC / "index.html").read_bytes(), "text/html; charset=utf-8")
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/")
        return answer

    @app.get("/static/{name:path}")
    def static(name: str) -> Response:
        if name not in FILES:
            return _missing()
        return _bytes((STATIC / name).read_bytes(), f"{FILES[name]}; charset=utf-8")


def _slide_routes(app: FastAPI, study: Study, content: StudyContent) -> None:
    shelf: SlideShelf = app.state.shelf

    @app.get("/api/study")
    def listing() -> Response:
        exemplars = [
            {"hpc": e.hpc, "slide": e.slide, "x": e.x, "y": e.y, "width": e.width, "index": i}
            for i, e in enumerate(content.exemplars)
        ]
        return _json(
            {"title": content.title, "slides": content.rows, "hpcs": content.hpcs, "exemplars": exemplars}
        )

    @app.get("/api/slides/{key}")
    def slide(key: str) -> Response:
        specimen = content.specimens.get(key)
        if specimen is None:
            return _missing()
        try:
            info = shelf.info(specimen)
        except (PathosigError, OSError) as error:
            return _unreadable(specimen, error)
        width, height = info.level_sizes[0]
        facts = {"width": width, "height": height, "mpp": info.mpp, "tile_size": TILE}
        return _json(facts | {"max_level": max_level(width, height)})

    @app.get("/api/slides/{key}/overlay")
    def hpc_overlay(key: str) -> Response:
        specimen = content.specimens.get(key)
        return _missing() if specimen is None else _table(lambda: overlay(study, specimen))

    @app.get("/api/slides/{key}/tissue")
    def tissue(key: str) -> Response:
        specimen = content.specimens.get(key)
        return (
            _missing()
            if specimen is None
            else _table(lambda: {"rings": [r.tolist() for r in tissue_rings(study, specimen)]})
        )

    @app.get("/api/slides/{key}/tiles/{level}/{column}/{name}")
    def tile(key: str, level: str, column: str, name: str) -> Response:
        specimen = content.specimens.get(key)
        numbers = [parse_index(t) for t in (level, column, name.removesuffix(".jpg"))]
        if specimen is None or not name.endswith(".jpg") or None in numbers:
            return _missing()
        try:
            size = shelf.info(specimen).level_sizes[0]
            region = tile_region(size, *(n for n in numbers if n is not None))
            return _missing() if region is None else _image(shelf.jpeg(specimen, region))
        except (PathosigError, OSError):
            return _missing()

    @app.get("/api/exemplars/{name}")
    def exemplar(name: str) -> Response:
        index = parse_index(name.removesuffix(".jpg")) if name.endswith(".jpg") else None
        if index is None or index >= len(content.exemplars):
            return _missing()
        item = content.exemplars[index]
        try:
            data = shelf.thumbnail(content.specimens[item.slide], (item.x, item.y, item.width), 128)
        except (PathosigError, OSError):
            return _missing()
        return _image(data)


def _bytes(data: bytes, media: str) -> Response:
    from starlette.responses import Response

    return Response(data, media_type=media, headers={"Cache-Control": "no-store"})


def _image(data: bytes) -> Response:
    from starlette.responses import Response

    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


def _json(value: Any, status: int = 200) -> Response:
    from starlette.responses import Response

    data = json.dumps(value, separators=(",", ":"), allow_nan=False, default=float).encode()
    return Response(
        data, status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )


def _missing() -> Response:
    return _json({"error": "not found"}, 404)


def _unreadable(specimen: Specimen, error: Exception) -> Response:
    reason = error.message if isinstance(error, PathosigError) else "the slide file cannot be read"
    return _json({"error": f"slide {specimen.id}: {reason}".replace(str(specimen.path.parent), "…")}, 404)


def _table(make: Any) -> Response:
    try:
        return _json(make())
    except (PathosigError, OSError, KeyError, ValueError):
        return _json({"error": "this table of the slide cannot be read; run `pathosig status`"}, 404)
