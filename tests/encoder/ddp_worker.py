"""Run by torchrun in test_parallel.py: two processes, half of the batch each."""

import sys

import numpy as np
import torch

from pathosig.encoder import ContrastiveClusteringNet, TrainSpec
from pathosig.encoder.training import parallel
from pathosig.encoder.training import train as loop

if __package__:
    from .tiny import TinyBackbone
else:  # run by torchrun as a script
    from tiny import TinyBackbone


def trainer():
    """A trainer in this process; the same weights everywhere."""
    torch.manual_seed(0)
    net = ContrastiveClusteringNet(TinyBackbone(), 4, 8)
    spec = TrainSpec(n_clusters=4, dim=8, batch_size=16, epochs=1, lr=0.01, channels_last=False, alpha=0.3)
    data = loop.Data(
        rows=lambda i: np.zeros((len(i), 8, 8, 3), np.uint8), train=np.arange(16), held_out=np.arange(0)
    )
    return loop.Trainer(loop.start(net, spec), data, spec, views=loop.Views("recommended"))


def two_steps(a, b):
    """Two optimiser steps; returns losses, first gradients and final weights by name."""
    t = trainer()
    rank, size = parallel.world()
    share = len(a) // size
    mine = slice(rank * share, (rank + 1) * share)
    out = {}
    for step in range(2):
        t.state.net.train()
        t.state.optimiser.zero_grad()
        losses = t.backward(a[mine], b[mine])
        parallel.average_gradients(t.state.net.parameters())
        out[f"loss{step}"] = losses.total.detach().reshape(1)
        if step == 0:
            out |= {f"grad/{n}": p.grad.clone() for n, p in t.state.net.named_parameters()}
        t.state.optimiser.step()
    out |= {f"weight/{n}": v.float().clone() for n, v in t.state.net.state_dict().items()}
    return out


if __name__ == "__main__":
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(1)
    given = load_file(sys.argv[1])
    parallel.start_from_environment()
    result = two_steps(given["a"], given["b"])
    if parallel.world()[0] == 0:
        save_file(result, sys.argv[2])
    torch.distributed.destroy_process_group()
