"""House style of all figures: print sizes, fonts, and saving with the same bytes every time."""

from __future__ import annotations

import base64
import contextlib
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathosig.figures.palette import GRID, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.5
"""Width of one journal column in inches (89 mm)."""
PAGE = 7.2
"""Width of a journal page in inches (183 mm)."""
IMAGE_DPI = 160
"""Resolution of photographs inside SVG files."""
FONT_STACK = "Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', sans-serif"

RC: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "figure.titlesize": 8.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.usetex": False,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "pathosig",
    "svg.image_inline": True,
    "pdf.fonttype": 42,
    "pdf.compression": 6,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The house style for the figures drawn inside; the caller's own settings are put back after."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        settings: Any = RC
        mpl.rcParams.update(settings)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of width x height inches that opens no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, box: Sequence[float], **options: Any) -> Axes:
    """Axes whose box is given in inches: left, bottom, width, height."""
    width, height = figure.get_size_inches()
    left, bottom, w, h = box
    return figure.add_axes((left / width, bottom / height, w / width, h / height), **options)


def bare(axes: Axes) -> Axes:
    """The axes without spines, ticks and labels: a place for text or an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def note(axes: Axes, text: str) -> None:
    """A sentence in the middle of an empty panel: why there is nothing to see."""
    bare(axes)
    axes.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, wrap=True, transform=axes.transAxes)


def svg_bytes(figure: Figure, *, jpeg_quality: int = 88) -> bytes:
    """The figure as SVG with real text and no date, photographs inside as JPEG; same figure, same bytes.

    Examples
    --------
    >>> figure = new_figure(3.5, 2.0)
    >>> svg_bytes(figure) == svg_bytes(figure), b"<svg" in svg_bytes(figure)
    (True, True)
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="svg", dpi=IMAGE_DPI, metadata={"Date": None, "Creator": "pathosig"})
    text = buffer.getvalue().decode("utf-8")
    text = text.replace("'DejaVu Sans'", FONT_STACK)
    return _PNG.sub(lambda m: _as_jpeg(m.group(1), jpeg_quality), text).encode("utf-8")


_DARK = {
    "#ffffff": "#15191e",
    "#1a1a1a": "#e6e9ed",
    "#000000": "#e6e9ed",
    "#5f6670": "#a3adb9",
    "#e3e6ea": "#333a43",
    "#f5f6f8": "#1d232a",
    "#0b4f8a": "#6cb0ee",
    "#0072b2": "#3f9fdb",
    "#d55e00": "#ee7b2b",
    "#4a4f57": "#8e97a3",
    "#dce3ea": "#3a434e",
}
"""Colour of a drawing -> the same on dark paper; hues of HPCs stay as they are."""


def with_dark_mode(svg: bytes) -> bytes:
    """The drawing with a style sheet that turns it dark where the page around it is dark.

    The colours that matplotlib writes into ``style`` attributes are overruled by rules for exactly these attributes, so
    photographs and the colours of data stay.
    """
    rules = ["text{fill:#e6e9ed}"]
    for old, new in _DARK.items():
        target = ":not(text)" if old == "#ffffff" else ""  # white words stand on coloured bars
        rules += [
            f'[style*="fill: {old}"]{target}{{fill:{new}!important}}',
            f'[style*="stroke: {old}"]{{stroke:{new}!important}}',
        ]
    sheet = f"<style>@media screen and (prefers-color-scheme:dark){{{''.join(rules)}}}</style>"
    head, mark, rest = svg.partition(b"<defs>")
    return head + sheet.encode() + mark + rest if mark else svg


def pdf_bytes(figure: Figure) -> bytes:
    """The figure as PDF with embedded TrueType fonts and no date.

    Examples
    --------
    >>> pdf_bytes(new_figure(3.5, 2.0))[:5]
    b'%PDF-'
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(
            buffer, format="pdf", metadata={"CreationDate": None, "ModDate": None, "Creator": "pathosig"}
        )
    return buffer.getvalue()


def png_bytes(figure: Figure, *, dpi: int = 200) -> bytes:
    r"""The figure as PNG.

    Examples
    --------
    >>> png_bytes(new_figure(3.5, 2.0))[:4]
    b'\x89PNG'
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": "pathosig"})
    return buffer.getvalue()


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the figure as .svg, .pdf or .png, decided by the suffix.

    Raises
    ------
    ValueError
        If the suffix is another one.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(new_figure(3.5, 2.0), Path(folder, "empty.svg")).name
    'empty.svg'
    """
    makers = {".svg": svg_bytes, ".pdf": pdf_bytes, ".png": png_bytes}
    if path.suffix.lower() not in makers:
        message = f"{path.name}: a figure is saved as .svg, .pdf or .png."
        raise ValueError(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(makers[path.suffix.lower()](figure))
    return path


_PNG = re.compile(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)")


def _as_jpeg(encoded: str, quality: int) -> str:
    """A photograph as JPEG (a tenth of the size); drawings, small and transparent images unchanged."""
    import numpy as np
    from PIL import Image

    raw = base64.b64decode(encoded)
    if len(raw) < 4096:
        return f"data:image/png;base64,{encoded}"
    with Image.open(io.BytesIO(raw)) as image:
        if image.mode == "RGBA" and np.asarray(image)[..., 3].min() < 255:
            return f"data:image/png;base64,{encoded}"
        if image.convert("RGB").getcolors(maxcolors=4096) is not None:  # a drawing, not a photograph
            return f"data:image/png;base64,{encoded}"
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, format="JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def p_text(p: float | None) -> str:
    """A p-value as printed: ``p = 0.012``, ``p < 0.001``, ``p not estimable``."""
    if p is None or not math.isfinite(p):
        return "p not estimable"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def number(value: float | None, digits: int = 2) -> str:
    """A number for a label; infinite and missing values have their own signs."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= 100_000:
        return ">99,999" if value > 0 else "<−99,999"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}f}".replace("-", "−")


def estimate_text(value: float | None, lower: float | None, upper: float | None, *, digits: int = 2) -> str:
    """Estimate and limits, such as 1.42 (1.10-1.83) with an en dash."""
    if value is None or not math.isfinite(value):
        return "not estimable"
    low, high = ("NR" if v is None else number(v, digits) for v in (lower, upper))
    between = " to " if "−" in low or "−" in high else "–"
    return f"{number(value, digits)} ({low}{between}{high})"


def spread(wanted: Sequence[float], *, step: float, low: float, high: float) -> list[float]:
    """Places at least `step` apart, near the wanted ones (descending) and between the limits if they fit."""
    places: list[float] = []
    for y in wanted:
        places.append(min(y, high, *(p - step for p in places[-1:])))
    floor = low
    for i in range(len(places) - 1, -1, -1):
        places[i] = max(places[i], floor)
        floor = places[i] + step
    return places


def shortened(text: str, at_most: int = 52) -> str:
    """Text that fits a title over one column, cut with an ellipsis."""
    return text if len(text) <= at_most else text[: at_most - 1].rstrip() + "…"


def hpc_name(hpc: int) -> str:
    """An HPC as written on screen: ``HPC 07``."""
    return f"HPC {hpc:02d}"


def coarse_name(group: int) -> str:
    """A coarse group as written on screen: ``Coarse 2``."""
    return f"Coarse {group}"
