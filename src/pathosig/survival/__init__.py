"""Survival statistics that agree with R; they know nothing of phenotypes."""

from pathosig.survival.accuracy import brier, ibs
from pathosig.survival.calibration import Calibration, CalibrationAt, calibration
from pathosig.survival.concordance import Concordance, TimeAuc, default_tau, harrell_c, time_auc, uno_c
from pathosig.survival.cox import cox
from pathosig.survival.coxfit import CoxFit
from pathosig.survival.curves import KaplanMeier, kaplan_meier, reverse_kaplan_meier
from pathosig.survival.cutpoint import Cutpoint, max_selected_cutpoint
from pathosig.survival.decision import DecisionCurve, decision_curve
from pathosig.survival.finegray import cause_specific, fine_gray
from pathosig.survival.firth import FirthFit, firth_cox
from pathosig.survival.incidence import CumulativeIncidence, GrayTest, IncidenceCurve, cumulative_incidence
from pathosig.survival.logrank import LogRank, logrank, pairwise_logrank
from pathosig.survival.optimism import Optimism, optimism
from pathosig.survival.path import CoxPath, cox_path
from pathosig.survival.planning import SampleSize, sample_size
from pathosig.survival.pooling import Pooled, pool_random_effects
from pathosig.survival.proportional import PhTest, ph_test
from pathosig.survival.resampling import bootstrap_c, bootstrap_cox
from pathosig.survival.restricted import rmst
from pathosig.survival.stepwise import Stepwise, stepwise
from pathosig.survival.tables import TableTest, adjust_p, chi_square, fisher_exact, kruskal, wilcoxon
from pathosig.survival.univariate import cox_univariate

__all__ = [
    "Calibration",
    "CalibrationAt",
    "Concordance",
    "CoxFit",
    "CoxPath",
    "CumulativeIncidence",
    "Cutpoint",
    "DecisionCurve",
    "FirthFit",
    "GrayTest",
    "IncidenceCurve",
    "KaplanMeier",
    "LogRank",
    "Optimism",
    "PhTest",
    "Pooled",
    "SampleSize",
    "Stepwise",
    "TableTest",
    "TimeAuc",
    "adjust_p",
    "bootstrap_c",
    "bootstrap_cox",
    "brier",
    "calibration",
    "cause_specific",
    "chi_square",
    "cox",
    "cox_path",
    "cox_univariate",
    "cumulative_incidence",
    "decision_curve",
    "default_tau",
    "fine_gray",
    "firth_cox",
    "fisher_exact",
    "harrell_c",
    "ibs",
    "kaplan_meier",
    "kruskal",
    "logrank",
    "max_selected_cutpoint",
    "optimism",
    "pairwise_logrank",
    "ph_test",
    "pool_random_effects",
    "reverse_kaplan_meier",
    "rmst",
    "sample_size",
    "stepwise",
    "time_auc",
    "uno_c",
    "wilcoxon",
]
