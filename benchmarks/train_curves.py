"""What `benchmarks/train_evidence.py` found, over presets and seeds: tables in Markdown and the curves as a figure.

    python benchmarks/train_evidence.py TILES --preset recommended --seed 0 > recommended_0.json   # and so on
    python benchmarks/train_curves.py recommended_*.json paper_*.json [--figure FILE.svg]

Draws what it is given and computes nothing but means over seeds. Two runs with the same files give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from pathosig.figures.style import axes_at, new_figure, style

ROWS = (("start_kmeans", "start, k-means"), ("trained_kmeans", "trained, k-means"), ("trained_head", "head"))
CURVES = (
    ("total", "Training loss"), ("held_out", "Held-out loss"), ("perplexity", "Occupancy exp(H) / K"),
    ("confidence", "Confidence"),
)  # fmt: skip
COLOURS = {"paper": "#b5651d", "recommended": "#1f5f8b"}


def label(run: dict[str, Any]) -> str:
    """The preset, with batch and learning rate where they are not this comparison's."""
    name = f"`{run['preset']}`"
    usual = run["preset"] == "paper" or run["batch"] == 2 * run["clusters"]
    return name if usual and run["lr"] == 5e-4 else f"{name}, batch {run['batch']}, lr {run['lr']:g}"


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Every score of every seed, and its mean over seeds."""
    out = [
        "| | NMI, K | NMI, cut | ARI, cut | ARI, direct | 20 nearest | confidence |",
        "|---|---|---|---|---|---|---|",
    ]
    for preset, runs in results.items():
        for key, title in ROWS:
            if key == "start_kmeans" and preset != next(iter(results)):
                continue
            cells = []
            for field in ("nmi", "nmi_cut", "ari_cut"):
                cells.append(_cell([r[key][field] for r in runs]))
            cells.append(_cell([r[key]["ari_direct"] for r in runs]) if "ari_direct" in runs[0][key] else "")
            knn = {"start_kmeans": "start_knn", "trained_kmeans": "trained_knn"}.get(key)
            cells.append(_cell([r[knn] for r in runs]) if knn else "")
            cells.append(_cell([r[key]["confidence"] for r in runs]) if key == "trained_head" else "")
            name = title if key == "start_kmeans" else f"{preset}, {title}"
            out.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(out)


def _cell(values: list[float]) -> str:
    return f"{np.mean(values):.2f} ({' '.join(f'{v:.2f}' for v in values)})"


def figure(results: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Curves of loss, held-out loss, occupancy and confidence, a line for each seed."""
    with style():
        canvas = new_figure(7.6, 2.0)
        for number, (key, title) in enumerate(CURVES):
            axes = axes_at(canvas, (0.35 + 1.85 * number, 0.4, 1.45, 1.3))
            for runs in results.values():
                for seed, run in enumerate(runs):
                    axes.plot(
                        run["curve"]["cpu_s"], run["curve"][key], color=COLOURS[run["preset"]], linewidth=1,
                        label=run["preset"] if seed == 0 else None,
                    )  # fmt: skip
            axes.set_title(title, loc="left")
            axes.set_xlabel("CPU-seconds")
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            if key in ("perplexity", "confidence"):
                axes.set_ylim(0, 1)
            if key == "confidence":
                axes.legend(frameon=False, loc="upper left")
        canvas.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {}
    for run in sorted((json.loads(p.read_text()) for p in given.results), key=lambda r: r["seed"]):
        results.setdefault(label(run), []).append(run)
    print(table(results))
    for preset, runs in results.items():
        seconds = [round(r["cpu_s"]) for r in runs]
        cut = float(np.mean([r["trained_kmeans"]["ari_cut_sd"] for r in runs]))
        print(
            f"{preset}: batch {runs[0]['batch']}, {runs[0]['epochs']} epochs, {runs[0]['steps']} steps, "
            f"{seconds} CPU-seconds, kept epoch {[r['kept_epoch'] for r in runs]}, sd of ARI, cut over fits {cut:.2f}"
        )
    if given.figure:
        figure(results, given.figure)


if __name__ == "__main__":
    main()
