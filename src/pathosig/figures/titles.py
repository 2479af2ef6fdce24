"""Names of endpoints, cohorts, groups and variables as they are printed."""

from __future__ import annotations

import re
from collections.abc import Iterable

ENDPOINTS = {
    "os": "Overall survival",
    "dfs": "Disease-free survival",
    "pfs": "Progression-free survival",
    "pfi": "Progression-free interval",
    "dss": "Disease-specific survival",
    "dfi": "Disease-free interval",
    "rfs": "Recurrence-free survival",
    "mfs": "Metastasis-free survival",
    "css": "Cancer-specific survival",
    "efs": "Event-free survival",
}


def endpoint_title(name: str) -> str:
    """An endpoint as printed: the usual abbreviations in full.

    Examples
    --------
    >>> endpoint_title("os"), endpoint_title("time_to_relapse")
    ('Overall survival', 'Time to relapse')
    """
    return ENDPOINTS.get(name.lower(), sentence_case(name.replace("_", " ")))


def cohort_title(name: str) -> str:
    """A cohort as printed: ``validation_1`` becomes ``Validation 1``."""
    return sentence_case(name.replace("_", " ").strip()) or "No cohort"


def sentence_case(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def risk_label(label: str) -> str:
    """``low`` becomes ``Low risk``."""
    return f"{label.capitalize()} risk" if label.lower() in ("low", "high", "intermediate") else label


def level_title(level: object) -> str:
    """A level as printed: ``<= 63`` becomes ``≤ 63``."""
    return str(level).replace("<=", "≤").replace(">=", "≥")


def variable_title(label: str) -> str:
    """A variable of a model in words.

    Examples
    --------
    >>> variable_title("score (per SD)"), variable_title("age (per unit)"), variable_title("tumour_size (per unit)")
    ('Score, per SD', 'Age, per year', 'Tumour size, per unit')
    """
    text = level_title(label).replace("_", " ")
    name, bracket, unit = text.partition(" (per ")
    if not bracket:
        return sentence_case(text)
    per = "year" if name.lower() == "age" and unit == "unit)" else unit.rstrip(")")
    return f"{sentence_case(name)}, per {per}"


def prose(text: str, cohorts: Iterable[str] = ()) -> str:
    """A sentence of a result as printed: names in words, zero before the decimal point, true signs.

    Examples
    --------
    >>> prose("validation_1: score x treatment p = .313, not below .05", ["validation_1"])
    'Validation 1: score × treatment p = 0.313, not below 0.05'
    >>> prose("discovery / os: hr_sd is infinite", ["discovery"])
    'Discovery, overall survival: the hazard ratio per SD is infinite'
    """
    for name in sorted(cohorts, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", cohort_title(name), text)
    text = re.sub(r" / (\w+)(?=:)", lambda m: f", {endpoint_title(m.group(1)).lower()}", text)
    for key, name in (
        ("hr_group", "the hazard ratio high against low"),
        ("hr_sd", "the hazard ratio per SD"),
    ):
        text = re.sub(rf"\b{key}\b", name, text)
    text = re.sub(r"(?<![\w.])\.(?=\d)", "0.", text)
    text = re.sub(r"(?<=\w) x (?=\w)", " × ", text)
    text = re.sub(r"(?<![\w)])-(?=\d)", "−", text)
    return text.replace("<=", "≤").replace(">=", "≥")
