"""results.json: written and read by one pair of functions, strictly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from pathosig.core.errors import InputError, NotEstimableError
from pathosig.signature.model import Signature
from pathosig.signature.transform import Transform
from pathosig.survival.baseline import Baseline
from pathosig.validation.clinical_model import ClinicalModel, HorizonHazard
from pathosig.validation.results import PrimaryAnalysis, Results, read_results, write_results
from pathosig.validation.values import Estimate, HazardRatio, NotEstimable, attempt

PRIMARY = PrimaryAnalysis(endpoint="os", discovery="discovery", covariates=(), treatment=None, sha256="0")
NOTHING = Results(kind="none", primary=PRIMARY, signature=NotEstimable(reason="nothing was selected"))
SIGNATURE = Signature(
    endpoint="os",
    hpcs=("hpc_01",),
    coef=(0.5,),
    center=(0.1,),
    transform=Transform(scale="share", leaves={"hpc_01": (1,)}),
    cutoff=0.0,
    cutoff_rule="discovery median",
    baseline=Baseline(unit="months", time=(1.0,), survival=(0.9,), until=1.0),
)


SCALARS = {
    float: lambda rng: float(rng.normal()),
    int: lambda rng: int(rng.integers(99)),
    bool: lambda rng: bool(rng.integers(2)),
    str: lambda rng: str(rng.choice(["", "a", "os"])),
    type(None): lambda rng: None,
}


def any_value(hint, rng):
    """A value of a type hint. Every field of a dataclass is filled, including those with a default."""
    arguments = get_args(hint)
    if hint in SCALARS:
        return SCALARS[hint](rng)
    if hint is Signature:
        return SIGNATURE
    if hint is ClinicalModel:  # its vectors and matrices must fit together
        return ClinicalModel(
            endpoint="os",
            covariates=(),
            score_scale=2.0,
            coef=(float(rng.normal()),),
            center=(0.1,),
            covariance=((0.04,),),
            baseline=SIGNATURE.baseline,
            horizons=(HorizonHazard(years=1.0, time=12.0, hazard=0.1, variance=0.01, gradient=(0.2,)),),
            trained_on=any_value(get_type_hints(ClinicalModel)["trained_on"], rng),
        )
    if dataclasses.is_dataclass(hint):
        return hint(**{name: any_value(h, rng) for name, h in get_type_hints(hint).items()})
    if get_origin(hint) is Literal:
        return arguments[rng.integers(len(arguments))]
    if get_origin(hint) is tuple:
        return tuple(any_value(arguments[0], rng) for _ in range(rng.integers(3)))
    if get_origin(hint) is Mapping:
        return {key: any_value(arguments[1], rng) for key in "xy"[: rng.integers(3)]}
    return any_value(arguments[rng.integers(len(arguments))], rng)


@pytest.mark.parametrize("seed", range(8))
def test_any_results_are_read_back_as_they_were_written(tmp_path, seed):
    results = any_value(Results, np.random.default_rng(seed))
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results


def test_what_was_not_computed_is_left_out(tmp_path):
    write_results(tmp_path / "results.json", NOTHING)
    raw = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert sorted(raw) == ["kind", "primary", "schema", "signature"]
    assert raw["signature"] == {"not_estimable": "nothing was selected"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 1}, "schema 1; this pathosig reads schema 2. Run `pathosig validate` again"),
        ({"kind": "perhaps"}, "results.json.kind"),
        ({"signature": {"hpcs": []}}, "results.json.signature: "),
        ({"more": 1}, "unknown keys ['more']"),
        ({"analyses": [{"cohort": "a"}]}, "analyses[0]: Analysis has unknown keys [] and lacks"),
    ],
)
def test_another_schema_or_a_wrong_value_is_refused(tmp_path, change, words):
    path = tmp_path / "results.json"
    write_results(path, NOTHING)
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**raw, **change}), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_results(path)
    assert words in str(caught.value)
    assert "Run `pathosig validate` again." in str(caught.value)
    assert caught.value.code == "E_RESULTS"


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(InputError) as caught:
        read_results(tmp_path / "results.json")
    assert caught.value.code == "E_MISSING"


def test_a_bound_that_is_infinite_or_unknown_is_none():
    value = Estimate.of(0.5, float("nan"), float("inf"), n=3)
    assert (value.estimate, value.lower, value.upper, value.n) == (0.5, None, None, 3)


def test_an_attempt_gives_the_value_or_the_reason():
    def fail():
        raise NotEstimableError("two events; ten are needed")

    assert attempt(fail) == NotEstimable(reason="two events; ten are needed")
    assert attempt(int, "3") == 3


def test_a_hazard_ratio_says_what_is_special_about_it():
    plain = HazardRatio(hr=2.0, lower=1.0, upper=4.0, p=0.05, n=10, events=5)
    remarks = [plain.remark]
    remarks += [
        HazardRatio(hr=2.0, lower=1.0, upper=None, p=0.1, n=9, events=5, separated=True, firth=f).remark
        for f in (False, True)
    ]
    assert remarks == ["", "separation", "separation; Firth's estimate"]
