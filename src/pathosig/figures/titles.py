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
    """The text with a capital first letter; ``pT`` and its like stay as they are."""
    return text if re.match(r"p[A-Z]", text) else text[:1].upper() + text[1:]


ABBREVIATIONS = frozenset([
    "ajcc", "uicc", "who", "figo", "tnm", "crt", "rt", "ecog", "kps", "bmi", "ldh",
    "cea", "psa", "ca125", "ihc", "fish", "ne", "er", "pr", "her2", "egfr", "alk",
    "kras", "braf", "tp53", "rb1", "brca1", "brca2", "idh", "msi", "mmr", "tmb", "hpv",
    "ebv", "pdl1", "hr", "ci", "os", "dfs", "pfs", "dss", "sd", "tma",
])  # fmt: skip
"""Words of column names that are written in capitals."""


def words_of(column: str) -> str:
    """The name of a column in words, as it stands inside a sentence.

    Examples
    --------
    >>> words_of("ajcc"), words_of("adjuvant_crt"), words_of("tumour_size"), words_of("pt")
    ('AJCC', 'adjuvant CRT', 'tumour size', 'pT')
    """
    words = column.replace("_", " ").split()
    if len(words) == 1 and words[0] in ("pt", "pn", "pm"):
        return words[0][0] + words[0][1].upper()
    return " ".join(w.upper() if w in ABBREVIATIONS else w for w in words)


SELECTIONS = {
    "auto": "automatic choice of selection",
    "tree": "stability selection over the tree of {units}",
    "completed": "weighted sum of stability selection over the tree of {units} and ridge on its coarse groups",
    "ridge": "ridge on all {units}",
    "paper": "the published procedure",
    "lasso": "lasso",
    "stepwise": "stepwise selection",
    "logcontrast": "log-contrast regression",
}


def selection_words(method: str, units: str = "HPCs") -> str:
    """How features were chosen, in words; `units` is what they were chosen from.

    Examples
    --------
    >>> selection_words("ridge"), selection_words("tree", "features")
    ('ridge on all HPCs', 'stability selection over the tree of features')
    """
    return SELECTIONS.get(method, method.replace("_", " ")).format(units=units)


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
    name, bracket, unit = level_title(label).partition(" (per ")
    if not bracket:
        return sentence_case(words_of(name))
    per = "year" if name.lower() == "age" and unit == "unit)" else unit.rstrip(")").replace("_", " ")
    return f"{sentence_case(words_of(name))}, per {per}"


COUNTED = (
    "event",
    "patient",
    "slide",
    "core",
    "tile",
    "cohort",
    "candidate",
    "coefficient",
    "feature",
    "fold",
    "group",
    "level",
)
"""What sentences of the stages count; one of them has no plural."""


def prose(text: str, cohorts: Iterable[str] = (), columns: Iterable[str] = ()) -> str:
    """A sentence of a result as printed: names in words, zero before the decimal point, true signs.

    Parameters
    ----------
    text
        As a stage wrote it.
    cohorts, columns
        Names to put into words: cohorts, and columns of the clinical table.

    Examples
    --------
    >>> prose("validation_1: score x treatment p = .313, not below .05", ["validation_1"])
    'Validation 1: score × treatment p = 0.313, not below 0.05'
    >>> prose("discovery / os: hr_sd is infinite", ["discovery"])
    'Discovery, overall survival: the hazard ratio per SD is infinite'
    >>> prose("80 % of .5")
    '80% of 0.5'
    >>> prose("node_07 by adjuvant_crt, 6154 patients", columns=["adjuvant_crt"])
    'node 07 by adjuvant CRT, 6,154 patients'
    >>> prose("1 events in 21 patients of 1 cohorts")
    '1 event in 21 patients of 1 cohort'
    """
    for name in sorted(cohorts, key=len, reverse=True):
        text = re.sub(rf"^cohort {re.escape(name)}:", f"{cohort_title(name)}:", text)
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", cohort_title(name), text)
    for name in sorted(columns, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", words_of(name), text)
    text = re.sub(r"\bhpc_(\d+)", r"HPC \1", text)
    text = re.sub(r"\bnode_(\d+)", r"node \1", text)
    text = re.sub(r"\blog\(tiles\)", "the logarithm of the number of tiles", text)
    text = re.sub(
        r"(?<![\w.,])(\d{1,3})(\d{3})(?= (?:patients|events|tiles|slides|candidates)\b)", r"\1,\2", text
    )
    text = re.sub(r" / (\w+)(?=:)", lambda m: f", {endpoint_title(m.group(1)).lower()}", text)
    for key, name in (
        ("hr_group", "the hazard ratio high against low"),
        ("hr_sd", "the hazard ratio per SD"),
    ):
        text = re.sub(rf"\b{key}\b", name, text)
    text = re.sub(r"(?<![\w.])\.(?=\d)", "0.", text)
    text = re.sub(r"(?<=\w) x (?=\w)", " × ", text)
    text = re.sub(r"(?<=\d) %", "%", text)
    text = re.sub(r"(?<![\w)])-(?=\d)", "−", text)
    text = re.sub(rf"(?<![\w.,−-])1 ({'|'.join(COUNTED)})s\b", r"1 \1", text)
    return text.replace("<=", "≤").replace(">=", "≥")
