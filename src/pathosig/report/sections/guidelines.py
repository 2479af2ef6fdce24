"""TRIPOD+AI and REMARK item by item: where the report meets each, and which the authors must write themselves.

References
----------
Collins GS et al. TRIPOD+AI statement. BMJ 2024; 385: e078378. Sauerbrei W et al. REMARK: explanation and elaboration.
PLoS Med 2012; 9: e1001216.
"""

from __future__ import annotations

AUTHORS = "for the authors: pathosig does not know it"

Item = tuple[str, str, tuple[str, ...], str]
"""Number, what it asks for, topics of the report that answer it, and what is missing where none does."""

TRIPOD: tuple[Item, ...] = (
    ("1", "Title: a prediction model, its population and outcome", (), AUTHORS),
    ("2", "Abstract", (), AUTHORS),
    ("3", "Background: context, target population, known inequalities", (), AUTHORS),
    ("4", "Objectives: development, evaluation or both", ("primary",), "study.toml has no [primary] table"),
    ("5", "Data: sources and dates", ("data",), "there is no patient table"),
    (
        "6",
        "Participants: setting, eligibility, treatments",
        ("flow", "treatment"),
        "there is no patient table",
    ),
    ("7", "Data preparation: quality of slides and tiles", ("flow", "tissue"), "there are no slides"),
    ("8", "Outcome: definition, horizon, assessment", ("endpoints",), "study.toml declares no endpoint"),
    ("9", "Predictors: how they were chosen and measured", ("univariable", "drivers"), "no screen was run"),
    ("10", "Sample size", ("sample-size",), "no model was fitted"),
    ("11", "Missing data", ("characteristics", "data"), "there is no clinical table"),
    (
        "12",
        "Analytical methods: model, validation, performance, heterogeneity",
        ("methods", "provenance"),
        "no record exists",
    ),
    ("13", "Class imbalance", ("methods",), "does not apply to survival times; see the methods"),
    ("14", "Fairness", ("fairness",), "sex, age or site are no declared subgroups"),
    (
        "15",
        "Model output: score, cut-off and predicted survival",
        ("signature", "nomogram"),
        "no signature was found",
    ),
    (
        "16",
        "Training versus evaluation: how the cohorts differ",
        ("characteristics",),
        "there is no clinical table",
    ),
    ("17", "Ethical approval", (), AUTHORS),
    ("18", "Open science: funding, protocol, data and code", ("provenance",), "no record exists"),
    ("19", "Patient and public involvement", (), AUTHORS),
    (
        "20",
        "Participants: flow, characteristics, comparison with development",
        ("flow", "characteristics"),
        "there is no patient table",
    ),
    (
        "21",
        "Model development: participants and events of every analysis",
        ("survival", "models"),
        "no model was fitted",
    ),
    (
        "22",
        "Model specification: everything to predict in new people",
        ("signature",),
        "no signature was found",
    ),
    (
        "23",
        "Model performance with confidence intervals, also in subgroups",
        ("performance", "subgroups"),
        "no cohort was validated",
    ),
    ("24", "Model updating", (), "the signature was not updated: it is applied unchanged"),
    ("25", "Interpretation", ("summary", "limitations"), AUTHORS),
    ("26", "Limitations", ("limitations",), "not written"),
    ("27", "Usability: input, abstention, next steps", ("signature", "drivers"), "no signature was found"),
)

REMARK: tuple[Item, ...] = (
    ("1", "Marker, objectives and hypotheses", ("primary",), "study.toml has no [primary] table"),
    ("2", "Patients: source, inclusion and exclusion", ("flow",), "there is no patient table"),
    ("3", "Treatments", ("treatment",), "study.toml names no treatment column"),
    ("4", "Specimens", ("flow", "tissue"), "there are no slides"),
    ("5", "Assay: how the marker is measured", ("methods", "signature"), "no signature was found"),
    ("6", "Study design, period and follow-up", ("survival",), "no cohort was validated"),
    ("7", "Clinical endpoints", ("endpoints",), "study.toml declares no endpoint"),
    ("8", "Candidate variables", ("univariable",), "no screen was run"),
    ("9", "Sample size", ("sample-size",), "no model was fitted"),
    (
        "10",
        "Statistical methods, model building, missing data",
        ("methods", "hazards"),
        "no model was fitted",
    ),
    ("11", "Cut-off and how it was set", ("signature", "univariable"), "no signature was found"),
    ("12", "Flow of patients and events", ("flow",), "there is no patient table"),
    (
        "13",
        "Distributions of variables and missing values",
        ("characteristics",),
        "there is no clinical table",
    ),
    ("14", "Marker against standard prognostic variables", ("associations",), "no variables were declared"),
    ("15", "Univariable analyses", ("univariable", "models"), "no model was fitted"),
    ("16", "Multivariable analyses with intervals", ("models",), "no model was fitted"),
    (
        "17",
        "Marker with standard prognostic variables",
        ("added-value", "models"),
        "study.toml names no covariates",
    ),
    (
        "18",
        "Further analyses: assumptions, sensitivity, internal validation",
        ("hazards", "audits", "internal"),
        "not run",
    ),
    ("19", "Interpretation and limitations", ("limitations",), "not written"),
    ("20", "Implications for research and practice", (), AUTHORS),
)
