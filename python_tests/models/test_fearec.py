"""FEARec: bands, delays, the mix of both attentions, and its contrast."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from atjt_ext.models._packing import PackedRows
from atjt_ext.models.fearec import band_pass, frequency_band
from atjt_ext.training.config import JointTrainerConfig
from atjt_ext.training.objectives import auxiliary_loss, recommender_loss
from helpers.tiny import LastItemModel, tiny_batch
from helpers.zoo import CLOSE, shaken

BATCH = tiny_batch([1, 2, 3, 4, 5, 6], [7, 8, 9, 7], [10, 11])


@pytest.mark.parametrize(
    ("length", "layers", "share", "bands"),
    [
        # 26 frequencies; the paper's code: (26 * 0.4) // 1 = 10 further down per layer.
        (50, 2, 0.6, [(10, 26), (0, 16)]),
        (50, 2, 0.5, [(13, 26), (0, 13)]),  # not above 1 / layers: each its own half
        (50, 2, 1.0, [(0, 26), (0, 26)]),
        (50, 1, 0.3, [(0, 26)]),
        (50, 4, 0.4, [(15, 26), (10, 21), (5, 16), (0, 11)]),
        (1, 2, 0.6, [(0, 1), (0, 1)]),  # never empty
    ],
)
def test_bands_slide_from_high_frequencies_to_low_ones(
    length: int, layers: int, share: float, bands: list[tuple[int, int]]
) -> None:
    assert [frequency_band(n, layers, length, share) for n in range(layers)] == bands


@pytest.mark.parametrize("length", [1, 2, 7, 12])
@pytest.mark.parametrize("band", [(0, 1), (0, 4), (1, 3), (3, 7)])
def test_a_band_pass_is_what_fourier_transforms_make_of_it(
    length: int, band: tuple[int, int]
) -> None:
    sequences = torch.randn(3, length, 5, generator=torch.Generator().manual_seed(1))
    spectrum = torch.fft.rfft(sequences, dim=1)
    spectrum[:, : band[0]] = 0
    spectrum[:, band[1] :] = 0
    wanted = torch.fft.irfft(spectrum, n=length, dim=1)
    torch.testing.assert_close(band_pass(length, *band) @ sequences, wanted, **CLOSE)


def _block(**options: Any) -> tuple[Any, Tensor]:
    """A block that sees all frequencies, and a grid of queries, keys and values."""
    block = shaken("fearec", num_blocks=1, band_share=1.0, **options).blocks[0]
    return block, torch.randn(3, 12, 24, generator=torch.Generator().manual_seed(1))


def test_the_frequency_attention_is_a_rolled_mean_over_the_best_delays() -> None:
    block, grid = _block(delay_factor=1.0)
    query, key, value = grid.chunk(3, dim=-1)
    count = int(math.log(12))
    assert count == 2
    for row, found in enumerate(block._over_delays(grid, grid)):
        # The paper's code: autocorrelation by the Wiener-Khinchin theorem.
        spectra = [torch.fft.rfft(part[row], dim=0) for part in (query, key)]
        alike = torch.fft.irfft(spectra[0] * spectra[1].conj(), n=12, dim=0).mean(dim=1)
        best, delays = alike.topk(count)
        wanted = sum(
            weight * value[row].roll(-int(delay), 0)
            for weight, delay in zip(best.softmax(0), delays, strict=True)
        )
        torch.testing.assert_close(found, wanted, **CLOSE)


def test_with_all_frequencies_the_time_attention_is_plain_attention() -> None:
    block, grid = _block(time_share=1.0)
    query, key, value = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in grid.chunk(3, -1))
    wanted = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    found = block.attend(grid.flatten(0, 1), PackedRows(torch.ones(3, 12, dtype=torch.bool)))
    torch.testing.assert_close(found, wanted.transpose(1, 2).reshape(36, 8), **CLOSE)


def test_time_share_mixes_the_two() -> None:
    def states(share: float) -> Tensor:
        model = shaken("fearec", num_blocks=1)
        model.blocks[0].time_share = share
        model.blocks[0].attention_output.bias.data.zero_()
        model.blocks[0].feed_forward[-1].weight.data.zero_()
        model.final_norm = torch.nn.Identity()
        result: Tensor = model.encode(BATCH.inputs)
        return result

    torch.testing.assert_close(states(0.3), 0.7 * states(0.0) + 0.3 * states(1.0), **CLOSE)
    assert not torch.allclose(states(0.0), states(1.0), atol=1e-3)


@pytest.mark.parametrize("time_share", [0.0, 1.0])
def test_a_band_hides_the_other_frequencies(time_share: float) -> None:
    """The lowest frequency is the mean: with nothing else, time attention is the same everywhere,
    and all delays are equally good, so that frequency attention takes the first of them."""
    block = shaken("fearec", num_blocks=1).blocks[0]
    block.time_share = time_share
    block.feed_forward[-1].weight.data.zero_()
    block.feed_forward[-1].bias.data.zero_()
    packed = torch.randn(12, 8, generator=torch.Generator().manual_seed(1))
    rows = PackedRows(torch.ones(1, 12, dtype=torch.bool))
    changes = []
    for end in (1, 7):
        block.band_pass = band_pass(12, 0, end)
        changes.append(block(packed, rows) - packed)
    if time_share:
        torch.testing.assert_close(changes[0], changes[0][:1].expand(12, -1), **CLOSE)
    assert float((changes[0] - changes[1]).detach().abs().max()) > 1e-2


def test_it_is_trained_at_the_last_position_alone() -> None:
    model = shaken("fearec")
    assert model.last_position_only
    last = model.encode(BATCH.inputs)[:, -1]
    weights = torch.tensor([0.5, 2.0, 1.0])
    losses = F.cross_entropy(
        last @ model.item_table()[1:].T, BATCH.targets[:, -1] - 1, reduction="none"
    )
    found = recommender_loss(model, BATCH, weights, JointTrainerConfig())
    torch.testing.assert_close(found, (weights * losses).sum() / weights.sum(), **CLOSE)
    grid = torch.rand(3, 6)
    grid[:, -1] = weights
    by_position = recommender_loss(model, BATCH, grid, JointTrainerConfig())
    torch.testing.assert_close(by_position, found, **CLOSE)


def test_the_contrast_by_hand() -> None:
    model = shaken("fearec", dropout=0.3, contrast_weight=0.2)
    torch.manual_seed(3)
    loss = model.auxiliary_loss(BATCH)
    torch.manual_seed(3)
    views = [model.encode(BATCH.inputs)[:, -1] for _ in range(2)]
    both = torch.cat(views)
    parts = []
    for one in range(6):
        others = [two for two in range(6) if two != one]
        logits = torch.stack([both[one] @ both[two] for two in others])
        parts.append(torch.logsumexp(logits, 0) - both[one] @ both[(one + 3) % 6])
    spectra = [torch.fft.rfft(view, dim=1, norm="ortho") for view in views]
    wanted = 0.2 * (torch.stack(parts).mean() + (spectra[0] - spectra[1]).abs().mean())
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-5)
    loss.backward()
    assert model.blocks[0].query_key_value.weight.grad.isfinite().all()


def test_without_weight_the_contrast_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = shaken("fearec", contrast_weight=0.0)
    monkeypatch.setattr(model, "encode", None)
    assert float(model.auxiliary_loss(BATCH)) == 0.0


def test_only_models_that_have_one_add_a_loss() -> None:
    assert float(auxiliary_loss(LastItemModel(), BATCH)) == 0.0  # type: ignore[arg-type]
    assert float(auxiliary_loss(shaken("fearec", dropout=0.3), BATCH).detach()) > 0.0


def test_longer_sequences_than_max_length_are_refused() -> None:
    with pytest.raises(ValueError, match="length 13, at most max_length=12"):
        shaken("fearec").encode(torch.ones(1, 13, dtype=torch.int64))
