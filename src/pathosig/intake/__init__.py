"""From a folder of slides and a clinical table to a study folder, and its checks."""

from pathosig.intake.check import Findings, check
from pathosig.intake.init import InitReport, init

__all__ = ["Findings", "InitReport", "check", "init"]
