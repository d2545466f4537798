"""linear_reweighted_cross_entropy: identities, which need no reference."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from atjt_ext.ops import linear_reweighted_cross_entropy as linear_loss
from helpers.linear_rows import OPTIONS, assert_alike, example, finest, ours
from helpers.weighted_rows import REDUCTIONS


def test_rows_of_the_table_gradient_sum_to_zero(device: torch.device) -> None:
    for reduction, temperature in itertools.product(REDUCTIONS, (1.0, 0.3)):
        rows = example(33, 70, 8, device).to(finest(device))
        got = ours(rows, reduction=reduction, temperature=temperature)
        limit = 1e-13 if finest(device) == torch.float64 else 1e-6
        assert float(got.table.sum(0).norm()) < limit * float(got.table.abs().sum())
        assert float(got.bias.sum().abs()) < limit * float(got.bias.abs().sum())


def test_with_label_smoothing_they_still_do(device: torch.device) -> None:
    rows = example(33, 70, 8, device).to(finest(device))
    got = ours(rows, reduction="sum", label_smoothing=0.3)
    limit = 1e-13 if finest(device) == torch.float64 else 1e-6
    assert float(got.table.sum(0).norm()) < limit * float(got.table.abs().sum())
    assert float(got.bias.sum().abs()) < limit * float(got.bias.abs().sum())


def test_weighted_mean_knows_only_relative_weights(device: torch.device) -> None:
    rows = example(12, 9, 4, device).to(finest(device))
    got = ours(rows, reduction="weighted_mean")
    scaled = ours(rows._replace(weight=7 * rows.weight), reduction="weighted_mean")
    assert_alike(scaled, got, "loss table")
    balance = (rows.weight * got.weight).sum()
    torch.testing.assert_close(balance, torch.zeros_like(balance))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_integer_weight_is_a_repeated_row(device: torch.device, options: dict[str, Any]) -> None:
    rows = example(12, 9, 4, device).to(finest(device))
    times = torch.arange(12, device=device) % 4  # 0: the row is dropped
    got = ours(rows._replace(weight=times.to(rows.weight)), reduction="weighted_mean", **options)
    index = torch.arange(12, device=device).repeat_interleave(times)
    ones = rows._replace(weight=torch.ones_like(rows.weight))
    wanted = ours(ones.part(index), reduction="mean", **options)
    assert_alike(got, wanted, "loss table bias")
    torch.testing.assert_close(
        got.hidden, torch.zeros_like(rows.hidden).index_add_(0, index, wanted.hidden)
    )


def test_the_loss_of_a_batch_is_that_of_its_parts(device: torch.device) -> None:
    rows = example(13, 50, 8, device).to(finest(device))
    whole = ours(rows, reduction="sum", label_smoothing=0.1)
    parts = [
        ours(rows.part(slice(first, first + 5)), reduction="sum", label_smoothing=0.1)
        for first in (0, 5, 10)
    ]
    torch.testing.assert_close(whole.loss, sum(part.loss for part in parts))
    torch.testing.assert_close(whole.table, sum(part.table for part in parts))
    torch.testing.assert_close(whole.bias, sum(part.bias for part in parts))
    torch.testing.assert_close(whole.hidden, torch.cat([part.hidden for part in parts]))
    torch.testing.assert_close(whole.weight, torch.cat([part.weight for part in parts]))


def test_items_may_be_renumbered(device: torch.device) -> None:
    rows = example(13, 50, 8, device).to(finest(device))
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0)).to(device)
    number = torch.argsort(order)
    targets = torch.where(rows.targets == -100, -100, number[rows.targets.clamp(min=0)])
    renumbered = rows._replace(table=rows.table[order], bias=rows.bias[order], targets=targets)
    wanted, got = ours(rows), ours(renumbered)
    assert_alike(got, wanted, "loss hidden")
    torch.testing.assert_close(got.table, wanted.table[order])
    torch.testing.assert_close(got.bias, wanted.bias[order])


def test_rows_may_come_in_any_order(device: torch.device) -> None:
    rows = example(21, 6, 8, device).to(finest(device))  # several rows per target
    order = torch.randperm(21, generator=torch.Generator().manual_seed(0)).to(device)
    wanted, got = ours(rows, reduction="none"), ours(rows.part(order), reduction="none")
    # The batch affects a row only through its tile.
    torch.testing.assert_close(got.loss, wanted.loss[order])
    torch.testing.assert_close(got.hidden, wanted.hidden[order])
    torch.testing.assert_close(got.table, wanted.table)


def test_temperature_divides_hidden_states_and_bias(device: torch.device) -> None:
    rows = example(9, 20, 4, device).to(finest(device))
    got = ours(rows, temperature=0.25)
    wanted = ours(rows._replace(hidden=rows.hidden * 4, bias=rows.bias * 4))
    torch.testing.assert_close(got.loss, wanted.loss)
    torch.testing.assert_close(got.hidden, 4 * wanted.hidden)
    torch.testing.assert_close(got.table, wanted.table)
    torch.testing.assert_close(got.bias, 4 * wanted.bias)


def test_z_loss_is_a_multiple_of_the_squared_lse(device: torch.device) -> None:
    hidden, table, targets, _, bias = example(9, 20, 4, device).to(finest(device))
    options: Any = {"bias": bias, "reduction": "none", "return_lse": True}
    plain, lse = linear_loss(hidden, table, targets, **options)
    with_z, same = linear_loss(hidden, table, targets, z_loss=0.5, **options)
    assert torch.equal(lse, same)
    torch.testing.assert_close(with_z, plain + lse**2 / 2)
    assert not lse[targets == -100].any()
