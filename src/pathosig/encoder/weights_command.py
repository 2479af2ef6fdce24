"""The command ``weights``: lists encoders, checks whether a file fits one, and shows where files are looked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pathosig.core.errors import ConfigError
from pathosig.core.showing import Shown
from pathosig.encoder.self_test import check_self_test, self_test
from pathosig.encoder.zoo import ENCODERS, note_on


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsReport(Shown):
    """The result of the command.

    Attributes
    ----------
    action
        ``list``, ``check`` or ``where``.
    rows
        One dict for each line, from names to values.
    """

    action: str
    rows: tuple[dict[str, str], ...]

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return asdict(self)

    def to_text(self) -> str:
        """One line for each row."""
        lines = []
        for row in self.rows:
            first, *others = row.values()
            lines.append(f"{first:<20} {'  '.join(v for v in others if v)}")
        return "\n".join(lines)


def weights(
    action: Literal["list", "check", "where"] = "list",
    file: Path | None = None,
    *,
    encoder: str | None = None,
) -> WeightsReport:
    """List encoders and where their weights are, check whether a downloaded file fits one, or show where files belong.

    Parameters
    ----------
    action
        list: shows name, repository, licence and whether you must request access. check: loads FILE into an encoder. where:
        shows the folder of downloads, and how to use a file without a network.
    file
        The weights file to check.
    encoder
        The encoder that the file should fit.

    Returns
    -------
    WeightsReport

    Raises
    ------
    ConfigError
        If `check` has no file or no name of an encoder.
    InputError
        E_WEIGHTS if the file does not fit; E_SELF_TEST if the network does not compute the expected values with it.
    """
    if action == "list":
        return WeightsReport(action=action, rows=tuple(_described(name) for name in ENCODERS))
    if action == "where":
        return WeightsReport(action=action, rows=_places())
    if file is None or encoder is None:
        raise ConfigError("weights check: expected a file and --encoder NAME. See `pathosig weights list`.")
    return WeightsReport(action=action, rows=(_checked(file, encoder),))


def _described(name: str) -> dict[str, str]:
    entry = ENCODERS[name]
    return {
        "name": name,
        "hub": entry.hub or "installed with pathosig",
        "dim": f"{entry.dim} numbers",
        "input": f"{entry.input_px} px" if entry.input_px else "any size",
        "licence": entry.licence,
        "access": "gated: accept the licence on the hub" if entry.gated else "",
        "note": note_on(name),
    }


def _places() -> tuple[dict[str, str], ...]:
    from huggingface_hub import constants

    return (
        {"what": "downloads", "where": str(constants.HF_HUB_CACHE), "set": "by the variable HF_HUB_CACHE"},
        {
            "what": "a file",
            "where": "[encoder] weights = PATH in study.toml",
            "set": "relative to the study folder",
        },
        {
            "what": "offline cluster",
            "where": "copy the file there, run `pathosig weights check FILE --encoder NAME`, and set its path in study.toml",
            "set": "",
        },
    )


def _checked(file: Path, name: str) -> dict[str, str]:
    from pathosig.encoder.backbones import load_encoder

    loaded = load_encoder(name, weights=file)
    numbers = self_test(loaded)
    has_reference = check_self_test(numbers, digest=loaded.weights_sha256)
    return {
        "name": name,
        "fits": f"{file.name} fits",
        "sha256": loaded.weights_sha256,
        "licence": loaded.licence,
        "self_test": " ".join(
            (
                "self-test as expected"
                if has_reference
                else "self-test (no expected values for these weights):",
                *map(str, numbers),
            )
        ),
        "note": note_on(name),
    }
