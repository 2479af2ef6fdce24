"""Guards of the stages before validation, and of the fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathosig.core.study import Study


def stage_guards(study: Study, results: Mapping[str, Any]) -> list[dict[str, str]]:
    """Guards of the earlier stages and of the fit."""
    import pandas as pd

    from pathosig.validation.guards import events_guard, guard, leak_guards, sample_size_guard, spread_guard

    out = []
    for stage in ("profiles", "signature"):
        for record in study.records(stage):
            for text in record.warnings:
                code, _, message = text.partition(" ")
                known = code.startswith("W_")
                out.append(guard(code if known else "W_STAGE", message if known else text, where=stage))
    signature = results["signature"]
    if "trained_on" in signature:
        events = int(signature["trained_on"]["events"])
        out += events_guard(
            events=events, candidates=len(results["univariate"]), parameters=len(signature["hpcs"])
        )
        out += sample_size_guard(results["sample_size"])
    if "against_ridge" in results:
        out += spread_guard(results["against_ridge"])
    return [*out, *leak_guards(pd.DataFrame(results["univariate"]))]
