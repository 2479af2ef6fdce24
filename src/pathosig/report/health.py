"""health.json as rows and facts for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pathosig.report.material import HpcHealth

_FIELDS = {
    "share": "share",
    "confidence": "confidence",
    "top_slide": "largest_slide",
    "top_patient": "largest_patient",
    "top_site": "largest_site",
    "seed_jaccard": "jaccard_seed",
    "bootstrap_jaccard": "jaccard",
}
"""Column of the report -> key of health.json."""

_FACTS = {
    "k": "HPCs",
    "perplexity": "Occupancy perplexity, exp(H)/K",
    "empty": "Empty HPCs",
    "near_empty": "Nearly empty HPCs",
    "seed_ari": "Agreement between seeds (ARI)",
    "bootstrap_ari": "Agreement between patient bootstraps (ARI)",
}


def health_rows(health: Mapping[str, Any]) -> list[HpcHealth]:
    """One row per HPC, in their order; empty for an empty file."""
    return [
        HpcHealth(
            hpc=int(row["hpc"]),
            **{name: _number(row, key) for name, key in _FIELDS.items()},
            verdict=str(row.get("flag") or ""),
            reason=str(row.get("reason") or ""),
        )
        for row in health.get("hpcs", ())
    ]


def _number(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    return float(value) if isinstance(value, (int, float)) else None


def health_facts(health: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Single numbers of the codebook, those of its occupancy and stability included."""
    return list(_facts(health))


def _facts(health: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part in (health, health.get("occupancy", {}), health.get("stability", {})):
        for key, label in _FACTS.items():
            if isinstance(value := part.get(key), (int, float)):
                yield label, f"{value:.3f}" if isinstance(value, float) else str(value)
