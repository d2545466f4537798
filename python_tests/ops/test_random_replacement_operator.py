"""random_replacement as a torch operator: strides, tensors as keys, fakes, torch.compile."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext.ops import RandomReplacementOutput, random_replacement, reference
from helpers.operators import COMPILES, no_waiting
from helpers.replacement import (
    assert_same,
    complete,
    every_combination,
    padded_sequences,
    side_features,
    skewed_table,
    to,
)


def test_every_instruction_set_gives_the_same_bits(isa: str) -> None:
    sequences = padded_sequences(100, 77, num_items=1000)
    options = dict(num_items=1000, seed=5, replace_ratio=0.4, sequence_fraction=0.5)
    got = random_replacement(sequences, **options)
    assert_same(got, reference.random_replacement(sequences, **options))


def test_inputs_are_not_written_and_may_have_any_strides(device: torch.device) -> None:
    wide = padded_sequences(20, 60, num_items=30).to(device)
    view = wide[::2, 1::3]
    before = wide.clone()
    got = random_replacement(view, num_items=30, seed=6, replace_ratio=0.5)
    assert torch.equal(wide, before)
    assert_same(got, random_replacement(view.contiguous(), num_items=30, seed=6, replace_ratio=0.5))
    one_row = wide[:1].expand(4, -1)
    assert random_replacement(one_row, num_items=30, seed=6, replace_ratio=0.5)[0].shape == (4, 60)


@pytest.mark.parametrize(("seed", "step"), [(0, 0), (2**63 - 1, 2**32 - 1), (12345, 678)])
def test_seed_and_step_may_lie_on_the_device(device: torch.device, seed: int, step: int) -> None:
    sequences = padded_sequences(20, 30, num_items=60).to(device)
    options = dict(num_items=60, sequence_fraction=0.7, replace_ratio=0.5)
    wanted = random_replacement(sequences, seed=seed, step=step, **options)
    seed_there = torch.tensor(seed, device=device)
    step_there = torch.tensor(step, device=device)
    assert_same(random_replacement(sequences, seed=seed_there, step=step, **options), wanted)
    assert_same(random_replacement(sequences, seed=seed, step=step_there, **options), wanted)
    assert_same(random_replacement(sequences, seed=seed_there, step=step_there, **options), wanted)


def test_a_seed_beyond_int64_is_its_bits_in_a_tensor(device: torch.device) -> None:
    sequences = padded_sequences(20, 30, num_items=60).to(device)
    options = dict(num_items=60, replace_ratio=0.5)
    wanted = random_replacement(sequences, seed=2**64 - 5, **options)
    assert_same(
        random_replacement(sequences, seed=torch.tensor(-5, device=device), **options), wanted
    )


def test_of_a_step_in_a_tensor_the_low_half_counts(device: torch.device) -> None:
    sequences = padded_sequences(20, 30, num_items=60).to(device)
    options = dict(num_items=60, seed=1, replace_ratio=0.5)
    wanted = random_replacement(sequences, step=7, **options)
    step = torch.tensor(2**32 + 7, device=device)
    assert_same(random_replacement(sequences, step=step, **options), wanted)


@pytest.mark.cuda
@pytest.mark.usefixtures("cuda_kernels")
def test_a_replayed_cuda_graph_goes_on() -> None:
    sequences = padded_sequences(20, 30, num_items=60).cuda()
    step = torch.zeros((), dtype=torch.int64, device="cuda")
    options = dict(num_items=60, seed=1, replace_ratio=0.5)
    random_replacement(sequences, step=step, **options)  # the first call may set things up
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        noisy = random_replacement(sequences, step=step, **options)
        step += 1
    for replay in range(3):
        graph.replay()
        assert_same(noisy, random_replacement(sequences, step=replay, **options))


@pytest.mark.cuda
@pytest.mark.usefixtures("cuda_kernels")
@pytest.mark.parametrize("options", list(every_combination()), ids=lambda o: "-".join(o) or "plain")
def test_nothing_waits_for_the_device(options: dict[str, Any]) -> None:
    sequences = padded_sequences(20, 30, num_items=60)
    options = complete(options, num_items=60) | side_features(sequences, 60, (torch.float32,))
    options = to(torch.device("cuda"), options) | {"step": torch.tensor(1, device="cuda")}
    sequences = sequences.cuda()
    random_replacement(sequences, **options)
    with no_waiting():
        random_replacement(sequences, **options)
        random_replacement(sequences, **options | {"step": 5})


def test_the_operator_is_registered_correctly(device: torch.device) -> None:
    sequences = padded_sequences(6, 9, num_items=20).to(device)
    keys = torch.arange(6, device=device)
    table = skewed_table(20).to(device)
    prices = torch.rand(21, device=device)
    column = prices[sequences]
    torch.library.opcheck(
        torch.ops.atjt_ext._random_replacement.default,
        (
            *(sequences, keys, table, [column], [prices], 20, 0, 1),
            *(0.5, None, None, 0.3, None, True, 1, 2, None, torch.tensor(5, device=device)),
        ),
    )


def test_meta_tensors_get_shapes_and_dtypes() -> None:
    sequences = torch.empty(5, 7, dtype=torch.int32, device="meta")
    noisy = random_replacement(
        sequences,
        num_items=9,
        seed=torch.empty((), dtype=torch.int64, device="meta"),
        replace_ratio=0.5,
        features=[torch.empty(5, 7, device="meta")],
        feature_tables=[torch.empty(10, device="meta")],
    )
    assert noisy.sequences.shape == noisy.replaced.shape == noisy.features[0].shape == (5, 7)
    assert noisy.features[0].dtype == torch.float32


@COMPILES
def test_it_compiles_without_a_graph_break(device: torch.device) -> None:
    sequences = padded_sequences(6, 9, num_items=20).to(device)

    prices = torch.rand(21, device=device)
    options = {"num_items": 20, "seed": 3, "replace_ratio": 0.5, "feature_tables": [prices]}

    def corrupt(sequences: Tensor, step: int | Tensor) -> RandomReplacementOutput:
        return random_replacement(sequences, step=step, features=[prices[sequences]], **options)

    traced = torch.compile(corrupt, fullgraph=True)
    for step in (5, 6, 7):
        wanted = corrupt(sequences, step)
        assert_same(traced(sequences, step), wanted)
        assert_same(traced(sequences, torch.tensor(step, device=device)), wanted)
