"""Small figures for a patient's page, drawn as SVG in the colours of the page, so that they follow light, dark and print."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from pathosig.scoring.readings import Reading
from pathosig.signature.model import Signature

_WIDTH, _LEFT, _RIGHT = 440.0, 44.0, 14.0
_BINS = 36


def place_among_discovery(signature: Signature, reading: Reading) -> Markup:
    """The score and its interval on the density of the discovery patients' scores, with the cut-off.

    The figure is empty if there is no score, or if the bundle lacks the scores of the discovery patients.
    """
    percentiles = np.asarray(signature.trained_on.percentiles)
    if reading.score is None or len(percentiles) < 2:
        return Markup()
    span = max(float(np.ptp(percentiles)), 1e-9)
    low, high = (
        min(percentiles[0], reading.score) - 0.08 * span,
        max(percentiles[-1], reading.score) + 0.08 * span,
    )

    def x(value: float) -> float:
        part = (float(np.clip(value, low, high)) - low) / (high - low)
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    top, base = 34.0, 118.0
    edges = np.linspace(low, high, _BINS + 1)
    mass = np.diff(np.interp(edges, percentiles, np.linspace(0, 1, len(percentiles)), left=0, right=1))
    mass = np.convolve(mass, [0.25, 0.5, 0.25], mode="same")
    heights = base - (base - top) * mass / max(float(mass.max()), 1e-9)
    middles = (edges[1:] + edges[:-1]) / 2
    hill = " ".join(f"{x(m)},{h:.1f}" for m, h in zip(middles, heights, strict=True))
    tone = reading.group.replace(" ", "-")
    parts = [
        f'<polygon class="hill" points="{x(low)},{base} {hill} {x(high)},{base}"/>',
        f'<path class="axis" d="M{x(low)} {base}H{x(high)}"/>',
        f'<path class="cut" d="M{x(signature.cutoff)} {top - 14}V{base}"/>',
        _text(x(signature.cutoff), top - 20, "cut-off", anchor="middle"),
    ]
    if reading.lower is not None and reading.upper is not None:
        ends = x(reading.lower), x(reading.upper)
        parts.append(f'<path class="interval {tone}" d="M{ends[0]} {base}H{ends[1]}"/>')
    parts += [
        f'<circle class="dot {tone}" cx="{x(reading.score)}" cy="{base}" r="6"/>',
        *(_text(x(t), base + 22, f"{t:.3g}", anchor="middle") for t in _ticks(low, high)),
        _text((_LEFT + _WIDTH) / 2, base + 42, "score", anchor="middle"),
    ]
    label = f"Score {reading.score:.3f} among the scores of the discovery patients; cut-off {signature.cutoff:.3f}."
    return _svg(170, label, parts)


def survival_curve(signature: Signature, reading: Reading) -> Markup:
    """Predicted survival of the patient with its interval, and that of a patient with the mean score of discovery.

    The figure is empty if there is no score or no baseline.
    """
    base = signature.baseline
    if reading.score is None or not base.time:
        return Markup()
    times = np.array([0.0, *(t for t in base.time if t <= base.until)])
    end, top, bottom = max(base.until, float(times[-1])), 14.0, 150.0

    def path(score: float) -> list[tuple[float, float]]:
        survival = base.free_at([score], times)[0]
        corners = [(0.0, 1.0)]
        for t, before, after in zip(times[1:], survival[:-1], survival[1:], strict=True):
            corners += [(float(t), float(before)), (float(t), float(after))]
        return [*corners, (end, float(survival[-1]))]

    def points(corners: Sequence[tuple[float, float]]) -> str:
        width, height = _WIDTH - _LEFT - _RIGHT, bottom - top
        return " ".join(f"{_LEFT + t / end * width:.1f},{bottom - s * height:.1f}" for t, s in corners)

    tone = reading.group.replace(" ", "-")
    parts = [f'<path class="axis" d="M{_LEFT} {top}V{bottom}H{_WIDTH - _RIGHT}"/>']
    for share in (0.0, 0.5, 1.0):
        parts.append(_text(_LEFT - 6, bottom - share * (bottom - top) + 4, f"{share:.0%}", anchor="end"))
    if reading.lower is not None and reading.upper is not None:
        band = [*path(reading.lower), *reversed(path(reading.upper))]
        parts.append(f'<polygon class="band {tone}" points="{points(band)}"/>')
    parts += [
        f'<polyline class="mean" points="{points(path(0.0))}"/>',
        f'<polyline class="curve {tone}" points="{points(path(reading.score))}"/>',
    ]
    for at in base.at:
        x = _LEFT + at.time / end * (_WIDTH - _LEFT - _RIGHT)
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom}v5"/>')
        parts.append(_text(x, bottom + 20, f"{at.years:g} y", anchor="middle"))
    return _svg(
        176, "Predicted survival of this patient, and of a patient with the mean score (dashed).", parts
    )


def curve_note(signature: Signature) -> str:
    """What `survival_curve` shows."""
    shown = (
        "survival" if signature.baseline.competing is None else "probability of remaining free of the event"
    )
    return f"Predicted {shown} of this patient, and of a patient with the mean score of discovery (dashed)."


def risk_note(signature: Signature, *, clinical: bool) -> str:
    """How absolute risks were predicted; `clinical` says whether the clinical + histology model predicts too."""
    note = (
        "Histology: from the frozen baseline of the discovery patients. The interval shows how much the score would vary with other "
        "tissue from the same slides; it does not include the uncertainty of the model (see the model card)."
    )
    if signature.baseline.competing is not None:
        note = f"Another event competes with the endpoint: the risk is the cumulative incidence. {note}"
    if clinical:
        note += " Clinical + histology: from the covariates below and the score. The interval reflects the estimation of the model."
    return note


def _ticks(low: float, high: float) -> list[float]:
    """Two to six round numbers inside a range."""
    step = 10 ** np.floor(np.log10((high - low) / 2))
    for times in (1, 2, 5):
        ticks = np.arange(np.ceil(low / (step * times)), np.floor(high / (step * times)) + 1) * step * times
        if len(ticks) <= 6:
            return [float(t) + 0.0 for t in ticks]
    return [float(low), float(high)]


def _text(x: float, y: float, words: str, *, anchor: str) -> str:
    shown = words.replace("-", "\u2212") if words.startswith("-") else words
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{shown}</text>'


def _svg(height: float, label: str, parts: Sequence[str]) -> Markup:
    head = f'<svg class="drawn" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{label}">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - numbers and words of this program only
