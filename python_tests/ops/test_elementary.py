"""The arithmetic of the losses: exp, log(1 + x), half precision, parts of a softmax."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from helpers.native_parts import combine_softmax_parts as combine
from helpers.native_parts import elementary as apply
from helpers.native_parts import narrow, widen

INF, NAN = float("inf"), float("nan")
FLOATS = [torch.float32, torch.float64]
HALVES = [torch.float16, torch.bfloat16]


def errors_in_ulp(got: Tensor, exact: Tensor) -> Tensor:
    """`exact` is float64; for float64 results it may itself be off by 1 unit."""
    ulp = torch.finfo(got.dtype).eps * 2.0 ** exact.abs().log2().floor()
    return (got.double() - exact).abs() / ulp


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["exp_nonpositive", "exp_in_hardware"])
def test_exp_is_within_two_units_in_the_last_place(name: str, dtype: torch.dtype) -> None:
    smallest = math.log(torch.finfo(dtype).smallest_normal)
    x = torch.cat([torch.linspace(smallest + 1e-3, 0, 200_001), -torch.logspace(-30, 0, 10_001)])
    x = x.to(dtype)
    assert float(errors_in_ulp(apply(name, x), x.double().exp()).max()) <= 2


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["exp_nonpositive", "exp_in_hardware"])
def test_exp_of_special_numbers(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, -0.0, -800.0, -1e30, -INF, NAN], dtype=dtype)
    got = apply(name, x)
    assert got[:5].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert got[5].isnan()


@pytest.mark.parametrize("dtype", FLOATS)
def test_log1p_is_within_two_units_in_the_last_place(dtype: torch.dtype) -> None:
    x = torch.cat([torch.linspace(0, 1, 200_001), torch.logspace(-35, 0, 10_001)]).to(dtype)[1:]
    # float64 has no wider type to compare with: torch's own result is within 1 unit.
    allowed = 2 if dtype == torch.float32 else 3
    assert float(errors_in_ulp(apply("log1p_of_unit", x), x.double().log1p()).max()) <= allowed


@pytest.mark.parametrize("dtype", FLOATS)
def test_log1p_of_special_numbers(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).smallest_normal
    got = apply("log1p_of_unit", torch.tensor([0.0, tiny, 1.0, NAN], dtype=dtype))
    assert got[:2].tolist() == [0.0, tiny]
    torch.testing.assert_close(got[2].item(), math.log(2), rtol=torch.finfo(dtype).eps, atol=0)
    assert got[3].isnan()


def all_numbers(dtype: torch.dtype) -> Tensor:
    return torch.arange(2**16).to(torch.uint16).view(dtype)


def assert_same_numbers(got: Tensor, wanted: Tensor) -> None:
    numbers = ~wanted.isnan()
    assert torch.equal(got.isnan(), ~numbers)
    # To the bit, the sign of zero included.
    assert torch.equal(got[numbers].view(torch.uint8), wanted[numbers].view(torch.uint8))


@pytest.mark.parametrize("dtype", HALVES)
def test_every_half_is_widened_exactly(dtype: torch.dtype) -> None:
    numbers = all_numbers(dtype)
    assert_same_numbers(widen(numbers), numbers.float())


@pytest.mark.parametrize("dtype", HALVES)
def test_floats_are_narrowed_to_the_nearest_half_ties_to_even(dtype: torch.dtype) -> None:
    halves = all_numbers(dtype).float()
    above = torch.nextafter(halves, torch.tensor(INF))
    middles = (halves + torch.roll(halves, -1)) / 2  # of neighbours: the ties
    near = torch.cat([torch.nextafter(middles, torch.tensor(x)) for x in (-INF, INF)])
    bits = torch.randint(-(2**31), 2**31, (300_000,), generator=torch.Generator().manual_seed(0))
    anything = bits.to(torch.int32).view(torch.float32)
    edges = torch.tensor([65_504.0, 65_519.99, 65_520.0, 65_536.0, 3.4e38, 2.0**-25, 2.0**-24])
    x = torch.cat([halves, above, middles, near, anything, edges, -edges])
    assert_same_numbers(narrow(x, dtype), x.to(dtype))


def test_parts_of_a_softmax_combine_to_the_whole() -> None:
    x = 20 * torch.randn(100, generator=torch.Generator().manual_seed(0)).double()
    parts = [(float(p.max()), float((p - p.max()).exp().sum())) for p in x.split([1, 40, 59])]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        whole = combine(combine(parts[order[0]], parts[order[1]]), parts[order[2]])
        assert whole[0] == float(x.max())
        assert whole[0] + math.log(whole[1]) == pytest.approx(float(x.logsumexp(0)), rel=1e-14)


def test_parts_combine_alike_in_either_order() -> None:
    parts = [(-3.0, 2.5), (4.0, 1.25), (-INF, 0.0), (700.0, 1.0)]
    for a in parts:
        for b in parts:
            assert combine(a, b) == combine(b, a)


def test_parts_of_nothing_and_of_infinities_combine() -> None:
    nothing = (-INF, 0.0)
    assert combine(nothing, nothing) == nothing
    assert combine(nothing, (-5.0, 1.5)) == (-5.0, 1.5)
    for broken in ((1.0, NAN), (INF, NAN)):
        for other in (nothing, (2.0, 1.0), broken):
            assert math.isnan(combine(broken, other)[1])
            assert math.isnan(combine(other, broken)[1])
