"""health.json as rows, coarse groups and facts for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pathosig.report.material import CoarseGroup, HpcHealth

_FIELDS = {
    "share": "share",
    "steadiness": "halves",
    "bootstrap_jaccard": "jaccard",
    "top_slide": "largest_slide",
    "top_patient": "largest_patient",
    "top_site": "largest_site",
}
"""Column of the report -> key of health.json."""

_FACTS = {
    "k": "HPCs",
    "perplexity": "Occupancy perplexity, exp(H)/K",
    "empty": "Empty HPCs",
    "near_empty": "Nearly empty HPCs",
    "seed_ari": "Agreement between seeds (ARI)",
    "bootstrap_ari": "Agreement between patient bootstraps (ARI)",
    "halves_ari": "Agreement between disjoint halves of the patients, HPCs (ARI)",
    "coarse_halves_ari": "Agreement between disjoint halves of the patients, coarse groups (ARI)",
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
        for row in _rows(health, "hpcs")
    ]


def coarse_groups(
    groups: Sequence[int], health: Mapping[str, Any], names: Mapping[int, str]
) -> list[CoarseGroup]:
    """Coarse groups from the group of every HPC, health.json (which may lack them) and the names that were given."""
    rows = {int(row["coarse"]): row for row in _rows(health, "coarse")}
    return [
        CoarseGroup(
            number=group,
            hpcs=tuple(hpc for hpc, its in enumerate(groups) if its == group),
            name={**{group: ""}, **names}[group],
            share=_number(rows[group], "share") if group in rows else None,
            steadiness=_number(rows[group], "halves") if group in rows else None,
        )
        for group in range(max(groups, default=-1) + 1)
    ]


def _rows(health: Mapping[str, Any], of: str) -> Sequence[Mapping[str, Any]]:
    return health.get(of, ())


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
