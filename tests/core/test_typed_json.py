"""Dataclasses as JSON and back, strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest

from pathosig.core.errors import InputError
from pathosig.core.typed_json import from_plain, to_plain


@dataclass(frozen=True, kw_only=True)
class Why:
    reason: str = field(metadata={"key": "not_there"})


@dataclass(frozen=True, kw_only=True)
class Part:
    start: float = field(metadata={"key": "from"})
    label: Literal["a", "b"] = "a"


@dataclass(frozen=True, kw_only=True)
class Whole:
    parts: tuple[Part, ...] | Why
    by_name: Mapping[str, Part | Why] = field(default_factory=dict)
    n: int = 0
    size: float | None = 1.0
    setting: Mapping[str, float | int | str | bool | None] = field(default_factory=dict)


WHOLE = Whole(
    parts=(Part(start=1.0), Part(start=2.0, label="b")),
    by_name={"x": Why(reason="none"), "y": Part(start=0.5)},
    size=None,
    setting={"a": 1, "b": 2.0, "c": "d", "e": True, "f": None},
)


def read(raw):
    return from_plain(Whole, raw, where="whole.json", code="E_WHOLE")


@pytest.mark.parametrize("whole", [WHOLE, Whole(parts=Why(reason="no parts")), Whole(parts=())])
def test_what_was_written_is_read_back_as_it_was(whole):
    assert read(json.loads(json.dumps(to_plain(whole)))) == whole


def test_defaults_are_left_out_and_keys_may_have_other_names():
    assert to_plain(Whole(parts=(Part(start=1.0),))) == {"parts": [{"from": 1.0}]}


def test_a_whole_number_is_read_as_a_float_where_one_is_expected():
    assert type(read({"parts": [{"from": 1}]}).parts[0].start) is float


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ({"parts": [], "more": 1}, "unknown keys ['more']"),
        ({}, "lacks ['parts']"),
        ({"parts": [{"from": "1"}]}, "whole.json.parts[0].from: found '1'; expected float"),
        ({"parts": [{"from": 1.0, "label": "c"}]}, "expected 'a' | 'b'"),
        ({"parts": [], "n": True}, "whole.json.n: found True; expected int"),
        ({"parts": [], "n": 1.5}, "expected int"),
        ({"parts": [], "by_name": {"x": {"from": None}}}, "whole.json.by_name.x.from: found None"),
        ({"parts": [], "by_name": []}, "expected a mapping"),
        ({"parts": 3}, "expected a list"),
        ([], "expected a mapping (Whole)"),
    ],
)
def test_a_wrong_key_or_type_is_refused_with_its_place(raw, place):
    with pytest.raises(InputError) as caught:
        read(raw)
    assert place in str(caught.value)
    assert caught.value.code == "E_WHOLE"
