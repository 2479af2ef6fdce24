"""Which columns of patients.csv a study declares for its tables and models."""

from __future__ import annotations

from pathosig.core.clinical import Columns, Primary


def clinical_variables(columns: Columns, primary: Primary) -> list[str]:
    """Columns of patients.csv that Table 1 shows: covariates, treatments and subgroup variables.

    Parameters
    ----------
    columns, primary
        [columns] and [primary] of study.toml.

    Returns
    -------
    Names of columns, each once.

    Examples
    --------
    >>> columns = Columns(covariates=("age",), treatments=("chemo",), subgroups=("sex", "age"))
    >>> clinical_variables(columns, Primary(endpoint="os", covariates=("stage",)))
    ['age', 'stage', 'chemo', 'sex']
    """
    wanted = [*columns.covariates, *primary.covariates, *columns.treatments, *columns.subgroups]
    return list(dict.fromkeys(wanted))


def covariates_of(columns: Columns, primary: Primary) -> list[str]:
    """Covariates of the models: all declared covariates except treatments.

    Parameters
    ----------
    columns, primary
        [columns] and [primary] of study.toml.

    Returns
    -------
    Names of columns, each once; those of [primary] come first.

    Examples
    --------
    >>> columns = Columns(covariates=("stage", "chemo"), treatments=("chemo",))
    >>> covariates_of(columns, Primary(endpoint="os", covariates=("age",)))
    ['age', 'stage']
    """
    treatments = {*columns.treatments, primary.treatment}
    return [c for c in dict.fromkeys([*primary.covariates, *columns.covariates]) if c not in treatments]


def treatment_arms(columns: Columns, primary: Primary) -> list[str]:
    """Treatment columns, beginning with that of the primary analysis.

    Parameters
    ----------
    columns, primary
        [columns] and [primary] of study.toml.

    Returns
    -------
    Names of columns, each once.

    Examples
    --------
    >>> treatment_arms(Columns(treatments=("chemo", "radio")), Primary(endpoint="os", treatment="radio"))
    ['radio', 'chemo']
    """
    arms = [primary.treatment] if primary.treatment else []
    return list(dict.fromkeys([*arms, *columns.treatments]))
