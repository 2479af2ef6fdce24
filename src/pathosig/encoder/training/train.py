"""The training loop of deep contrastive clustering. It does not touch the disk: a function returns tiles.

Everything random in step s of epoch e follows from (seed, e, s), so that a run that is interrupted and
resumed takes the same steps as one that is not.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from pathosig.core.errors import NotEstimableError
from pathosig.encoder.spec import TrainSpec
from pathosig.encoder.training import parallel
from pathosig.encoder.training.augment import Views
from pathosig.encoder.training.losses import barlow_loss, cluster_loss, instance_loss
from pathosig.encoder.training.monitor import CollapseWatch, Occupancy, check_finite, few_steps, occupancy
from pathosig.encoder.training.network import ContrastiveClusteringNet, StillStatistics

Rows = Callable[[np.ndarray], "np.ndarray | torch.Tensor"]
logger = logging.getLogger(__name__)
MONITOR_TILES = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class Losses:
    """The total loss of one step, and its parts."""

    total: torch.Tensor
    instance: torch.Tensor
    cluster: torch.Tensor
    barlow: torch.Tensor


@dataclass(kw_only=True)
class TrainState:
    """The state of training, with everything that a checkpoint needs.

    Attributes
    ----------
    net, average, optimiser
        The network, the moving average of its weights, and the optimiser.
    step, bad_epochs
        Number of optimiser steps so far, and of consecutive epochs with too little occupancy.
    best_value, best_epoch, best
        Criterion, number (from 1) and weights of the best epoch so far.
    history, running
        One dict for each finished epoch, and the sums of the losses in the present one.
    """

    net: ContrastiveClusteringNet
    average: ContrastiveClusteringNet
    optimiser: torch.optim.AdamW
    step: int = 0
    best_value: float = math.inf
    best_epoch: int = -1
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    bad_epochs: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """The tiles of a training run.

    Attributes
    ----------
    rows
        Returns the tiles of row numbers, uint8 (n, h, w, 3), on the CPU or already on the device.
    train, held_out
        Row numbers; no patient is in both.
    """

    rows: Rows
    train: np.ndarray
    held_out: np.ndarray


def rows_on_device(rows: Rows, n: int, device: str, *, share: float = 0.4) -> Rows:
    """Move all tiles to a GPU if they take at most `share` of its free memory; otherwise return `rows`."""
    if not device.startswith("cuda") or not n:
        return rows
    first = rows(np.arange(1))
    free, _ = torch.cuda.mem_get_info(device)
    if first.nbytes * n > share * free:
        return rows
    return _Resident(rows, n, device)


class _Resident:
    """All tiles in one tensor on a device, accessible by row number."""

    def __init__(self, rows: Rows, n: int, device: str) -> None:
        first = rows(np.arange(1))
        self.tiles = torch.empty((n, *first.shape[1:]), dtype=torch.uint8, device=device)
        for at in range(0, n, 1024):
            tiles = rows(np.arange(at, min(at + 1024, n)))
            self.tiles[at : at + len(tiles)] = torch.as_tensor(tiles)

    def __call__(self, index: np.ndarray) -> torch.Tensor:
        return self.tiles[torch.as_tensor(index, device=self.tiles.device)]


def total_loss(
    h: tuple[torch.Tensor, torch.Tensor],
    z: tuple[torch.Tensor, torch.Tensor],
    c: tuple[torch.Tensor, torch.Tensor],
    spec: TrainSpec,
) -> Losses:
    """L = (1 - alpha) (L_inst + L_clu) + alpha L_BT, in float32; with alpha = 0 the Barlow term has no gradient."""
    h, z, c = ((a.float(), b.float()) for a, b in (h, z, c))
    width = float(h[0].shape[1])
    instance = instance_loss(*z, temperature=spec.temperature_instance)
    cluster = cluster_loss(*c, temperature=spec.temperature_cluster)
    divisor = width if spec.preset == "paper" else None
    with torch.set_grad_enabled(torch.is_grad_enabled() and spec.alpha > 0):
        barlow = barlow_loss(*h, weight=spec.barlow_weight, divisor=divisor)
    total = instance + cluster
    if spec.alpha:
        total = (1 - spec.alpha) * total + spec.alpha * barlow
    return Losses(total=total, instance=instance, cluster=cluster, barlow=barlow)


def learning_rate(step: int, steps: int, spec: TrainSpec) -> float:
    """Learning rate of a step: a linear warm-up, then half a cosine period down to 0."""
    warm = round(spec.warmup * steps)
    if step < warm:
        return spec.lr * (step + 1) / warm
    return spec.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def start(net: ContrastiveClusteringNet, spec: TrainSpec, *, device: str = "cpu") -> TrainState:
    """A new training state for `net`."""
    net.to(device)
    if spec.channels_last:
        net.to(memory_format=torch.channels_last)
    net.requires_grad_(True)
    parallel.synchronise_batch_norm(net)
    average = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=spec.lr, weight_decay=spec.weight_decay)
    return TrainState(net=net, average=average, optimiser=optimiser)


class Trainer:
    """Trains a network from the state that it is given.

    Parameters
    ----------
    state
        The network, the optimiser and their progress.
    data
        Training tiles and held-out tiles.
    spec
        Settings of the training.
    views
        The augmentation.
    device
        ``cpu`` or ``cuda``.
    on_epoch
        Called after every epoch with its line of the log.
    on_step
        Called after every step, for checkpoints.
    """

    def __init__(
        self,
        state: TrainState,
        data: Data,
        spec: TrainSpec,
        *,
        views: Views,
        device: str = "cpu",
        on_epoch: Callable[[dict[str, float]], None] = lambda line: None,
        on_step: Callable[[TrainState], None] = lambda state: None,
    ) -> None:
        self.state, self.data, self.spec = state, data, spec
        self.views = views.to(device)
        self.device = device
        self.on_epoch, self.on_step = on_epoch, on_step
        self.batch = min(spec.batch_size, len(data.train))
        self.rank, self.world = parallel.world()
        self.batch -= self.batch % (self.world * spec.accumulate)
        if self.batch < 2 or (spec.preset != "paper" and self.batch < 2 * spec.n_clusters):
            message = (
                f"training: {len(data.train)} training tiles allow {self.batch} tiles in a step; n_clusters "
                f"{spec.n_clusters} needs at least {2 * spec.n_clusters}. Use more slides or tiles, or lower n_clusters."
            )
            raise NotEstimableError(message, code="E_BATCH")
        self.steps_per_epoch = len(data.train) // self.batch
        self.bf16 = spec.precision == "bf16" or (spec.precision == "auto" and device != "cpu")
        self.embed: Callable[[torch.Tensor], torch.Tensor] = state.net.embed
        if spec.compile:
            self.embed = torch.compile(state.net.embed)

    def run(self) -> TrainState:
        """Train from the present state to the last epoch, and return the state."""
        steps = self.steps_per_epoch * self.spec.epochs
        self._warn_of_few_steps()
        while self.state.step < steps:
            epoch, at = divmod(self.state.step, self.steps_per_epoch)
            order = self._order(epoch)
            began = time.perf_counter()
            for s in range(at, self.steps_per_epoch):
                chosen = order[s * self.batch : (s + 1) * self.batch]
                self._one_step(chosen, epoch, s, steps)
                if s + 1 < self.steps_per_epoch:
                    self.on_step(self.state)
            done = (self.steps_per_epoch - at) * self.batch
            self._end_epoch(epoch, done / (time.perf_counter() - began))
            self.on_step(self.state)
        return self.state

    def _warn_of_few_steps(self) -> None:
        spec = self.spec
        # A resumed run has warned before, and the published settings are used as they are published.
        if self.state.step or spec.preset == "paper":
            return
        note = few_steps(
            steps_per_epoch=self.steps_per_epoch, epochs=spec.epochs, batch=self.batch,
            n_clusters=spec.n_clusters,
        )  # fmt: skip
        if note:
            self.state.warnings.append(note)
            logger.warning(note)

    # -- one step ---------------------------------------------------------------------------

    def _order(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.spec.seed, 1, epoch])
        return rng.permutation(self.data.train)

    def _one_step(self, chosen: np.ndarray, epoch: int, s: int, steps: int) -> None:
        state, spec = self.state, self.spec
        share = len(chosen) // self.world
        mine = chosen[self.rank * share : (self.rank + 1) * share]
        tiles = self._tiles(mine)
        seed = int(np.random.default_rng([spec.seed, 2, epoch, s]).integers(2**62))
        a, b = self.views(tiles, seed=seed, start=self.rank * share, total=len(chosen))
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(state.step, steps, spec)
        state.net.train()
        state.optimiser.zero_grad(set_to_none=True)
        losses = self.backward(a, b)
        check_finite(losses.total.item(), step=state.step)
        parallel.average_gradients(state.net.parameters())
        state.optimiser.step()
        state.step += 1
        self._average()
        for name in ("total", "instance", "cluster", "barlow"):
            state.running[name] = state.running.get(name, 0.0) + getattr(losses, name).item()
        state.running["steps"] = state.running.get("steps", 0.0) + 1
        logger.info(
            "epoch %d/%d step %d/%d loss %.4f", epoch + 1, spec.epochs, s + 1, self.steps_per_epoch,
            losses.total.item(),
        )  # fmt: skip

    def _tiles(self, rows: np.ndarray) -> torch.Tensor:
        tiles = self.data.rows(rows)
        tiles = torch.from_numpy(tiles) if isinstance(tiles, np.ndarray) else tiles
        return tiles.to(self.device, non_blocking=True)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.bf16)

    def _outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        with self._autocast():
            h = self.embed(x)
            z, c = self.state.net.heads(h)
        return h, z, c

    def backward(self, a: torch.Tensor, b: torch.Tensor) -> Losses:
        """Compute the gradients of the loss over the whole batch, whatever the number of micro-batches."""
        if self.spec.accumulate == 1:
            losses = self._loss(self._outputs(a), self._outputs(b))
            losses.total.backward()  # type: ignore[no-untyped-call]
            return losses
        parts_a, parts_b = a.chunk(self.spec.accumulate), b.chunk(self.spec.accumulate)
        with torch.no_grad(), StillStatistics(self.state.net):
            outs = [[self._outputs(p) for p in parts] for parts in (parts_a, parts_b)]
        leaves = [tuple(torch.cat([o[i] for o in view]).requires_grad_() for i in range(3)) for view in outs]
        losses = self._loss(leaves[0], leaves[1])
        losses.total.backward()  # type: ignore[no-untyped-call]
        for parts, leaf in zip((parts_a, parts_b), leaves, strict=True):
            grads = [None if t.grad is None else t.grad.chunk(len(parts)) for t in leaf]
            for i, micro in enumerate(parts):
                pairs = zip(self._outputs(micro), grads, strict=True)
                sent = [(out, g[i]) for out, g in pairs if g is not None]
                torch.autograd.backward([out for out, _ in sent], [g for _, g in sent])
        return losses

    def _loss(self, out_a: tuple[torch.Tensor, ...], out_b: tuple[torch.Tensor, ...]) -> Losses:
        pairs = [(parallel.gather(x), parallel.gather(y)) for x, y in zip(out_a, out_b, strict=True)]
        return total_loss(pairs[0], pairs[1], pairs[2], self.spec)

    @torch.no_grad()
    def _average(self) -> None:
        """Update the exponential moving average of the weights, with a smaller decay in the first steps."""
        state = self.state
        decay = min(self.spec.ema, state.step / (10 + state.step)) if self.spec.ema else 0.0
        for weight, latest in zip(state.average.parameters(), state.net.parameters(), strict=True):
            weight.lerp_(latest, 1 - decay)
        for old, new in zip(state.average.buffers(), state.net.buffers(), strict=True):
            old.copy_(new)

    # -- end of an epoch --------------------------------------------------------------------

    def _end_epoch(self, epoch: int, tiles_per_s: float) -> None:
        state, spec = self.state, self.spec
        steps = state.running.pop("steps", 1.0)
        line: dict[str, float] = {"epoch": epoch + 1, "step": state.step}
        line |= {name: value / steps for name, value in sorted(state.running.items())}
        state.running = {}
        line["held_out"] = self.held_out_loss()
        usage = self.occupancy()
        line |= {"perplexity": usage.perplexity, "empty": usage.empty, "confidence": usage.confidence}
        line["lr"] = float(state.optimiser.param_groups[0]["lr"])
        state.history.append(line)
        logger.info(
            "epoch %d/%d: %.1f tiles/s, loss %.4f, held out %.4f, occupancy %.2f, %d empty, confidence %.2f",
            epoch + 1, spec.epochs, tiles_per_s, line["total"], line["held_out"], usage.perplexity,
            usage.empty, usage.confidence,
        )  # fmt: skip
        value = line["held_out"] if len(self.data.held_out) else -float(epoch)
        if value < state.best_value:
            state.best_value, state.best_epoch = value, epoch + 1
            state.best = {k: v.detach().cpu().clone() for k, v in state.average.state_dict().items()}
        self.on_epoch({**line, "tiles_per_s": tiles_per_s})
        self._watch(usage, epoch)

    def _watch(self, usage: Occupancy, epoch: int) -> None:
        state, spec = self.state, self.spec
        watch = CollapseWatch(
            min_perplexity=spec.min_perplexity, patience=spec.patience, bad_epochs=state.bad_epochs
        )
        if spec.preset == "paper":  # the published method does not stop when training collapses
            return
        note = watch.see(usage, epoch=epoch + 1, after=max(2, math.ceil(0.2 * spec.epochs)))
        state.bad_epochs = watch.bad_epochs
        if note:
            state.warnings.append(note)
            logger.warning(note)

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Instance plus cluster loss of the averaged weights on held-out tiles, which selects the best epoch.

        NaN without held-out tiles. The Barlow term is left out, because it continues to fall while the embedding gets worse.
        Batches and views are the same in every epoch. Batches are sampled over all held-out slides, as in training: with rows
        in order, a batch would come from one slide, and the cluster loss would demand every phenotype of each slide.
        """
        if not len(self.data.held_out):
            return math.nan
        rows = np.random.default_rng([self.spec.seed, 5]).permutation(self.data.held_out)
        net = self.state.average.eval()
        total, seen = 0.0, 0
        size = min(self.spec.batch_size, len(rows))
        for start_row in range(0, len(rows) - size + 1, size):
            tiles = self._tiles(rows[start_row : start_row + size])
            outs = []
            for view in self.views(tiles, seed=self.spec.seed + start_row):
                parts = [self._eval(net, micro) for micro in view.split(64)]
                outs.append(tuple(torch.cat([p[i] for p in parts]) for i in range(3)))
            pairs = list(zip(*outs, strict=True))
            losses = total_loss(pairs[0], pairs[1], pairs[2], self.spec)
            total += losses.instance.item() + losses.cluster.item()
            seen += 1
        return total / seen

    def _eval(self, net: ContrastiveClusteringNet, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with self._autocast():
            h = net.embed(x)
            return (h, *net.heads(h))

    @torch.no_grad()
    def occupancy(self) -> Occupancy:
        """Occupancy of the clusters by tiles without augmentation, under the averaged weights.

        These are held-out tiles, or training tiles if too few are held out.
        """
        rows = self.data.held_out if len(self.data.held_out) >= 2 * self.spec.n_clusters else self.data.train
        if len(rows) > MONITOR_TILES:
            rows = np.random.default_rng([self.spec.seed, 3]).choice(rows, MONITOR_TILES, replace=False)
        net = self.state.average.eval()
        out: list[np.ndarray] = []
        for at in range(0, len(rows), 64):
            tiles = self._tiles(rows[at : at + 64])
            out.append(self._eval(net, self.views.plain(tiles))[2].float().cpu().numpy())
        return occupancy(np.concatenate(out))
