"""How the viewer answers: files, images, JSON, and the message about a slide that cannot be read."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from starlette.responses import Response

from pathosig.core.errors import PathosigError
from pathosig.core.templates import environment

if TYPE_CHECKING:
    from pathosig.core.study import Specimen, Study

logger = logging.getLogger(__name__)


def bytes_answer(data: bytes, media: str) -> Response:
    """Content of a file, which browsers request again each time."""
    return Response(data, media_type=media, headers={"Cache-Control": "no-store"})


def image_answer(data: bytes) -> Response:
    """A JPEG image, which browsers keep for an hour."""
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


def json_answer(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    data = json.dumps(value, separators=(",", ":"), allow_nan=False, default=float).encode()
    return Response(
        data, status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )


SCRIPTS = {
    "slides": (
        "openseadragon/openseadragon.min.js",
        "page.js",
        "viewer.js",
        "overlay.js",
        "panel.js",
        "keys.js",
    ),
    "cores": ("page.js", "cores.js"),
}
"""The scripts of each page, in the order in which they run."""


def page_answer(page: Literal["slides", "cores"], study: Study) -> Response:
    """One of the viewer's two pages, with links to the other and to the report where the study has them."""
    links = [("Slides", "/")]
    links += [("Cores", "/cores")] if any(s.kind == "tma" for s in study.slides()) else []
    links += [("Report", "/report")] if study.paths.report.is_file() else []
    template = environment("pathosig.viewer").get_template(f"{page}.html.j2")
    text = template.render(
        page=page, title=study.root.name, links=links if len(links) > 1 else (), scripts=SCRIPTS[page]
    )
    return bytes_answer(text.encode(), "text/html; charset=utf-8")


def missing() -> Response:
    """What does not exist here."""
    return json_answer({"error": "not found"}, 404)


def answer_of(specimen: Specimen, make: Callable[[], Response]) -> Response:
    """The answer, or a code and a sentence: 404 for what the slide lacks, 422 for what its decoder could not take.

    Slides come from anywhere, and decoders of other libraries raise errors of every kind: none may reach the browser as a
    traceback with the folders of this machine.
    """
    try:
        return make()
    except PathosigError as error:
        text = f"slide {specimen.id}: {error.message}".replace(str(specimen.path.parent), "…")
        return json_answer({"error": text, "code": error.code}, 404)
    except OSError:
        return json_answer(
            {"error": f"slide {specimen.id}: a file cannot be read.", "code": "E_NOT_FILE"}, 404
        )
    except Exception as error:
        logger.warning("viewer: slide %s: %s", specimen.id, type(error).__name__)
        text = f"slide {specimen.id}: could not be decoded ({type(error).__name__}); run `pathosig check`."
        return json_answer({"error": text, "code": "E_PIXELS"}, 422)
