"""The training loop on a small network."""

import numpy as np
import pytest
import torch

from pathosig.core.errors import NotEstimableError
from pathosig.encoder import ContrastiveClusteringNet, TrainSpec
from pathosig.encoder.training import checkpoint
from pathosig.encoder.training import train as loop
from pathosig.encoder.training.augment import Views
from pathosig.encoder.training.monitor import CollapseWatch, Occupancy, few_steps, occupancy
from pathosig.encoder.training.network import StillStatistics

from .tiny import TinyBackbone

SMALL = {
    "n_clusters": 4,
    "dim": 8,
    "batch_size": 16,
    "epochs": 3,
    "lr": 5e-3,
    "channels_last": False,
    "max_tiles": 64,
}


def _trainer(tiles, spec, **hooks):
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        net = ContrastiveClusteringNet(TinyBackbone(), spec.n_clusters, spec.dim)
    data = loop.Data(rows=lambda i: tiles[i], train=np.arange(48), held_out=np.arange(48, 64))
    return loop.Trainer(loop.start(net, spec), data, spec, views=Views(spec.preset), **hooks)


def _same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_training_lowers_the_loss_and_uses_the_clusters(coloured_tiles):
    spec = TrainSpec(**SMALL | {"epochs": 25})
    state = _trainer(coloured_tiles, spec).run()
    first, last = state.history[0], state.history[-1]
    assert last["total"] < first["total"] - 0.2
    assert last["held_out"] < first["held_out"]
    assert last["perplexity"] > 0.5
    assert state.best_epoch >= 2


def test_same_seed_gives_the_same_weights_and_another_seed_does_not(coloured_tiles):
    runs = [_trainer(coloured_tiles, TrainSpec(**SMALL, seed=s)).run().best for s in (0, 0, 1)]
    assert _same(runs[0], runs[1])
    assert not _same(runs[0], runs[2])


def test_too_few_steps_are_a_warning_that_names_the_epochs_and_the_batch_that_would_do(coloured_tiles):
    state = _trainer(coloured_tiles, TrainSpec(**SMALL)).run()
    assert len(state.warnings) == 1
    assert "only 9 steps (3 epochs of 3 steps of 16 tiles)" in state.warnings[0]
    assert "Raise epochs to 67, or lower batch_size (at least 2 K = 8)" in state.warnings[0]


def test_enough_steps_or_the_published_preset_are_no_warning(coloured_tiles):
    assert few_steps(steps_per_epoch=20, epochs=10, batch=40, n_clusters=20) is None
    assert "lower batch_size" not in str(few_steps(steps_per_epoch=1, epochs=10, batch=40, n_clusters=20))
    paper = TrainSpec.paper(**{k: v for k, v in SMALL.items() if k != "batch_size"})
    assert _trainer(coloured_tiles, paper.replace(epochs=1)).run().warnings == []


def test_held_out_batches_mix_the_held_out_slides_and_are_the_same_every_epoch(coloured_tiles):
    trainer = _trainer(coloured_tiles, TrainSpec(**SMALL))
    trainer.data = loop.Data(rows=trainer.data.rows, train=np.arange(16), held_out=np.arange(16, 64))
    seen = []
    rows, trainer._tiles = trainer._tiles, lambda index: seen.append(index) or rows(index)
    assert trainer.held_out_loss() == trainer.held_out_loss()
    first = [set(batch) for batch in seen[:3]]
    assert [set(batch) for batch in seen[3:]] == first
    for batch in first:  # three "slides" of 16 tiles each, as many as a batch
        assert len({(row - 16) // 16 for row in batch}) == 3


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_resume_from_any_step_is_bit_exact(coloured_tiles, tmp_path, stop):
    spec = TrainSpec(**SMALL)
    whole = _trainer(coloured_tiles, spec).run()

    class Killed(Exception):
        pass

    def die(state):
        if state.step == stop:
            checkpoint.save(tmp_path / "c.safetensors", state, key="k")
            raise Killed

    with pytest.raises(Killed):
        _trainer(coloured_tiles, spec, on_step=die).run()
    second = _trainer(coloured_tiles, spec)
    assert checkpoint.restore(tmp_path / "c.safetensors", second.state, key="k")
    assert second.state.step == stop
    resumed = second.run()
    assert _same(whole.best, resumed.best)
    assert _same(whole.net.state_dict(), resumed.net.state_dict())
    assert whole.history == resumed.history
    assert whole.best_epoch == resumed.best_epoch


def test_checkpoint_of_another_run_or_a_damaged_one_is_not_used(coloured_tiles, tmp_path):
    spec = TrainSpec(**SMALL)
    trainer = _trainer(coloured_tiles, spec)
    path = tmp_path / "c.safetensors"
    assert not checkpoint.restore(path, trainer.state, key="k")
    checkpoint.save(path, trainer.state, key="k")
    assert not checkpoint.restore(path, trainer.state, key="other")
    path.write_bytes(path.read_bytes()[:100])
    assert not checkpoint.restore(path, trainer.state, key="k")


def test_micro_batches_give_the_gradient_of_the_whole_batch(coloured_tiles):
    """Batch norms in eval mode: with their own statistics micro-batches would differ by design."""
    grads = []
    views = Views("recommended")(torch.from_numpy(coloured_tiles[:16]), seed=0)
    for accumulate in (1, 4):
        trainer = _trainer(coloured_tiles, TrainSpec(**SMALL, accumulate=accumulate))
        trainer.state.net.eval()
        losses = trainer.backward(*views)
        grads.append([losses.total.detach(), *(p.grad for p in trainer.state.net.parameters())])
    for one, four in zip(*grads, strict=True):
        torch.testing.assert_close(one, four, rtol=1e-4, atol=1e-6)


def test_micro_batches_leave_running_statistics_to_the_second_pass(coloured_tiles):
    trainer = _trainer(coloured_tiles, TrainSpec(**SMALL, accumulate=2))
    trainer.state.net.train()
    before = trainer.state.net.backbone.net[1].running_mean.clone()
    with StillStatistics(trainer.state.net), torch.no_grad():
        trainer.state.net.embed(torch.randn(4, 3, 32, 32))
    assert torch.equal(before, trainer.state.net.backbone.net[1].running_mean)
    trainer.state.net.embed(torch.randn(4, 3, 32, 32))
    assert not torch.equal(before, trainer.state.net.backbone.net[1].running_mean)


def test_paper_divides_barlow_by_the_width_and_recommended_by_the_batch():
    rng = torch.Generator().manual_seed(0)
    h = tuple(torch.randn(8, 64, generator=rng) for _ in range(2))
    z = tuple(torch.nn.functional.normalize(torch.randn(8, 4, generator=rng)) for _ in range(2))
    c = tuple(torch.randn(8, 50, generator=rng).softmax(1) for _ in range(2))
    paper = loop.total_loss(h, z, c, TrainSpec.paper())
    ours = loop.total_loss(h, z, c, TrainSpec(alpha=0.005))
    assert abs(paper.barlow.item() - 64) < 10  # nearly the constant d: the term cannot be learned
    assert paper.barlow.item() != ours.barlow.item()
    for losses in (paper, ours):
        expected = 0.995 * (losses.instance + losses.cluster) + 0.005 * losses.barlow
        torch.testing.assert_close(losses.total, expected)


def test_the_barlow_term_is_off_by_default_and_then_sends_no_gradient():
    rng = torch.Generator().manual_seed(0)
    h, z = (tuple(torch.randn(8, 16, generator=rng, requires_grad=True) for _ in range(2)) for _ in range(2))
    c = tuple(torch.randn(8, 4, generator=rng).softmax(1) for _ in range(2))
    unit = tuple(torch.nn.functional.normalize(v) for v in z)
    for alpha, sent in ((0.0, False), (0.1, True)):
        losses = loop.total_loss(h, unit, c, TrainSpec(**SMALL, alpha=alpha))
        assert losses.barlow.item() > 1
        losses.total.backward(retain_graph=True)
        assert (h[0].grad is not None) is sent and z[0].grad is not None
    plain = loop.total_loss(h, unit, c, TrainSpec(**SMALL))
    torch.testing.assert_close(plain.total, plain.instance + plain.cluster)


def test_the_criterion_that_keeps_an_epoch_is_without_the_barlow_term(coloured_tiles):
    plain, with_term = (_trainer(coloured_tiles, TrainSpec(**SMALL, alpha=a)) for a in (0.0, 0.5))
    assert plain.held_out_loss() == with_term.held_out_loss()


def test_tiles_on_the_device_are_the_same_rows(coloured_tiles):
    resident = loop._Resident(lambda i: coloured_tiles[i], 64, "cpu")
    index = np.array([5, 0, 63, 5])
    assert np.array_equal(resident(index).numpy(), coloured_tiles[index])
    rows = lambda i: coloured_tiles[i]  # noqa: E731
    assert loop.rows_on_device(rows, 64, "cpu") is rows
    spec = TrainSpec(**SMALL)
    trainers = [_trainer(coloured_tiles, spec), _trainer(coloured_tiles, spec)]
    trainers[1].data = loop.Data(
        rows=resident, train=trainers[0].data.train, held_out=trainers[0].data.held_out
    )
    assert _same(*(t.run().best for t in trainers))


def test_learning_rate_warms_up_and_ends_near_zero():
    spec = TrainSpec(lr=1.0, warmup=0.1)
    rates = [loop.learning_rate(s, 100, spec) for s in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 0.001
    assert loop.learning_rate(0, 100, TrainSpec.paper()) == pytest.approx(5e-4)


def test_too_few_tiles_for_the_clusters_are_refused(coloured_tiles):
    with pytest.raises(NotEstimableError, match="at least 100"):
        _trainer(coloured_tiles, TrainSpec())


def test_occupancy_of_even_and_of_collapsed_assignments():
    even = occupancy(np.eye(5)[np.arange(20) % 5])
    assert even == Occupancy(perplexity=pytest.approx(1.0), empty=0, confidence=1.0)
    one = occupancy(np.tile([0.6, 0.1, 0.1, 0.1, 0.1], (20, 1)))
    assert one.perplexity == pytest.approx(0.2)
    assert one.empty == 4
    assert one.confidence == pytest.approx(0.6)


def test_collapse_warns_early_and_then_stops_with_advice():
    watch = CollapseWatch(min_perplexity=0.3, patience=2)
    good, thin, bad = (Occupancy(perplexity=p, empty=3, confidence=0.9) for p in (0.8, 0.4, 0.1))
    assert watch.see(bad, epoch=1, after=2) is None  # the heads start at random
    assert watch.see(good, epoch=2, after=2) is None
    assert "close to collapse" in watch.see(thin, epoch=3, after=2)
    assert "below 0.3" in watch.see(bad, epoch=4, after=2)
    with pytest.raises(NotEstimableError, match="Raise batch_size") as error:
        watch.see(bad, epoch=5, after=2)
    assert error.value.code == "E_COLLAPSE"


def test_divergence_stops_at_once(coloured_tiles):
    trainer = _trainer(coloured_tiles, TrainSpec(**SMALL))
    with torch.no_grad():
        trainer.state.net.instance_head[0].weight[0, 0] = float("nan")
    with pytest.raises(NotEstimableError, match="step 0 is nan"):
        trainer.run()


def test_training_that_collapses_is_stopped(coloured_tiles):
    spec = TrainSpec(**SMALL | {"epochs": 10, "min_perplexity": 0.9, "patience": 1})
    grey = np.full_like(coloured_tiles, 200)
    with pytest.raises(NotEstimableError, match="collapsed"):
        _trainer(grey, spec).run()


@pytest.mark.parametrize(
    ("settings", "term"),
    [
        ({"temperature_instance": 0.1}, "instance"),
        ({"temperature_cluster": 0.3}, "cluster"),
        ({"barlow_weight": 0.5}, "barlow"),
    ],
)
def test_temperatures_and_weights_change_their_own_term_of_the_loss(settings, term):
    generator = torch.Generator().manual_seed(0)

    def views(width):
        return tuple(torch.rand((16, width), generator=generator) for _ in range(2))

    h, z = views(12), tuple(torch.nn.functional.normalize(v, dim=1) for v in views(8))
    c = tuple(v.softmax(dim=1) for v in views(4))
    before, after = (loop.total_loss(h, z, c, TrainSpec(**SMALL, **s)) for s in ({}, settings))
    changed = {
        name for name in ("instance", "cluster", "barlow") if getattr(before, name) != getattr(after, name)
    }
    assert changed == {term}
