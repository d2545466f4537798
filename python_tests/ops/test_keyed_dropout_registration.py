"""keyed_dropout as a torch operator: strides, fakes, torch.compile, no waiting for a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext.ops import keyed_dropout
from helpers.operators import COMPILES, compiled, no_waiting

KEYS = torch.tensor([0, 1, -1, 2**63 - 1, -(2**63), 7 * 10**12, 1])
POSITIONS = torch.tensor([0, 0, 1, 7, 2**23 - 1, 199, 3])


def test_the_operator_is_registered_correctly(device: torch.device) -> None:
    keys, positions = KEYS.to(device), POSITIONS.to(device)
    for values in (torch.randn(7, 9), torch.randn(9, 7).bfloat16().t()):
        torch.library.opcheck(
            torch.ops.atjt_ext._keyed_dropout.default,
            (values.to(device), keys, positions, 2**15, 1, 2, 3, None, keys[1]),
        )


@COMPILES
def test_it_compiles_without_a_graph_break(device: torch.device) -> None:
    def step_of(values: Tensor, row_keys: Tensor, positions: Tensor, step: int | Tensor) -> Tensor:
        options: dict[str, Any] = dict(row_keys=row_keys, positions=positions, seed=3, step=step)
        hidden = keyed_dropout(values * 2, 0.5, layer=0, **options)
        return keyed_dropout(hidden.relu(), 0.25, layer=1, **options).square().sum()

    keys, positions = KEYS.to(device), POSITIONS.to(device)
    run = compiled(step_of)
    for rows, step in ((7, 5), (7, 6), (5, torch.tensor(7, device=device))):
        results = []
        for function in (run, step_of):
            values = torch.linspace(1, 2, 30 * rows, device=device).view(rows, 30).requires_grad_()
            loss = function(values, keys[:rows], positions[:rows], step)
            results.append((loss.detach(), *torch.autograd.grad(loss, values)))
        torch.testing.assert_close(*results)
        assert results[0][1].any()


@pytest.mark.cuda
@pytest.mark.usefixtures("cuda_kernels")
def test_nothing_waits_for_the_device() -> None:
    values, step = torch.ones(7, 64, device="cuda", requires_grad=True), torch.tensor(1).cuda()
    keys, positions = KEYS.cuda(), POSITIONS.cuda()
    with no_waiting():
        loss = keyed_dropout(values, 0.5, keys, positions, layer=0, seed=1, step=step).sum()
        loss.backward()
