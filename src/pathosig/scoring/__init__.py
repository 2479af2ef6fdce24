"""The frozen signature: one file that scores new slides."""

from pathosig.scoring.bundle import BundleReport, read_bundle, write_bundle
from pathosig.scoring.score import ScoreReport, score_slides

__all__ = ["BundleReport", "ScoreReport", "read_bundle", "score_slides", "write_bundle"]
