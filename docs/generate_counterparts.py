"""Writes the list of counterparts into docs/explanation/published-study.md: `PYTHONPATH=src python docs/generate_counterparts.py [CLAIMS.json]`.

CLAIMS.json is truth/claims.json of a study that `pathosig demo --study paper` made; with it the table also says what was found.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pathosig.core.planted_claims import read_claims
from pathosig.report.sections.counterparts import COUNTERPARTS

PAGE = Path(__file__).parent / "explanation" / "published-study.md"
HEADING = "## Counterparts\n"


def table(claims_path: Path | None) -> str:
    """The table as Markdown; sections are those of the report."""
    claims = {c.panel: c for c in read_claims(claims_path)} if claims_path else {}
    head = [
        "Published",
        "Sections of the report",
        "What they add",
        *(["Planted", "Found", "Outcome"] if claims else []),
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for item in COUNTERPARTS:
        cells = [item.published, ", ".join(f"`#{s}`" for s in item.sections), item.better]
        if claims:
            claim = claims[item.panel]
            cells += [claim.planted, claim.found, claim.outcome]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Replace everything after the heading."""
    page = PAGE.read_text(encoding="utf-8").partition(HEADING)[0].rstrip("\n")
    claims = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    PAGE.write_text(f"{page}\n\n{HEADING}\n{table(claims)}", encoding="utf-8")


if __name__ == "__main__":
    main()
