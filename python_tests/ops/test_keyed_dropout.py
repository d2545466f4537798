"""keyed_dropout has the bits of its definition, in any batch, and the gradient of its mask."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import emulator
from atjt_ext.ops import Purpose, keyed_draws, keyed_dropout, reference
from atjt_ext.ops.reference import dropout_bits
from helpers.native_calls import FLOATS
from helpers.native_parts import philox4x32_10

KEYS = torch.tensor([0, 1, -1, 2**63 - 1, -(2**63), 7 * 10**12, 1])
POSITIONS = torch.tensor([0, 0, 1, 7, 2**23 - 1, 199, 3])
# Around a group of eight, the groups of a vector, a block of threads, and the widest.
WIDTHS = [1, 2, 7, 8, 9, 16, 31, 32, 50, 64, 65, 128, 1000, 4096]


def values_of(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def dropped(values: Tensor, p: float = 0.5, **change: Any) -> Tensor:
    """The op on the device of ``values``, of the first rows of KEYS and POSITIONS."""
    options: dict[str, Any] = dict(row_keys=KEYS, positions=POSITIONS, layer=3, seed=5, step=2)
    options |= change
    for name in ("row_keys", "positions"):
        options[name] = options[name][: len(values)].to(values.device)
    return keyed_dropout(values, p, **options)


# ---- bits ---------------------------------------------------------------------------------------


def test_the_bits_are_the_halves_of_philox_words(device: torch.device) -> None:
    seed, step, layer, width = 2**63 + 2**31 + 5, 2**32 - 3, 2**32 - 2, 21
    options: dict[str, Any] = dict(layer=layer, seed=seed, step=step)
    key = philox4x32_10([layer, 0, 2**32 - 1, 0], [seed & 0xFFFFFFFF, seed >> 32])[:2]
    got = dropped(torch.ones(len(KEYS), width, device=device), **options).tolist()
    bits = dropout_bits(KEYS, POSITIONS, width, **options).tolist()
    for row, (row_key, position) in enumerate(zip(KEYS.tolist(), POSITIONS.tolist(), strict=True)):
        for channel in range(width):
            counter = [row_key & 0xFFFFFFFF, row_key >> 32 & 0xFFFFFFFF]
            words = philox4x32_10([*counter, position << 9 | channel // 8, step], key)
            half = words[channel % 8 // 2] >> 16 * (channel % 2) & 0xFFFF
            assert bits[row][channel] == half
            assert got[row][channel] == (0 if half < 2**15 else 2)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("width", WIDTHS)
def test_equals_the_reference_to_the_bit(
    device: torch.device, width: int, dtype: torch.dtype
) -> None:
    values = values_of(len(KEYS), width, dtype=dtype)
    for p in (0.1, 0.5, 0.999):
        got = dropped(values.to(device), p)
        assert got.dtype == dtype
        wanted = reference.keyed_dropout(values, p, KEYS, POSITIONS, layer=3, seed=5, step=2)
        assert torch.equal(got.cpu(), wanted)


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_instruction_set_gives_the_same_bits(isa: str, dtype: torch.dtype) -> None:
    for width in WIDTHS:
        values = values_of(len(KEYS), width, dtype=dtype)
        wanted = reference.keyed_dropout(values, 0.3, KEYS, POSITIONS, layer=3, seed=5, step=2)
        assert torch.equal(dropped(values, 0.3), wanted)


@pytest.mark.usefixtures("num_threads")
def test_the_number_of_threads_changes_nothing() -> None:
    values, rows = values_of(3000, 64), torch.arange(3000)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(keyed_dropout(values, 0.5, rows, rows % 50, layer=0, seed=1))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_many_tokens_are_dropped_alike_in_any_batch_and_order(device: torch.device) -> None:
    size = 600_000  # more groups than the largest grid has threads
    rows = torch.arange(size, device=device) // 40
    positions = torch.arange(size, device=device) % 40
    values = values_of(size, 8).to(device)
    whole = keyed_dropout(values, 0.5, rows, positions, layer=0, seed=1)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))[:777].to(device)
    part = keyed_dropout(values[order], 0.5, rows[order], positions[order], layer=0, seed=1)
    assert torch.equal(part, whole[order])


def test_the_width_changes_no_bits(device: torch.device) -> None:
    wide = dropped(torch.ones(len(KEYS), 200, device=device))
    for width in (1, 8, 33, 64):
        assert torch.equal(dropped(torch.ones(len(KEYS), width, device=device)), wide[:, :width])


@pytest.mark.parametrize("dtype", FLOATS)
def test_any_stride_and_address_will_do(device: torch.device, dtype: torch.dtype) -> None:
    values = values_of(len(KEYS), 64, dtype=dtype).to(device)
    wanted = dropped(values)
    assert torch.equal(dropped(values.t().contiguous().t()), wanted)
    shifted = torch.cat([values.new_zeros(1), values.flatten()])[1:].view(values.shape)
    assert shifted.data_ptr() % 16
    assert torch.equal(dropped(shifted), wanted)
    keys = torch.stack([KEYS, KEYS + 1], dim=1)[:, 0]
    assert torch.equal(dropped(values, row_keys=keys), wanted)
    assert torch.equal(dropped(values[:1].expand(7, -1)), dropped(values[:1].repeat(7, 1)))


def test_seed_and_step_may_lie_on_the_device(device: torch.device) -> None:
    values = values_of(len(KEYS), 40).to(device)
    seed, step = torch.tensor(-3, device=device), torch.tensor(2**32 + 6, device=device)
    got = dropped(values, seed=seed, step=step)
    assert torch.equal(got, dropped(values, seed=2**64 - 3, step=6))


# ---- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_kept_values_are_the_rounded_product(
    device: torch.device, dtype: torch.dtype, p: float
) -> None:
    values = values_of(len(KEYS), 64, dtype=dtype)
    real = torch.float64 if dtype == torch.float64 else torch.float32
    scale = torch.tensor(65536 / (65536 - round(p * 65536)), dtype=torch.float64).to(real)
    got = dropped(values.to(device), p).cpu()
    kept = got != 0
    assert torch.equal(got[kept], (values.to(real) * scale).to(dtype)[kept])
    assert 0.5 < float(kept.double().mean()) / (1 - p) < 1.5


def test_of_the_greatest_probability_some_values_are_kept(device: torch.device) -> None:
    positions = torch.arange(2000, device=device)
    got = keyed_dropout(
        torch.ones(2000, 64, device=device), 1 - 2**-40, positions, positions, layer=0, seed=1
    )
    assert set(got.unique().tolist()) == {0.0, 65536.0}


@pytest.mark.parametrize("p", [0, 0.0, 2**-17, 1e-300])
def test_without_probability_values_come_back(p: float) -> None:
    values = values_of(len(KEYS), 5)
    assert dropped(values, p) is values


def test_the_probability_is_rounded_to_the_nearest() -> None:
    bits = dropout_bits(KEYS, POSITIONS, 4096, layer=3, seed=5, step=2)
    for p, n in ((1.6 / 65536, 2), (2.5 / 65536, 2), (3.5 / 65536, 4), (0.1, 6554)):
        got = dropped(torch.ones(len(KEYS), 4096), p)
        assert torch.equal(got == 0, bits < n)


def test_what_is_dropped_is_zero_whatever_it_was(device: torch.device) -> None:
    mask = dropped(torch.ones(len(KEYS), 33, device=device)) == 0
    for bad in (torch.nan, torch.inf, -torch.inf, -1.0):
        got = dropped(torch.full((len(KEYS), 33), bad, device=device))
        assert not got[mask].any()
        assert not got[mask].signbit().any()
        assert torch.equal(got[~mask], torch.full_like(got, 2 * bad)[~mask]) or bad != bad
        assert bool(got[~mask].isnan().all()) == (bad != bad)


def test_nothing_is_written_but_the_result(device: torch.device) -> None:
    values = values_of(len(KEYS), 20).to(device)
    before = values.clone()
    dropped(values)
    assert torch.equal(values, before)
    assert dropped(values[:0]).shape == (0, 20)
    assert dropped(values[:, :0]).shape == (len(KEYS), 0)


# ---- gradients ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_gradient_is_the_op_on_the_gradient(device: torch.device, dtype: torch.dtype) -> None:
    values = values_of(len(KEYS), 50, dtype=dtype).to(device).requires_grad_()
    upstream = values_of(len(KEYS), 50, dtype=dtype, seed=1).to(device)
    result = dropped(values, 0.3)
    (got,) = torch.autograd.grad(result, values, upstream)
    assert torch.equal(got, dropped(upstream, 0.3))
    assert torch.equal(got == 0, result.detach() == 0)


def test_the_gradient_is_that_of_the_definition(device: torch.device) -> None:
    values = values_of(len(KEYS), 50).requires_grad_()
    upstream = values_of(len(KEYS), 50, seed=1)
    wanted = reference.keyed_dropout(values, 0.3, KEYS, POSITIONS, layer=3, seed=5, step=2)
    on_device = values.detach().to(device).requires_grad_()
    got = dropped(on_device, 0.3)
    gradients = torch.autograd.grad(got, on_device, upstream.to(device))
    assert torch.equal(gradients[0].cpu(), torch.autograd.grad(wanted, values, upstream)[0])


def test_gradcheck_and_gradgradcheck(device: torch.device) -> None:
    values = values_of(4, 9, dtype=torch.float64).to(device).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: dropped(x, 0.4), values)
    assert torch.autograd.gradgradcheck(lambda x: dropped(x, 0.4) ** 3, values)


def test_a_sum_has_the_gradient_of_an_expanded_one(device: torch.device) -> None:
    values = values_of(len(KEYS), 20).to(device).requires_grad_()
    dropped(values).sum().backward()
    assert torch.equal(values.grad, dropped(torch.ones_like(values)).detach())  # type: ignore[arg-type]


def test_a_step_that_changes_before_the_backward_pass_is_refused() -> None:
    values, step = values_of(len(KEYS), 20).requires_grad_(), torch.tensor(1)
    loss = dropped(values, step=step).sum()
    step += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# ---- names of numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"seed": 6}, {"seed": 5 + 2**32}, {"step": 3}, {"layer": 4}, {"layer": 3 + 2**31}]
)
def test_every_part_of_the_name_gives_other_bits(change: dict[str, Any]) -> None:
    ones = torch.ones(len(KEYS), 4000)
    agree = float((dropped(ones) == dropped(ones, **change)).double().mean())
    assert abs(agree - 0.5) < 4.5 * (0.25 / ones.numel()) ** 0.5


def test_the_counter_of_a_layers_key_belongs_to_no_keyed_draw() -> None:
    # keyed_draws has indices of pairs, below 2**27; the kernels' own purposes end at 3.
    last = keyed_draws(torch.tensor([3]), 2**10, purpose=Purpose.CUSTOM_ITEM, seed=5)[0, -1]
    words = philox4x32_10([3, 0, 15 << 28 | 2**27 - 1, 0], [5, 0])
    assert int(last) % 2**64 == words[2] + words[3] * 2**32
    assert 15 << 28 | 2**27 - 1 < 2**32 - 1


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": 1.0}, r"p must be in \[0, 1\), got 1\.0"),
        ({"p": -0.1}, r"p must be in \[0, 1\), got -0\.1"),
        ({"p": torch.nan}, r"p must be in \[0, 1\), got nan"),
        ({"values": torch.ones(3)}, r"values must be \[T, D\], got shape \(3,\)"),
        ({"values": torch.ones(7, 2).int()}, r"values must be one of .* got torch\.int32"),
        ({"values": torch.ones(7, 4097)}, r"values must be \[T, D\], D <= 4096, got \(7, 4097\)"),
        ({"row_keys": KEYS[:6]}, r"row_keys must be \[7\], got shape \(6,\)"),
        ({"row_keys": KEYS.int()}, r"row_keys must be int64, got torch\.int32"),
        ({"positions": POSITIONS[None]}, r"positions must be \[7\], got shape \(1, 7\)"),
        ({"positions": POSITIONS.double()}, r"positions must be int64, got torch\.float64"),
        ({"positions": torch.zeros(7, dtype=torch.int64, device="meta")}, "positions must be on c"),
        ({"layer": -1}, r"layer must be in \[0, 2\*\*32\), got -1"),
        ({"layer": 2**32}, r"layer must be in \[0, 2\*\*32\), got 4294967296"),
        ({"seed": 2**64}, r"seed must be in \[0, 2\*\*64\)"),
        ({"step": -1}, r"step must be in \[0, 2\*\*32\), got -1"),
        ({"step": torch.tensor(1.0)}, "step must be a number or 0-d int64"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = dict(
        values=torch.ones(7, 2), p=0.5, row_keys=KEYS, positions=POSITIONS, layer=0, seed=0
    )
    with pytest.raises(ValueError, match=message):
        keyed_dropout(**right | change)


@pytest.mark.parametrize("name", ["p", "layer", "seed", "step"])
@pytest.mark.parametrize("value", [None, "1", 1j])
def test_what_is_no_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a.* in .*, got {value!r}"):
        dropped(torch.ones(7, 2), **{name: value})


@pytest.mark.parametrize("wrong", [-1, 2**23, 2**63 - 1, -(2**63)])
def test_a_position_out_of_range_is_refused_or_gives_nan(device: torch.device, wrong: int) -> None:
    positions = POSITIONS.clone()
    positions[2] = wrong
    values = torch.ones(len(KEYS), 20, device=device)
    if not emulator.runs_cuda_kernels(device):
        message = rf"positions must be in \[0, 8388608\), got {wrong} at 2"
        with pytest.raises(IndexError, match=message):
            dropped(values, positions=positions)
        return
    for width in (20, 16):
        got = dropped(values[:, :width].contiguous(), positions=positions)
        assert got[2].isnan().all()
        others = torch.arange(len(KEYS), device=device) != 2
        assert torch.equal(got[others], dropped(values)[others, :width])
