"""keyed_draws has the bits of its definition, in any batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext.ops import Purpose, keyed_draws, reference, uniform_integers
from helpers.native_parts import philox4x32_10
from helpers.operators import COMPILES, no_waiting

KEYS = torch.tensor([0, 1, -1, 2**63 - 1, -(2**63), 7 * 10**12])
POSITION = Purpose.DELETED_POSITION


@pytest.mark.parametrize("length", [1, 2, 5])
def test_draws_are_the_words_of_philox(device: torch.device, length: int) -> None:
    seed, step = 2**63 + 2**31 + 5, 2**32 - 3
    draws = keyed_draws(KEYS.to(device), length, purpose=POSITION, seed=seed, step=step).tolist()
    for row, key in enumerate(KEYS.tolist()):
        for position in range(length):
            index = 2**28 - length + position
            words = philox4x32_10(
                [key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF, index // 2 | POSITION << 28, step],
                [seed & 0xFFFFFFFF, seed >> 32],
            )
            low, high = words[2:] if index % 2 else words[:2]
            assert draws[row][position] % 2**64 == low + high * 2**32


# Lengths around a pair of positions, the 4, 8 and 16 draws of a vector, and a block of threads.
@pytest.mark.parametrize("length", [0, 1, 3, 4, 7, 8, 15, 16, 17, 33, 200, 1031])
def test_equals_the_reference_to_the_bit(device: torch.device, length: int) -> None:
    options: dict[str, Any] = dict(purpose=Purpose.SWAPPED_POSITION, seed=9, step=2)
    got = keyed_draws(KEYS.to(device), length, **options)
    assert got.dtype == torch.int64
    assert torch.equal(got.cpu(), reference.keyed_draws(KEYS, length, **options))


def test_every_instruction_set_gives_the_same_bits(isa: str) -> None:
    got = [keyed_draws(KEYS, length, purpose=POSITION, seed=3) for length in (1, 30, 77)]
    for draws in got:
        wanted = reference.keyed_draws(KEYS, draws.shape[1], purpose=POSITION, seed=3)
        assert torch.equal(draws, wanted)


@pytest.mark.usefixtures("num_threads")
def test_the_number_of_threads_changes_nothing() -> None:
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(keyed_draws(torch.arange(1000), 50, purpose=POSITION, seed=1))
    assert torch.equal(*results)


def test_a_row_draws_alike_in_any_batch_and_behind_any_padding(device: torch.device) -> None:
    keys = KEYS.to(device)
    whole = keyed_draws(keys, 21, purpose=POSITION, seed=8)
    part = keyed_draws(keys[[4, 1]], 8, purpose=POSITION, seed=8)
    assert torch.equal(part, whole[[4, 1], -8:])


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"seed": 2**32}, {"step": 1}, {"purpose": Purpose.MIXED_KIND}]
)
def test_every_part_of_the_name_gives_other_numbers(change: dict[str, Any]) -> None:
    options: dict[str, Any] = dict(seed=0, step=0, purpose=POSITION)
    before = keyed_draws(KEYS, 100, **options)
    after = keyed_draws(KEYS, 100, **options | change)
    assert not (before == after).any()


def test_seed_and_step_may_lie_on_the_device(device: torch.device) -> None:
    keys = KEYS.to(device)
    seed, step = torch.tensor(-3, device=device), torch.tensor(2**32 + 6, device=device)
    got = keyed_draws(keys, 30, purpose=POSITION, seed=seed, step=step)
    assert torch.equal(got, keyed_draws(keys, 30, purpose=POSITION, seed=2**64 - 3, step=6))


@pytest.mark.cuda
@pytest.mark.usefixtures("cuda_kernels")
def test_nothing_waits_for_the_device() -> None:
    keys, step = KEYS.cuda(), torch.tensor(1, device="cuda")
    bounds = torch.tensor([5, 7], device="cuda")
    with no_waiting():
        draws = keyed_draws(keys, 2, purpose=POSITION, seed=1, step=step)
        uniform_integers(draws, bounds)
        uniform_integers(keyed_draws(keys, 2, purpose=POSITION, seed=1), 9)


def test_no_two_purposes_share_a_number() -> None:
    draws = torch.cat([keyed_draws(KEYS, 64, purpose=purpose, seed=0) for purpose in Purpose])
    assert len(draws.unique()) == draws.numel()


def test_the_bits_are_fair() -> None:
    draws = keyed_draws(torch.arange(4000), 25, purpose=POSITION, seed=1).flatten()
    for bit in range(64):
        ones = int((draws >> bit & 1).sum())
        assert abs(ones - len(draws) / 2) < 4.5 * (len(draws) / 4) ** 0.5


def test_uniform_integers_are_the_floor_of_the_product() -> None:
    draws = keyed_draws(KEYS, 50, purpose=POSITION, seed=1).flatten()
    draws = torch.cat([draws, torch.tensor([0, -1, 2**63 - 1, -(2**63)])])
    for bound in (1, 2, 3, 1000, 2**31 - 1):
        wanted = [draw % 2**64 * bound >> 64 for draw in draws.tolist()]
        assert uniform_integers(draws, bound).tolist() == wanted


def test_each_draw_may_have_a_bound_of_its_own() -> None:
    draws = torch.tensor([-1, -1, 0])
    assert uniform_integers(draws, torch.tensor([5, 9, 9])).tolist() == [4, 8, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": -1}, r"length must be in \[0, 2\*\*23\], got -1"),
        ({"length": 2**23 + 1}, "length must be in"),
        ({"seed": -1}, "seed must be in"),
        ({"seed": 2**64}, "seed must be in"),
        ({"step": 2**32}, "step must be in"),
        ({"step": torch.ones(1, dtype=torch.int64)}, "step must be a number or 0-d int64"),
        ({"seed": torch.tensor(1.0)}, r"seed must be .* got shape \(\), torch.float32 on cpu"),
        ({"purpose": 3}, r"purpose must be one of Purpose, \[4, 5, .* 15\], got 3"),
        ({"purpose": 16}, "purpose must be one of Purpose, .* got 16"),
        ({"row_keys": torch.zeros(2, 1, dtype=torch.int64)}, r"row_keys must be \[B\], got shape"),
        ({"row_keys": torch.zeros(2)}, "row_keys must be int64, got torch.float32"),
    ],
)
def test_wrong_options_are_refused(change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = dict(row_keys=KEYS, length=3, purpose=POSITION, seed=0)
    with pytest.raises(ValueError, match=message):
        keyed_draws(**right | change)


@pytest.mark.parametrize("name", ["length", "seed", "step"])
@pytest.mark.parametrize("value", [1.5, None, "1"])
def test_what_is_no_integer_is_refused(name: str, value: Any) -> None:
    right: dict[str, Any] = dict(row_keys=KEYS, length=3, purpose=POSITION, seed=0)
    with pytest.raises(TypeError, match=rf"{name} must be an integer in \[0, .*, got {value!r}"):
        keyed_draws(**right | {name: value})


@pytest.mark.parametrize("bound", [0, -3, 2**31, 2**40])
def test_a_bound_out_of_range_is_refused(bound: int) -> None:
    with pytest.raises(ValueError, match=rf"bound must be in \[1, 2\*\*31\), got {bound}"):
        uniform_integers(KEYS, bound)


def test_integers_need_whole_bounds_and_whole_draws() -> None:
    with pytest.raises(TypeError, match=r"bound must be an integer .* got 2\.0"):
        uniform_integers(KEYS, 2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"draws must be int64, got torch\.int32"):
        uniform_integers(KEYS.int(), 2)


def test_keys_may_have_any_stride_and_no_rows_are_fine(device: torch.device) -> None:
    keys = torch.arange(20, device=device)
    strided = keyed_draws(keys[::3], 4, purpose=POSITION, seed=6)
    assert torch.equal(strided, keyed_draws(keys, 4, purpose=POSITION, seed=6)[::3])
    assert keyed_draws(keys[:0], 4, purpose=POSITION, seed=6).shape == (0, 4)


def test_the_operator_is_registered_correctly(device: torch.device) -> None:
    torch.library.opcheck(
        torch.ops.atjt_ext._keyed_draws.default,
        (KEYS.to(device), 9, int(POSITION), 1, 2, None, torch.tensor(3, device=device)),
    )


@COMPILES
def test_it_compiles_without_a_graph_break(device: torch.device) -> None:
    @torch.compile(fullgraph=True)
    def choose(row_keys: Tensor, step: int) -> Tensor:
        return keyed_draws(row_keys, 6, purpose=POSITION, seed=3, step=step).argsort(dim=1)

    keys = KEYS.to(device)
    for step in (5, 6, 7):
        wanted = keyed_draws(keys, 6, purpose=POSITION, seed=3, step=step).argsort(dim=1)
        assert torch.equal(choose(keys, step), wanted)
