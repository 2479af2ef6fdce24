"""Training over several processes (torchrun): gathered batches and averaged gradients.

Every process computes the losses over the rows of all processes. The gradient of `gather`
sums the gradients of a row over all processes, so that the loss counts once for each process;
`average_gradients` divides by their number. The result is exactly the gradient that one
process would compute with the whole batch. Batch norms use the whole batch as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
from timm import layers
from torch import distributed, nn


def world() -> tuple[int, int]:
    """Rank of this process and number of processes; (0, 1) without a process group."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def start_from_environment() -> tuple[int, int]:
    """Join the process group that torchrun announces, and return `world()`."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        if backend == "nccl":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group(backend)
    return world()


def gather(x: torch.Tensor) -> torch.Tensor:
    """Rows of all processes, in order of rank; each process receives the gradients of its own rows."""
    if world()[1] == 1:
        return x
    gathered: torch.Tensor = _Gather.apply(x)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        size = world()[1]
        ctx.rows = len(x)  # type: ignore[attr-defined]
        parts = [torch.empty_like(x) for _ in range(size)]
        distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor) -> torch.Tensor:
        total = grad.contiguous().clone()
        distributed.all_reduce(total)
        rows = ctx.rows  # type: ignore[attr-defined]
        start = world()[0] * rows
        return total[start : start + rows]


class _Sum(torch.autograd.Function):
    """Sum over processes, in the forward and in the backward pass."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        total = x.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor) -> torch.Tensor:
        total = grad.contiguous().clone()
        distributed.all_reduce(total)
        return total


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their mean over all processes, with one message."""
    size = world()[1]
    if size == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in grads])
    distributed.all_reduce(flat)
    flat /= size
    at = 0
    for grad in grads:
        grad.copy_(flat[at : at + grad.numel()].view_as(grad))
        at += grad.numel()


def synchronise_batch_norm(module: nn.Module) -> nn.Module:
    """Make every batch norm of `module` use the statistics of all processes during training."""
    if world()[1] == 1:
        return module
    if next(module.parameters()).is_cuda:
        converted: nn.Module = layers.convert_sync_batchnorm(module)
        return converted
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.forward = _GatheredNorm(layer)  # type: ignore[method-assign, assignment]
    return module


class _GatheredNorm:
    """The forward pass of one batch norm over all processes (nn.SyncBatchNorm has no CPU version)."""

    def __init__(self, layer: nn.modules.batchnorm._BatchNorm) -> None:
        self.layer = layer

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        layer: Any = self.layer
        if not layer.training:
            out = nn.functional.batch_norm(
                x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps
            )
        else:
            out = self._train(x)
        if hasattr(layer, "act"):  # timm's batch norms carry their activation
            out = layer.act(layer.drop(out))
        return out

    def _train(self, x: torch.Tensor) -> torch.Tensor:
        layer = self.layer
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        count = x.numel() / x.shape[1] * world()[1]
        mean = _Sum.apply(x.sum(axes)) / count
        centred = x - mean.reshape(shape)
        variance = _Sum.apply(centred.pow(2).sum(axes)) / count
        self._remember(mean.detach(), variance.detach() * count / max(count - 1, 1))
        out: torch.Tensor = centred * (variance + layer.eps).rsqrt().reshape(shape)
        if layer.affine:
            out = out * layer.weight.reshape(shape) + layer.bias.reshape(shape)
        return out

    def _remember(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        layer: Any = self.layer
        if layer.track_running_stats and layer.momentum:
            layer.running_mean.lerp_(mean, layer.momentum)
            layer.running_var.lerp_(variance, layer.momentum)
            layer.num_batches_tracked.add_(1)
