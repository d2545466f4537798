"""DIN, Wide & Deep and DCN: what each adds to an MLP, by hand, and the parts that they share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from atjt_ext import DCN, DIN, WideDeep
from atjt_ext.models._pointwise import Dice, ItemEncoder
from helpers.tiny import tiny_batch
from helpers.zoo import CLOSE, FEATURES, shaken

BATCH = tiny_batch([1, 2, 3, 4, 5, 6], [7, 8, 9, 7], [10, 11])
CANDIDATES = torch.tensor([[1, 7, 20, 4], [9, 10, 3, 3], [5, 6, 7, 8]])


# ---- shared parts -------------------------------------------------------------------------------


def test_dice_gates_by_the_batch_and_later_by_what_it_remembers() -> None:
    dice = Dice(3)
    dice.alpha.data = torch.tensor([0.0, 0.5, 1.0])
    inputs = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 2 + 1
    mean, variance = inputs.mean(0), inputs.var(0, unbiased=False)
    gate = torch.sigmoid((inputs - mean) / variance.sqrt())
    wanted = gate * inputs + (1 - gate) * dice.alpha * inputs
    torch.testing.assert_close(dice(inputs), wanted, **CLOSE)
    torch.testing.assert_close(dice(inputs)[:, 2], inputs[:, 2])  # alpha 1: the identity
    for _ in range(200):
        dice(inputs)
    dice.eval()
    remembered = dice(inputs[:1])
    torch.testing.assert_close(remembered, wanted[:1].detach(), rtol=0, atol=0.05)
    assert torch.equal(dice(torch.stack([inputs[0], inputs[9]]))[:1], remembered)


def test_dice_takes_any_leading_dimensions_and_no_rows() -> None:
    dice = Dice(2)
    inputs = torch.randn(4, 5, 2)
    torch.testing.assert_close(dice(inputs), dice(inputs.view(20, 2)).view(4, 5, 2))
    for rows in (0, 1):
        assert dice(torch.ones(rows, 2)).shape == (rows, 2)


def test_every_feature_has_a_vocabulary_of_its_own() -> None:
    encoder = ItemEncoder(3, 2, torch.tensor([[0, 0], [1, 1], [1, 0], [2, 1]]))
    assert encoder.width == 6
    assert encoder.feature_embedding is not None
    assert encoder.feature_embedding.num_embeddings == 3 + 2
    vectors = encoder(torch.tensor([1, 2, 3]))
    table = encoder.feature_embedding.weight
    wanted = torch.stack([table[[1, 4]], table[[1, 3]], table[[2, 4]]]).flatten(1)
    assert torch.equal(vectors[:, 2:], wanted)
    assert torch.equal(vectors[:, :2], encoder.item_embedding.weight[1:])


def test_the_mean_of_a_history_leaves_padding_out() -> None:
    encoder = ItemEncoder(20, 4, FEATURES)
    means = encoder.history_mean(torch.tensor([[0, 0, 3, 5], [1, 2, 3, 4], [0, 0, 0, 0]]))
    torch.testing.assert_close(means[0], encoder(torch.tensor([3, 5])).mean(0))
    torch.testing.assert_close(means[1], encoder(torch.tensor([1, 2, 3, 4])).mean(0))
    assert not means[2].any()


def test_features_travel_with_the_parameters() -> None:
    """A model that is loaded reads the features it was trained on."""
    model, other = shaken("din"), shaken("din", item_features=FEATURES.flip(0), seed=1)
    other.load_state_dict(model.state_dict())
    scores = [m.eval().score(BATCH, CANDIDATES) for m in (model, other)]
    assert torch.equal(*scores)


@pytest.mark.parametrize("name", ["din", "wide_deep", "dcn"])
def test_a_history_is_a_set(name: str) -> None:
    model = shaken(name).eval()
    shuffled = tiny_batch([5, 3, 1, 2, 4, 6], [9, 7, 8, 7], [10, 11])
    torch.testing.assert_close(
        model.score(shuffled, CANDIDATES), model.score(BATCH, CANDIDATES), **CLOSE
    )


# ---- DIN ----------------------------------------------------------------------------------------


def test_din_by_hand() -> None:
    model = shaken("din", attention_dims=(6, 3), activation="prelu").eval()
    unit = model.attention
    scores = model.score(BATCH, CANDIDATES)
    for row, history in enumerate(([1, 2, 3, 4, 5], [7, 8, 9], [10])):
        for column, candidate in enumerate(CANDIDATES[row].tolist()):
            query = model.items(torch.tensor(candidate))
            pooled = torch.zeros_like(query)
            for item in history:
                key = model.items(torch.tensor(item))
                hidden = unit.of_item(key) + unit.of_candidate(query) + unit.of_product(key * query)
                # Not normalised: more items that fit make a larger vector.
                pooled = pooled + unit.rest(unit.activation(hidden)) * key
            user = model.user_embedding(torch.tensor(row))
            logit = model.output(model.mlp(torch.cat([pooled, query, user])))
            torch.testing.assert_close(scores[row, column], logit[0], rtol=1e-4, atol=1e-4)


def test_the_activation_units_first_layer_is_that_of_the_original() -> None:
    """Linear in [item, candidate, item - candidate, item * candidate]: any such layer is one of
    ours."""
    unit = shaken("din").attention
    full = nn.Linear(4 * 24, 32)
    item, candidate = torch.randn(2, 5, 24)
    with torch.no_grad():
        of_item, of_candidate, of_difference, of_product = full.weight.chunk(4, dim=1)
        unit.of_item.weight.copy_(of_item + of_difference)
        unit.of_item.bias.copy_(full.bias)
        unit.of_candidate.weight.copy_(of_candidate - of_difference)
        unit.of_product.weight.copy_(of_product)
        together = torch.cat([item, candidate, item - candidate, item * candidate], dim=-1)
        ours = unit.of_item(item) + unit.of_candidate(candidate) + unit.of_product(item * candidate)
        torch.testing.assert_close(ours, full(together), **CLOSE)


def test_din_needs_a_hidden_layer_in_its_attention() -> None:
    with pytest.raises(ValueError, match="attention_dims must hold at least one width"):
        DIN(5, attention_dims=())
    with pytest.raises(ValueError, match="attention_dims must be at least 1, got 0"):
        DIN(5, attention_dims=(0,))


# ---- Wide & Deep --------------------------------------------------------------------------------


def _without_deep(**options: Any) -> Any:
    model = shaken("wide_deep", **options)
    model.output.weight.data.zero_()
    model.output.bias.data.zero_()
    return model


def test_the_wide_part_is_linear_in_ids_features_and_users() -> None:
    model = _without_deep(cross_buckets=0)
    wide = model.wide
    scores = model.score(BATCH, CANDIDATES)
    ids = wide.item_embedding.weight[CANDIDATES].squeeze(-1)
    features = wide.feature_embedding.weight[wide.feature_codes[CANDIDATES]].sum(dim=(-2, -1))
    users = model.wide_user.weight[BATCH.users]
    torch.testing.assert_close(scores, ids + features + users, **CLOSE)


def test_crosses_are_a_weight_per_pair_of_a_history_item_and_a_candidate() -> None:
    model = _without_deep(cross_buckets=2**20)
    model.zero_grad()

    def touched(history: list[int], candidate: int) -> set[int]:
        model.crosses.grad = None
        model.score(tiny_batch([*history, 1]), torch.tensor([[candidate]])).sum().backward()
        assert model.crosses.grad is not None
        assert float(model.crosses.grad.sum()) == len(history)
        return set(model.crosses.grad.nonzero().flatten().tolist())

    pairs = {(i, c): touched([i], c) for i in range(1, 21) for c in range(1, 21)}
    # 400 pairs in a million buckets: no two should share one, and (i, c) is not (c, i).
    assert len(set.union(*pairs.values())) == 400
    assert touched([3, 5, 9], 7) == pairs[3, 7] | pairs[5, 7] | pairs[9, 7]


def test_few_buckets_are_all_used() -> None:
    model = _without_deep(cross_buckets=7)
    everything = torch.arange(1, 21)[None]
    model.score(tiny_batch([*range(1, 21), 1]), everything).sum().backward()
    assert bool((model.crosses.grad > 20).all())  # 400 pairs, 57 per bucket


def test_a_fresh_wide_part_remembers_nothing() -> None:
    model = WideDeep(5, num_users=2)
    assert not any(
        p.any() for p in (*model.wide.parameters(), *model.wide_user.parameters(), model.crosses)
    )


def test_less_than_no_buckets_are_refused() -> None:
    with pytest.raises(ValueError, match="cross_buckets must be at least 0, got -1"):
        WideDeep(5, cross_buckets=-1)


# ---- DCN ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
def test_the_cross_network_by_hand(version: int) -> None:
    model = shaken("dcn", cross_version=version, hidden_dims=())
    scores = model.score(BATCH, CANDIDATES)
    known = torch.cat(
        [model.items.history_mean(BATCH.inputs), model.user_embedding(BATCH.users)], 1
    )
    for row in range(3):
        first = torch.cat([model.items(CANDIDATES[row, 1]), known[row]])
        crossed: Tensor = first
        for layer in model.cross_layers:
            weight = layer.weight.weight
            if version == 1:
                crossed = first * (weight[0] @ crossed) + layer.bias + crossed
            else:
                crossed = first * (weight @ crossed + layer.weight.bias) + crossed
        logit = model.output(torch.cat([crossed, first]))
        torch.testing.assert_close(scores[row, 1], logit[0], rtol=1e-4, atol=1e-4)


def test_a_vector_or_a_matrix_per_cross_layer() -> None:
    def extra(version: Any) -> int:
        sizes = [
            sum(p.numel() for p in DCN(5, num_cross_layers=n, cross_version=version).parameters())
            for n in (1, 2)
        ]
        return sizes[1] - sizes[0]

    assert extra(1) == 64 + 64
    assert extra(2) == 64 * 64 + 64
