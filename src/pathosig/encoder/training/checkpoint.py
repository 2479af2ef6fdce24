"""Checkpoints as safetensors, without pickle: weights, their average, the best weights and the state of the optimiser."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pathosig.core.records import atomic_path
from pathosig.encoder.training.train import TrainState


def save(path: Path, state: TrainState, *, key: str) -> None:
    """Write the state of training to a file; `key` is the fingerprint of the run that it belongs to."""
    tensors: dict[str, torch.Tensor] = {}
    for prefix, values in _weights(state).items():
        tensors |= {f"{prefix}/{k}": v for k, v in values.items()}
    for i, parameter in enumerate(state.net.parameters()):
        for name, value in state.optimiser.state.get(parameter, {}).items():
            tensors[f"adam/{i}/{name}"] = torch.as_tensor(value)
    header = {
        "key": key,
        "step": state.step,
        "best_value": None if math.isinf(state.best_value) else state.best_value,
        "best_epoch": state.best_epoch,
        "bad_epochs": state.bad_epochs,
        "history": state.history,
        "warnings": state.warnings,
        "running": state.running,
    }
    with atomic_path(path) as temporary:
        save_file(
            {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()},
            temporary,
            metadata={"pathosig": json.dumps(header)},
        )


def restore(path: Path, state: TrainState, *, key: str) -> bool:
    """Restore `state` from a checkpoint, in place; returns False if the file is not a checkpoint of this run."""
    try:
        with safe_open(path, framework="pt") as stored:
            header = json.loads((stored.metadata() or {}).get("pathosig", "{}"))
            if header.get("key") != key:
                return False
            names = list(stored.keys())
            tensors = {name: stored.get_tensor(name) for name in names}
    except (OSError, SafetensorError, ValueError):
        return False
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        prefix, rest = name.split("/", 1)
        groups.setdefault(prefix, {})[rest] = value
    state.net.load_state_dict(groups["net"])
    state.average.load_state_dict(groups["average"])
    state.best = groups.get("best", {})
    for i, parameter in enumerate(state.net.parameters()):
        moments = {
            k.split("/", 1)[1]: v for k, v in groups.get("adam", {}).items() if k.split("/", 1)[0] == str(i)
        }
        if moments:
            state.optimiser.state[parameter] = {
                k: v if k == "step" else v.to(parameter.device).contiguous(memory_format=_order(parameter))
                for k, v in moments.items()
            }
    state.step = header["step"]
    state.best_value = math.inf if header["best_value"] is None else header["best_value"]
    state.best_epoch = header["best_epoch"]
    state.bad_epochs = header["bad_epochs"]
    state.history, state.warnings, state.running = header["history"], header["warnings"], header["running"]
    return True


def _weights(state: TrainState) -> dict[str, dict[str, torch.Tensor]]:
    return {"net": state.net.state_dict(), "average": state.average.state_dict(), "best": state.best}


def _order(parameter: torch.Tensor) -> torch.memory_format:
    last = parameter.ndim == 4 and parameter.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
