"""Survival statistics that agree with R; they know nothing of phenotypes."""

from pathosig.survival.concordance import Concordance, TimeAuc, default_tau, harrell_c, time_auc, uno_c
from pathosig.survival.cox import CoxFit, cox
from pathosig.survival.curves import (
    KaplanMeier,
    LogRank,
    kaplan_meier,
    logrank,
    pairwise_logrank,
    reverse_kaplan_meier,
    rmst,
)
from pathosig.survival.path import CoxPath, cox_path
from pathosig.survival.proportional import PhTest, ph_test
from pathosig.survival.tables import TableTest, adjust_p, chi_square, fisher_exact, kruskal, wilcoxon
from pathosig.survival.univariate import cox_univariate

__all__ = [
    "Concordance",
    "CoxFit",
    "CoxPath",
    "KaplanMeier",
    "LogRank",
    "PhTest",
    "TableTest",
    "TimeAuc",
    "adjust_p",
    "chi_square",
    "cox",
    "cox_path",
    "cox_univariate",
    "default_tau",
    "fisher_exact",
    "harrell_c",
    "kaplan_meier",
    "kruskal",
    "logrank",
    "pairwise_logrank",
    "ph_test",
    "reverse_kaplan_meier",
    "rmst",
    "time_auc",
    "uno_c",
    "wilcoxon",
]
