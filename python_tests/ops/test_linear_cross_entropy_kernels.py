"""The kernels of the whole-catalogue loss against the definition in their C++ header."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import emulator
from helpers.catalogue_kernels import (
    Catalogue,
    Forward,
    catalogue,
    defined_table_gradient,
    forward,
    table_gradient,
)
from helpers.operators import assert_all_close, assert_all_equal, skip_without_kernel
from helpers.weighted_rows import DTYPES, HALVES, relative_error, rounded_once

# Single rows, items and columns; around vectors of 4, 8 and 16 numbers, three of which make a tile;
# around the 256 numbers of one pass.
SHAPES = [(1, 1, 1), (1, 300, 7), (47, 1, 3), (5, 7, 31), (9, 25, 200), (49, 257, 33)]
SHAPES += [(5, 50, 128), (258, 5, 64), (17, 33, 96), (33, 16, 300)]


def unit_of(c: Catalogue, *, product: bool = False) -> float:
    """The allowed relative error beyond torch's own."""
    # Rounding of logits changes probabilities by about a tenth of the last place of the largest.
    chance = 0.1 * torch.finfo(c.arithmetic).eps * float(c.logits().abs().max()) if product else 0.0
    if c.hidden.dtype == torch.float64:
        return 1e-14 + chance
    if product and c.hidden.dtype in HALVES and emulator.runs_cuda_kernels(c.hidden.device):
        return torch.finfo(c.hidden.dtype).eps  # tensor cores multiply probabilities as halves
    return 5e-7 + chance


def assert_no_worse(got: Tensor, peer: Tensor, wanted: Tensor, unit: float, size: float) -> None:
    """The error is at most torch's error on the same inputs plus `unit` times the size."""
    torchs = float((peer.double() - wanted).norm())
    scale = max(float(wanted.norm()), size)
    assert float((got.double() - wanted).norm()) <= torchs + unit * scale


def row_factors(c: Catalogue, result: Forward) -> tuple[Tensor, Tensor]:
    """Factors of the mean loss, and (p - 1) / rows for the targets."""
    grad = 1 / len(c.hidden)
    factors = grad / result.sums
    return factors, grad * (torch.exp(-result.losses) - 1)


def assert_as_defined(c: Catalogue, *, num_threads: int = 1) -> None:
    exact, eager = c.as_dtype(torch.float64), c.as_dtype(c.arithmetic)
    result = forward(c, num_threads=num_threads)
    assert result.mean_embedding is not None
    logits, peers = exact.logits(), eager.logits()
    targets = c.targets[: c.rows]
    losses = F.cross_entropy(logits, targets, reduction="none")
    peer_losses = F.cross_entropy(peers, targets, reduction="none")
    assert_no_worse(
        result.losses[: c.rows], peer_losses, losses, unit_of(c), size=float(logits.abs().max())
    )
    if not emulator.runs_cuda_kernels(c.hidden.device):  # the sum includes the target's logit
        assert bool((result.losses[: c.rows] >= 0).all())

    below = logits.max(dim=1).values - result.origins[: c.rows]
    assert bool(((below > -1e-4 * logits.abs().max() - 1e-9) & (below < 40)).all())
    lse = result.origins[: c.rows].double() + result.sums[: c.rows].double().log()
    torch.testing.assert_close(
        lse, logits.logsumexp(1), rtol=0, atol=2e-6 * max(1.0, float(logits.abs().max()))
    )
    assert_no_worse(
        result.mean_embedding[: c.rows],
        peers.softmax(1) @ eager.table,
        logits.softmax(1) @ exact.table,
        unit_of(c, product=True),
        size=1e-30,
    )

    factors, target_factors = row_factors(c, result)
    arguments = (result.origins, factors, target_factors)
    grad_table, grad_bias = table_gradient(
        c,
        *arguments,
        grad_table=torch.full_like(c.table, -777.0, dtype=c.arithmetic),
        num_threads=num_threads,
    )
    assert grad_bias is not None
    wanted = defined_table_gradient(exact, *arguments)
    peer = defined_table_gradient(eager, *arguments)
    # The bias gradient is a difference: an item's factors minus those of its targets.
    sizes = (1e-30, float(target_factors.norm(1)))
    for got, by_torch, truth, size in zip(
        (grad_table, grad_bias), peer, wanted, sizes, strict=True
    ):
        assert_no_worse(got, by_torch, truth, unit_of(c, product=True), size=size)
    if c.hidden.dtype in HALVES:
        stored, _ = table_gradient(c, *arguments)
        slack = 3 * unit_of(c, product=True) * wanted[0].abs().max()
        assert rounded_once(stored, wanted[0], slack=float(slack))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_both_passes_are_as_defined(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]
) -> None:
    skip_without_kernel(device, dtype, shape[2])
    assert_as_defined(catalogue(*shape, device, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_instruction_set_is_as_defined(isa: str, dtype: torch.dtype) -> None:
    # The last two split the stream into parts.
    for shape in [*SHAPES, (100, 1100, 40), (3, 9000, 7), (9000, 3, 7)]:
        assert_as_defined(
            catalogue(*shape, torch.device("cpu"), dtype=dtype, bias=True), num_threads=2
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_bias_and_scale(device: torch.device, dtype: torch.dtype) -> None:
    skip_without_kernel(device, dtype)
    for scale in (0.25, 3.0):
        assert_as_defined(catalogue(19, 70, 20, device, dtype=dtype, bias=True, scale=scale))


@pytest.mark.parametrize("spread", [0.0, 1.0, 10.0, 40.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_flat_and_steep_logits(device: torch.device, dtype: torch.dtype, spread: float) -> None:
    skip_without_kernel(device, dtype)
    assert_as_defined(catalogue(19, 600, 20, device, dtype=dtype, spread=spread))


def test_one_huge_row_and_ties(device: torch.device) -> None:
    c = catalogue(19, 600, 20, device)
    huge, ties = c.hidden.clone(), c.hidden.clone()
    huge[7] *= 1000
    ties[7] = ties[8] = 0
    for hidden in (huge, ties):
        assert_as_defined(replace(c, hidden=hidden))


@pytest.mark.parametrize("shape", [(100, 5000, 33), (3, 9000, 7), (9000, 3, 7)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_number_of_threads_does_not_show(
    dtype: torch.dtype, shape: tuple[int, int, int]
) -> None:
    c = catalogue(*shape, torch.device("cpu"), dtype=dtype, bias=True)
    once = forward(c)
    arguments = (once.origins, *row_factors(c, once))
    gradient = table_gradient(c, *arguments)
    for num_threads in (1, 2, 3):
        again = forward(c, num_threads=num_threads)
        assert_all_equal(once, again)
        for a, b in zip(
            gradient, table_gradient(c, *arguments, num_threads=num_threads), strict=True
        ):
            assert torch.equal(a, b)


def test_rows_that_do_not_count(device: torch.device) -> None:
    c = catalogue(30, 90, 10, device)
    for counted in (0, 1, 17, 30):
        hidden, targets = c.hidden.clone(), c.targets.clone()
        hidden[counted:], targets[counted:] = torch.nan, -1
        some = replace(c, hidden=hidden, targets=targets, rows_counted=counted)
        result = forward(some)
        for got, rest in zip(result, (0, 0, 1, 0), strict=True):
            assert got is not None
            assert bool((got[counted:] == rest).all())
        factors = torch.ones_like(result.sums)
        grads = table_gradient(some, result.origins, factors, factors)
        if counted == 0:
            assert grads[1] is not None
            assert not grads[0].any()
            assert not grads[1].any()
            continue
        assert_as_defined(some)


def test_no_mean_embedding_no_bias_gradient(device: torch.device) -> None:
    c = catalogue(30, 90, 10, device)
    everything, some = forward(c), forward(c, mean=False)
    assert_all_close(everything[:3], some[:3], rtol=1e-6, atol=1e-6)
    arguments = (everything.origins, *row_factors(c, everything))
    torch.testing.assert_close(
        table_gradient(c, *arguments, bias=False)[0], table_gradient(c, *arguments)[0]
    )


# With few items and many rows, where parts are summed afterwards, and without parts.
@pytest.mark.parametrize("shape", [(20, 60, 9), (5000, 3, 9)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_options_of_the_table_gradient(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]
) -> None:
    if emulator.runs_cuda_kernels(device):
        shape = (min(shape[0], 300), *shape[1:])
    c = catalogue(*shape, device, dtype=dtype)
    origins = forward(c).origins
    generator = torch.Generator().manual_seed(1)
    factors, target_factors = (
        torch.rand(len(c.hidden), generator=generator).to(device) for _ in range(2)
    )
    unscale = torch.tensor(0.25, device=device)
    shift = torch.randn(9, generator=generator).to(device)
    before = torch.randn(c.table.shape, generator=generator).to(device)
    exact = c.as_dtype(torch.float64)
    plain, bias = defined_table_gradient(exact, origins, factors * 0.25, target_factors)
    unit = unit_of(c, product=True)
    for accumulate in (False, True):
        for stored in {dtype, torch.float32}:
            got, got_bias = table_gradient(
                c,
                origins,
                factors,
                target_factors,
                unscale=unscale,
                shift=shift,
                grad_table=before.to(stored, copy=True),
                accumulate=accumulate,
            )
            wanted = plain + shift + (before.to(stored).double() if accumulate else 0)
            assert got.dtype == stored
            slack = 5 * unit * float(plain.abs().max()) + 1e-7
            assert rounded_once(got, wanted, slack=slack)
            assert got_bias is not None
            assert relative_error(got_bias, bias) < 2 * unit


def test_logits_that_are_not_finite(device: torch.device) -> None:
    c = catalogue(20, 600, 10, device, bias=True)
    assert c.bias is not None
    plain = forward(c)
    some = c.bias.clone()
    some[3:] = -torch.inf  # two blocks of nothing else
    inner = replace(c, bias=some, targets=torch.zeros_like(c.targets))
    result = forward(inner)
    wanted = F.cross_entropy(inner.as_dtype(torch.float64).logits(), inner.targets)
    torch.testing.assert_close(result.losses.double().mean(), wanted, rtol=1e-6, atol=0)
    flipped = replace(inner, bias=some.flip(0), targets=inner.targets + 599)
    result = forward(flipped)
    wanted = F.cross_entropy(flipped.as_dtype(torch.float64).logits(), flipped.targets)
    torch.testing.assert_close(result.losses.double().mean(), wanted, rtol=1e-6, atol=0)

    nothing = forward(replace(c, bias=torch.full_like(some, -torch.inf)))
    assert bool(nothing.losses.isnan().all())
    for bad in (torch.nan, torch.inf):
        hidden = c.hidden.clone()
        hidden[4] = bad
        row = torch.arange(20, device=device) == 4
        result = forward(replace(c, hidden=hidden))
        assert result.mean_embedding is not None
        assert bool((result.losses.isnan() == row).all())
        assert bool((result.mean_embedding.isnan().all(1) == row).all())
        assert torch.equal(result.losses[~row], plain.losses[~row])


def test_a_target_that_is_no_class(device: torch.device) -> None:
    c = catalogue(20, 60, 10, device)
    for bad in (-1, 60, 2**40):
        targets = c.targets.clone()
        targets[11] = bad
        wrong = replace(c, targets=targets)
        if emulator.runs_cuda_kernels(device):
            row = torch.arange(20, device=device) == 11
            assert bool((forward(wrong).losses.isnan() == row).all())
            continue
        message = rf"targets must be in \[0, 60\), got {bad}$"
        with pytest.raises(IndexError, match=message):
            forward(wrong)
        ones = torch.ones(20, device=device)
        with pytest.raises(IndexError, match=message):
            table_gradient(wrong, ones, ones, ones)


def test_gradients_of_a_large_table_add_up_to_nothing() -> None:
    c = catalogue(64, 300_000, 4, torch.device("cpu"))
    result = forward(c)
    factors, target_factors = row_factors(c, result)
    grad_table, grad_bias = table_gradient(c, result.origins, factors, target_factors)
    assert grad_bias is not None
    size = float(target_factors.abs().sum())
    assert abs(float(grad_bias.double().sum())) < 1e-6 * size
    assert float(grad_table.double().sum(0).abs().max()) < 2e-6 * size
