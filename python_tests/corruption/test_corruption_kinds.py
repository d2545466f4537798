"""Properties of every kind of damage, refused arguments, and training with each kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext import (
    AdjacentSwap,
    ItemDeletion,
    ItemInsertion,
    JointTrainer,
    MixedCorruption,
    RandomReplacement,
    SASRec,
    TargetAttentionNoiseModel,
)
from atjt_ext.corruption import CorruptionOutput
from atjt_ext.data import LeaveOneOut
from helpers.chi_square import independence_z
from helpers.damage_kinds import (
    ALL_ROWS,
    EACH_MADE,
    EVERY_KIND,
    KINDS,
    NUM_ITEMS,
    Kind,
    deletion,
    insertion,
    replacement,
    sequences_of,
    swap,
)
from helpers.joint import config, parameters
from helpers.operators import COMPILES, assert_all_equal, compiled, no_waiting


@EVERY_KIND
def test_outputs_are_consistent_and_inputs_untouched(device: torch.device, kind: str) -> None:
    sequences = sequences_of().to(device)
    before = sequences.clone()
    noisy = KINDS[kind](sequences, seed=1)
    assert torch.equal(sequences, before)
    assert noisy.sequences.shape == noisy.replaced.shape == sequences.shape
    assert torch.equal(noisy.noise_labels, noisy.replaced.any(dim=1))
    assert torch.equal(noisy.noise_labels, (noisy.sequences != sequences).any(dim=1))
    assert not noisy.replaced[noisy.sequences == 0].any()
    is_item = (noisy.sequences != 0).long()
    assert not (is_item.diff(dim=1) < 0).any()  # padding stays on the left


@EVERY_KIND
def test_int32_gives_the_same_numbers_as_int64(device: torch.device, kind: str) -> None:
    sequences = sequences_of().to(device)
    wide = KINDS[kind](sequences, seed=3)
    narrow = KINDS[kind](sequences.int(), seed=3)
    assert narrow.sequences.dtype == torch.int32
    assert torch.equal(narrow.sequences.long(), wide.sequences)
    assert torch.equal(narrow.replaced, wide.replaced)


@EVERY_KIND
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (4, 1), (4, 2)])
def test_empty_and_tiny_batches(kind: str, shape: tuple[int, int]) -> None:
    noisy = KINDS[kind](torch.ones(shape, dtype=torch.int64), seed=0)
    assert noisy.sequences.shape == noisy.replaced.shape == shape
    assert noisy.noise_labels.shape == shape[:1]


@EVERY_KIND
@pytest.mark.parametrize("more", [1, 2, 5])
def test_padding_on_the_left_changes_nothing(kind: str, more: int) -> None:
    sequences = sequences_of()
    narrow = KINDS[kind](sequences, seed=4)
    wide = KINDS[kind](torch.nn.functional.pad(sequences, (more, 0)), seed=4)
    # A wider row has room for inserted items; the newest columns are the same.
    assert torch.equal(wide.sequences[:, more:], narrow.sequences)
    assert torch.equal(wide.replaced[:, more:], narrow.replaced)
    assert torch.equal(wide.noise_labels, narrow.noise_labels)


@EACH_MADE
@pytest.mark.parametrize("include_target", [False, True])
@pytest.mark.parametrize("chosen", [{"sequence_fraction": 1.0}, {"sequence_probability": 0.5}])
def test_a_row_is_damaged_alike_in_every_batch(
    kind: Kind, chosen: dict[str, Any], include_target: bool
) -> None:
    sequences, keys = sequences_of(), torch.arange(200) * 7
    corruption = kind(**chosen, include_target=include_target)
    whole = corruption(sequences, seed=7, row_keys=keys)
    rows = torch.tensor([150, 3, 77, 11])
    part = corruption(sequences[rows], seed=7, row_keys=keys[rows])
    assert torch.equal(part.sequences, whole.sequences[rows])
    assert torch.equal(part.replaced, whole.replaced[rows])


@EVERY_KIND
def test_same_arguments_same_result_and_each_part_of_the_key_counts(kind: str) -> None:
    sequences, keys = sequences_of(), torch.arange(200)
    call = KINDS[kind]
    first = call(sequences, seed=7, step=8, row_keys=keys)
    torch.manual_seed(123)  # torch's generator has no effect
    assert_all_equal(call(sequences, seed=7, step=8)[:3], first[:3])
    for other in ({"seed": 8}, {"step": 9}, {"row_keys": keys + 1}):
        changed = call(sequences, **{"seed": 7, "step": 8, "row_keys": keys, **other})  # type: ignore[arg-type]
        assert not torch.equal(changed.sequences, first.sequences)


@EVERY_KIND
def test_seed_and_step_may_lie_on_the_device(device: torch.device, kind: str) -> None:
    sequences = sequences_of().to(device)
    seed, step = torch.tensor(5, device=device), torch.tensor(6, device=device)
    got = KINDS[kind](sequences, seed=seed, step=step)
    assert torch.equal(got.sequences, KINDS[kind](sequences, seed=5, step=6).sequences)


@COMPILES
@EVERY_KIND
def test_it_compiles_without_a_graph_break(device: torch.device, kind: str) -> None:
    traced = compiled(KINDS[kind])
    sequences = sequences_of(20).to(device)
    for step in (5, 6, 7):
        got, wanted = (call(sequences, seed=3, step=step) for call in (traced, KINDS[kind]))
        assert_all_equal(got[:3], wanted[:3])


@pytest.mark.cuda
@pytest.mark.usefixtures("cuda_kernels")
@EVERY_KIND
def test_nothing_waits_for_the_device(kind: str) -> None:
    sequences = sequences_of().cuda()
    KINDS[kind](sequences, seed=1)
    with no_waiting():
        KINDS[kind](sequences, seed=2)


@EACH_MADE
def test_the_number_of_rows_is_exact(kind: Kind) -> None:
    sequences = torch.arange(1, 9).repeat(101, 1)
    for fraction, rows in ((0.0, 0), (None, 51), (0.29, 29), (1.0, 101)):
        noisy = kind(1, sequence_fraction=fraction)(sequences, seed=4)
        assert int(noisy.noise_labels.sum()) == rows


@EACH_MADE
def test_rows_are_damaged_with_the_probability_asked_for(kind: Kind) -> None:
    sequences = torch.arange(1, 5).repeat(10_000, 1)
    share = kind(1, sequence_probability=0.3)(sequences, seed=4).noise_labels.double().mean()
    assert abs(float(share) - 0.3) < 4 * (0.3 * 0.7 / 10_000) ** 0.5
    for certain in (0.0, 1.0):
        noisy = kind(1, sequence_probability=certain)(sequences, seed=4)
        assert bool((noisy.noise_labels == bool(certain)).all())


@EACH_MADE
def test_the_target_is_damaged_only_when_asked_for(kind: Kind) -> None:
    sequences = torch.arange(1, 9).repeat(300, 1)
    noisy = kind(3, **ALL_ROWS)(sequences, seed=1)
    assert torch.equal(noisy.sequences[:, -1], sequences[:, -1])
    noisy = kind(3, **ALL_ROWS, include_target=True)(sequences, seed=1)
    assert bool((noisy.sequences[:, -1] != sequences[:, -1]).any())


def test_the_kinds_are_independent_of_each_other_at_the_same_seed_and_step() -> None:
    rows, width = 4000, 9
    sequences = torch.arange(1, width + 1).repeat(rows, 1)
    options: dict[str, Any] = {"sequence_fraction": 0.5}
    noisy = {
        "replacement": replacement(1, **options),
        "deletion": deletion(1, **options),
        "insertion": insertion(1, **options),
        "swap": swap(1, **options),
    }
    outputs = {name: kind(sequences, seed=1, step=2) for name, kind in noisy.items()}
    names = list(outputs)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            both = outputs[one].noise_labels & outputs[other].noise_labels
            assert abs(int(both.sum()) - rows / 4) < 4.5 * (rows * 3 / 16) ** 0.5
            columns = [outputs[name].replaced[both].long().argmax(dim=1) for name in (one, other)]
            assert abs(independence_z(*columns)) < 4.5, (one, other)


AMOUNTS: dict[Any, tuple[str, str]] = {
    ItemDeletion: ("num_deletions", "delete_ratio"),
    ItemInsertion: ("num_insertions", "insert_ratio"),
    AdjacentSwap: ("num_swaps", "swap_ratio"),
    RandomReplacement: ("num_replacements", "replace_ratio"),
}


@pytest.mark.parametrize("kind", [ItemDeletion, ItemInsertion, AdjacentSwap])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": None}, "exactly one of {count} and {ratio} must be given, got {count}=None"),
        ({"ratio": 0.5}, "exactly one of {count} and {ratio} must be given, got {count}=1"),
        ({"count": -1}, r"{count} must be >= 0 \({ratio} takes a share\), got -1"),
        ({"count": None, "ratio": 1.5}, r"{ratio} must be in \[0, 1\], got 1.5"),
        ({"count": None, "ratio": float("nan")}, "{ratio} must be in .* got nan"),
        ({"sequence_fraction": -0.1}, r"sequence_fraction must be in \[0, 1\], got -0.1"),
        ({"sequence_probability": 2.0}, r"sequence_probability must be in \[0, 1\], got 2.0"),
        (
            {"sequence_fraction": 0.5, "sequence_probability": 0.5},
            "at most one of sequence_fraction and sequence_probability",
        ),
    ],
    ids=str,
)
def test_wrong_options_are_refused(kind: Kind, options: dict[str, Any], message: str) -> None:
    names = dict(zip(("count", "ratio"), AMOUNTS[kind], strict=True))
    given = {names.get(name, name): value for name, value in {"count": 1, **options}.items()}
    if kind is ItemInsertion:
        given["num_items"] = NUM_ITEMS
    for name, spelt in names.items():
        message = message.replace("{" + name + "}", spelt)
    with pytest.raises(ValueError, match=message):
        kind(**given)


@pytest.mark.parametrize("kind", AMOUNTS)
@pytest.mark.parametrize("value", [0.3, 1.0, "1"])
def test_a_count_that_is_no_integer_is_refused(kind: Kind, value: Any) -> None:
    count, ratio = AMOUNTS[kind]
    catalogue = {"num_items": 9} if kind in (ItemInsertion, RandomReplacement) else {}
    message = rf"{count} must be an integer >= 0 \({ratio} takes a share\), got {value!r}"
    with pytest.raises(TypeError, match=message):
        kind(**catalogue, **{count: value})
    with pytest.raises(TypeError, match=rf"{ratio} must be a number in \[0, 1\], got 'x'"):
        kind(**catalogue, **{ratio: "x"})
    with pytest.raises(TypeError, match=r"sequence_fraction must be a number .* got 'x'"):
        kind(**catalogue, **{count: 1}, sequence_fraction="x")


@pytest.mark.parametrize("kind", [deletion, insertion, swap])
def test_padding_on_the_right_of_an_item_is_refused_on_the_cpu(kind: Kind) -> None:
    right, inside = torch.tensor([[0, 1, 2, 3], [1, 2, 0, 0]]), torch.tensor([[1, 0, 2, 3]])
    for sequences, place in ((right, [1, 2]), (inside, [0, 1])):
        message = rf"left-padded with 0, got 0 on the right of an item at \{place!r}"
        with pytest.raises(ValueError, match=message):
            kind(1)(sequences, seed=0)


def test_a_catalogue_too_small_and_an_empty_mixture_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_items must be in \[3, 2\*\*31\), got 2"):
        insertion(1, num_items=2)
    with pytest.raises(ValueError, match="corruptions must hold at least one"):
        MixedCorruption(())


@pytest.mark.parametrize(
    ("corruptions", "message"),
    [
        (ItemDeletion(num_deletions=1), "corruptions must be a sequence of .* got ItemDeletion"),
        ((ItemDeletion(num_deletions=1), 3), r"corruptions\[1\] must be a kind of damage, got 3"),
        ([ItemDeletion], r"corruptions\[0\] must be a kind of damage, got <class"),
    ],
    ids=["one", "a number", "a class"],
)
def test_what_is_no_kind_of_damage_is_refused(corruptions: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        MixedCorruption(corruptions)


@EVERY_KIND
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sequences": torch.ones(3, dtype=torch.int64)},
            r"sequences must be \[B, [WL]\], got shape",
        ),
        ({"sequences": torch.ones(2, 3)}, "sequences must be int32 or int64, got torch.float32"),
        ({"row_keys": torch.arange(3)}, r"row_keys must be \[2\], got shape \(3,\)"),
        ({"row_keys": torch.ones(2)}, "row_keys must be int64"),
        ({"seed": -1}, "seed must be in"),
        ({"step": 2**32}, "step must be in"),
    ],
)
def test_wrong_arguments_are_refused(kind: str, change: dict[str, Any], message: str) -> None:
    right = {"sequences": torch.ones(2, 3, dtype=torch.int64), "seed": 0}
    with pytest.raises(ValueError, match=message):
        KINDS[kind](**{**right, **change})


# Two epochs may teach the noise model nothing.
@pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")
@EVERY_KIND
def test_the_trainer_trains_with_it(split: LeaveOneOut, kind: str) -> None:
    steps = []

    def corruption(sequences: Tensor, **options: Any) -> CorruptionOutput:
        noisy = KINDS[kind](sequences, **options)
        steps.append((options["step"], bool(noisy.noise_labels.any())))
        return noisy

    torch.manual_seed(0)
    made = JointTrainer(
        SASRec(NUM_ITEMS, max_length=12, embedding_dim=8, num_blocks=1),
        TargetAttentionNoiseModel(NUM_ITEMS, embedding_dim=8, hidden_dims=(16,)),
        corruption,
        config(epochs=2, gate_auc=0.0, warmup_epochs=1),
    )
    untrained = parameters(made.models.noise_model)
    history = made.fit(split.train, progress=False)
    assert [record.weights_used for record in history] == ["none", "all"]
    assert all(record.noise_loss is not None and record.noise_auc is not None for record in history)
    assert all(damaged for _, damaged in steps)
    assert len({step for step, _ in steps}) == made.state.steps + 1  # and the held-out one
    assert made.models.noise_models is not None
    for model in made.models.noise_models.models:
        assert not torch.equal(parameters(model), untrained)
