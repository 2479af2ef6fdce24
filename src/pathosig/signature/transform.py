"""How profiles become the columns of a model: declared once, frozen with the signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

from pathosig.core.errors import InputError
from pathosig.profiles.pooling import Policy
from pathosig.profiles.tables import FeatureRules

Scale = Literal["share", "logodds", "logratio", "feature"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureRule:
    """How one outside feature is filled and scaled: ``(value or fill - center) / scale``."""

    fill: float
    center: float
    scale: float

    @classmethod
    def pick(cls, rules: FeatureRules, names: Sequence[str]) -> dict[str, Self]:
        """The rules of some features, by name."""
        place = {n: i for i, n in enumerate(rules.columns)}
        return {
            n: cls(fill=rules.fill[place[n]], center=rules.center[place[n]], scale=rules.scale[place[n]])
            for n in names
            if n in place
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Transform:
    """How a profile becomes the columns of a signature.

    Attributes
    ----------
    scale
        ``share``, ``logodds`` or ``logratio`` of HPC proportions; ``feature`` for an outside table, which is used as it is.
    leaves
        Feature -> the HPCs it sums over; empty for an outside table.
    artefact_hpcs
        HPCs that are left out before the other proportions are scaled to sum to 1.
    k
        Number of HPCs of the codebook; 0 for an outside table.
    min_tiles
        Patients with fewer tiles are not assessable.
    policy
        How several slides of a patient become one score.
    rules
        How outside features were filled and scaled.
    raw
        Whether `rules` are still to be applied to what is scored (a signature fitted on a raw table).

    Examples
    --------
    >>> Transform(leaves={"node_00": (0, 1)}, min_tiles=50).to_dict()["leaves"]
    {'node_00': [0, 1]}
    """

    scale: Scale = "share"
    leaves: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    artefact_hpcs: tuple[int, ...] = ()
    k: int = 0
    min_tiles: int = 0
    policy: Policy = "pooled"
    rules: Mapping[str, FeatureRule] = field(default_factory=dict)
    raw: bool = False

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("scale", self.scale, get_args(Scale)),
            ("policy", self.policy, get_args(Policy)),
        ):
            if value not in allowed:
                raise InputError(f"signature: {name} {value!r}; expected one of {', '.join(allowed)}.")

    def to_dict(self) -> dict[str, Any]:
        """The content of signature.json, without keys that have no effect."""
        out: dict[str, Any] = {"scale": self.scale, "min_tiles": self.min_tiles, "policy": self.policy}
        out["leaves"] = {name: list(hpcs) for name, hpcs in self.leaves.items()}
        if self.scale != "feature":
            out |= {"artefact_hpcs": list(self.artefact_hpcs), "k": self.k}
        if self.rules:
            out["rules"] = dict(self.rules)
        if self.raw:
            out["raw"] = True
        return out

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; a value of a wrong type raises KeyError, TypeError or ValueError."""
        return cls(
            scale=value["scale"],
            leaves={str(n): tuple(int(i) for i in hpcs) for n, hpcs in value.get("leaves", {}).items()},
            artefact_hpcs=tuple(int(i) for i in value.get("artefact_hpcs", ())),
            k=int(value.get("k", 0)),
            min_tiles=int(value.get("min_tiles", 0)),
            policy=value.get("policy", "pooled"),
            rules={
                str(n): FeatureRule(**{k: float(rule[k]) for k in ("fill", "center", "scale")})
                for n, rule in value.get("rules", {}).items()
            },
            raw=bool(value.get("raw", False)),
        )
