"""What the report shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pathosig.core.spec import Spec


@dataclass(frozen=True, kw_only=True)
class ReportSpec(Spec):
    """What the report shows.

    Attributes
    ----------
    title
        Heading of the report; without it the name in the table [study], if there is one.
    max_maps
        Slides shown with their HPC map beside the H&E.
    max_overviews
        Slides shown at most on the contact sheets, over all cohorts.
    overview_px
        Longer side of a slide's overview in pixels.
    exemplars
        Tiles shown per HPC.
    pdf
        Whether every figure is also written as PDF (0.3 s each: fonts are embedded).
    docx
        Whether the tables are also written as one Word document (needs the extra `exports`).

    Examples
    --------
    >>> ReportSpec(title="Lung, three centres").max_maps
    8
    """

    section: ClassVar[str] = "report"
    title: str = ""
    max_maps: int = 8
    max_overviews: int = 96
    overview_px: int = 900
    exemplars: int = 8
    pdf: bool = False
    docx: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, low, high in (
            ("max_maps", 0, 100),
            ("max_overviews", 0, 2000),
            ("overview_px", 64, 4000),
            ("exemplars", 1, 24),
        ):
            self._within(name, low, high)
