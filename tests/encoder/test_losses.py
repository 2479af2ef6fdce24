"""The losses against naive float64 loops, in value and in gradient."""

import math

import numpy as np
import pytest
import torch

from pathosig.encoder.training.losses import barlow_loss, cluster_loss, instance_loss


def _naive_nt_xent(rows, partner, tau):
    """Plain loops over float64 tensors; torch only carries the gradient."""
    total = 0.0
    for i in range(len(rows)):
        logits = [sum(rows[i][d] * rows[j][d] for d in range(len(rows[i]))) / tau for j in range(len(rows))]
        others = [torch.exp(logits[j]) for j in range(len(rows)) if j != i]
        total = total - torch.log(torch.exp(logits[partner[i]]) / sum(others))
    return total / len(rows)


def _naive_instance(a, b, tau=0.5):
    n = len(a)
    return _naive_nt_xent([*a, *b], [*range(n, 2 * n), *range(n)], tau)


def _naive_cluster(a, b, tau=1.0):
    k = a.shape[1]
    columns = []
    for c in (a, b):
        for j in range(k):
            column = c[:, j]
            columns.append(column / math.sqrt(1.0) / torch.sqrt(sum(v * v for v in column)))
    loss = _naive_nt_xent(columns, [*range(k, 2 * k), *range(k)], tau)
    for c in (a, b):
        p = [sum(c[i, j] for i in range(len(c))) / len(c) for j in range(k)]
        loss = loss + math.log(k) + sum(q * torch.log(q) for q in p)
    return loss


def _naive_barlow(a, b, weight=0.005, divisor=None):
    n, d = a.shape

    def standard(h):
        mean = h.sum(0) / n
        variance = ((h - mean) ** 2).sum(0) / n
        return (h - mean) / torch.sqrt(variance + 1e-5)

    a, b = standard(a), standard(b)
    loss = 0.0
    for i in range(d):
        for j in range(d):
            c = sum(a[r, i] * b[r, j] for r in range(n)) / (n if divisor is None else divisor)
            loss = loss + ((1 - c) ** 2 if i == j else weight * c**2)
    return loss


def _pair(kind, n, d, seed):
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(2):
        x = torch.tensor(rng.normal(size=(n, d)))
        x = torch.nn.functional.normalize(x, dim=1) if kind == "z" else x.softmax(1) if kind == "c" else x
        out.append(x.requires_grad_())
    return out


CASES = {
    "instance": ("z", instance_loss, _naive_instance, {}),
    "instance at another temperature": (
        "z", instance_loss, lambda a, b: _naive_instance(a, b, 0.1), {"temperature": 0.1},
    ),
    "cluster": ("c", cluster_loss, _naive_cluster, {}),
    "cluster at another temperature": (
        "c", cluster_loss, lambda a, b: _naive_cluster(a, b, 0.3), {"temperature": 0.3},
    ),
    "barlow": ("h", barlow_loss, _naive_barlow, {}),
    "barlow as the original divides": (
        "h", barlow_loss, lambda a, b: _naive_barlow(a, b, 0.02, 2048.0), {"weight": 0.02, "divisor": 2048.0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("n", "d"), [(2, 3), (6, 5), (5, 8)])
def test_loss_equals_naive_loops_in_value_and_gradient(name, n, d):
    kind, fast, naive, options = CASES[name]
    a, b = _pair(kind, n, d, seed=n * 31 + d)
    value = fast(a, b, **options)
    grads = torch.autograd.grad(value, (a, b))
    a2, b2 = (t.detach().clone().requires_grad_() for t in (a, b))
    expected = naive(a2, b2)
    expected_grads = torch.autograd.grad(expected, (a2, b2))
    assert abs(value.item() - expected.item()) < 1e-9
    for got, want in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_loss_in_float32_is_within_1e_6_of_float64(name):
    kind, fast, _, options = CASES[name]
    a, b = _pair(kind, 64, 32, seed=1)
    exact = fast(a, b, **options)
    exact_grads = torch.autograd.grad(exact, (a, b))
    a32, b32 = (t.detach().float().requires_grad_() for t in (a, b))
    value = fast(a32, b32, **options)
    grads = torch.autograd.grad(value, (a32, b32))
    assert abs(value.item() - exact.item()) < 1e-6 * max(1, abs(exact.item()))
    for got, want in zip(grads, exact_grads, strict=True):
        assert float((got.double() - want).abs().max()) < 1e-6


def test_empty_cluster_gives_a_finite_loss_and_gradient():
    logits = torch.zeros(8, 5, dtype=torch.float64)
    logits[:, 4] = -2000.0
    logits.requires_grad_()
    c = logits.softmax(1)
    loss = cluster_loss(c, c)
    (grad,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss)
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize(
    ("batch", "low", "high"),
    [(8, 0.13, 0.19), (16, 0.28, 0.34), (32, 0.58, 0.68), (64, 0.79, 0.89), (256, 0.95, 1.0)],
)
def test_small_batches_forbid_confident_clusters(batch, low, high):
    """The free-logit experiment: what the cluster loss itself wants, with no network in the way."""
    torch.manual_seed(0)
    logits = torch.randn(batch, 50, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(600):
        c = logits.softmax(1)
        loss = cluster_loss(c, c)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert low <= logits.softmax(1).max(1).values.mean().item() <= high
