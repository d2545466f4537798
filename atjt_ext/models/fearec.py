"""FEARec: attention in the time domain and in the frequency domain.

Du et al., "Frequency Enhanced Hybrid Attention Network for Sequential Recommendation", SIGIR 2023
(arXiv:2304.09184).

**It is not causal**, like the original: a band of a Fourier spectrum mixes all positions, and the
frequency attention rolls values around the ends of the sequence. So every hidden state depends on
every item. Both models therefore train on the last position of every prefix: here
``last_position_only`` tells the trainer, and ``window_stride=1`` makes the prefixes.

Differences from the original:

| | original | here |
|---|---|---|
| padding before the Fourier transform | biases and position embeddings | zero |
| delays in training | by the mean of the batch, so rows affect each other | per sequence |
| normalisation | after each layer | before each layer, as in SASRec |
| contrast of two dropout masks, with its regularisation | yes | yes |
| contrast of sequences with the same target | yes | no: it needs more than a batch |
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import Batch
from ._packing import PackedRows
from ._transformer import Transformer, TransformerBlock
from .dropout import DropoutKey
from .options import (
    TransformerConfig,
    above_zero,
    at_least_zero,
    from_0_to_1,
    part,
    require_length,
)

__all__ = ["FEARec", "FEARecConfig"]


def frequency_band(layer: int, num_layers: int, length: int, share: float) -> tuple[int, int]:
    """The first frequency of a layer and the one after its last; early layers have high ones.

    If ``share`` exceeds 1 / layers, bands of that share slide down and overlap. Otherwise each
    layer has its own 1 / layers (section 4.2 of the paper, rounded as in its code).
    """
    frequencies = length // 2 + 1
    if share > 1 / num_layers:
        width, step = share, (frequencies * (1 - share)) // max(1, num_layers - 1)
    else:
        width, step = 1 / num_layers, frequencies / num_layers
    start = max(0, int(frequencies * (1 - width) - layer * step))
    return start, max(start + 1, int(frequencies - layer * step))


def band_pass(length: int, start: int, end: int) -> Tensor:
    """``[length, length]``: the matrix that keeps frequencies ``start .. end - 1`` of a sequence.

    A product with it is faster than two Fourier transforms: on a CPU 5 times at 50 positions, 3
    times at 200.
    """
    spectrum = torch.fft.rfft(torch.eye(length, dtype=torch.float64), dim=0)
    kept = torch.zeros_like(spectrum)
    kept[start:end] = spectrum[start:end]
    matrix: Tensor = torch.fft.irfft(kept, n=length, dim=0)
    return matrix.float()


class _HybridBlock(TransformerBlock):
    """A transformer block whose attention mixes time and frequency."""

    band_pass: Tensor

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        dropout: float,
        *,
        band: Tensor,
        time_share: float,
        delay_factor: float,
    ) -> None:
        super().__init__(embedding_dim, num_heads, dropout)
        self.time_share = time_share
        self.delay_factor = delay_factor
        self.register_buffer("band_pass", band, persistent=False)

    def attend(self, query_key_value: Tensor, rows: PackedRows) -> Tensor:
        grid = rows.unpacked(query_key_value)
        filtered = self.band_pass @ grid
        attended = (1 - self.time_share) * rows.packed(self._over_delays(filtered, grid))
        if self.time_share:
            attended = attended + self.time_share * super().attend(rows.packed(filtered), rows)
        return attended

    def _over_delays(self, filtered: Tensor, grid: Tensor) -> Tensor:
        """Values rolled by the delays at which queries are most similar to keys (Autoformer's
        autocorrelation, arXiv:2106.13008)."""
        length = grid.shape[1]
        query, key, _ = filtered.chunk(3, dim=-1)
        position = torch.arange(length, device=grid.device)
        # Row t of the inner products, read from the diagonal on: query t + delay against key t.
        alike = (key @ query.transpose(1, 2)) / key.shape[-1]
        ahead = (position[:, None] + position) % length
        similarity = alike.gather(2, ahead.expand(grid.shape[0], -1, -1)).sum(dim=1)
        count = min(length, max(1, int(self.delay_factor * math.log(length))))
        best, delays = similarity.topk(count, dim=1)
        chosen = best.softmax(dim=1).to(similarity.dtype)  # float32 under autocast
        weights = torch.zeros_like(similarity).scatter(1, delays, chosen)
        rolled = weights[:, (position - position[:, None]) % length]  # [B, L, L]
        return rolled @ grid.chunk(3, dim=-1)[2]


@dataclass(frozen=True, kw_only=True)
class FEARecConfig(TransformerConfig):
    """Sizes of FEARec.

    Attributes:
        band_share: share of the frequencies that a block sees, in (0, 1].
        time_share: weight of the time attention, in [0, 1]; the frequency attention has the rest.
        delay_factor: the frequency attention uses the best delay_factor * ln(max_length) delays.
        contrast_weight: weight of the contrast of two dropout masks; 0 saves two of three passes.
    """

    # Only last positions are trained: a window per prefix makes every interaction a target.
    training: ClassVar[Mapping[str, Any]] = {"window_stride": 1}

    band_share: float = part(0.6)
    time_share: float = from_0_to_1(0.1)
    delay_factor: float = above_zero(1.0)
    contrast_weight: float = at_least_zero(0.1)

    def build(self, num_items: int, *, max_length: int, **_: Any) -> FEARec:
        return FEARec(num_items, max_length=max_length, **self.options())


class FEARec(Transformer):
    """A transformer with frequency-enhanced hybrid attention and a tied item table.

    Meets the ``SequenceRecommender`` protocol of :mod:`atjt_ext.models.protocols`, with
    ``last_position_only``: only the last hidden state of a row may be trained to predict.

    Args:
        num_items: catalogue size; items are ``1..num_items`` and 0 is padding.
        max_length: longest sequence that :meth:`encode` takes, and the length of the Fourier
            transform.

    The other arguments are the options of :class:`FEARecConfig`.
    """

    last_position_only = True

    def __init__(
        self,
        num_items: int,
        *,
        max_length: int = 50,
        embedding_dim: int = FEARecConfig.embedding_dim,
        num_blocks: int = FEARecConfig.num_blocks,
        num_heads: int = FEARecConfig.num_heads,
        dropout: float = FEARecConfig.dropout,
        band_share: float = FEARecConfig.band_share,
        time_share: float = FEARecConfig.time_share,
        delay_factor: float = FEARecConfig.delay_factor,
        contrast_weight: float = FEARecConfig.contrast_weight,
    ) -> None:
        FEARecConfig.check(locals())
        blocks = (
            _HybridBlock(
                embedding_dim,
                num_heads,
                dropout,
                band=band_pass(
                    max_length, *frequency_band(layer, num_blocks, max_length, band_share)
                ),
                time_share=time_share,
                delay_factor=delay_factor,
            )
            for layer in range(num_blocks)
        )
        super().__init__(num_items, max_length, embedding_dim, num_heads, dropout, blocks)
        self.contrast_weight = contrast_weight
        self.initialise()

    def encode(self, sequences: Tensor, *, dropout_key: DropoutKey | None = None) -> Tensor:
        """Hidden states: ``[B, L]`` int64, left-padded with 0 -> ``[B, L, D]``.

        Every state depends on all items of its row; states at padding are zero. More padding on the
        left changes nothing: rows are padded to ``max_length`` before the transform.
        ``dropout_key`` decides the dropout masks in training; without it torch's generator does.

        Raises:
            ValueError: ``L`` exceeds ``max_length``.
        """
        length = sequences.shape[1]
        require_length(length, self.max_length)
        whole = F.pad(sequences, (self.max_length - length, 0))
        rows = PackedRows(whole != 0, dropout_key=dropout_key)
        items = self.scaled(self.item_embedding(rows.packed(whole)))
        return rows.unpacked(self.states(items, rows))[:, self.max_length - length :]

    def auxiliary_loss(self, batch: Batch, *, dropout_key: DropoutKey | None = None) -> Tensor:
        """The unsupervised contrast of the paper's section 4.4: a scalar.

        Two passes with different dropout masks must recognise each other among the other sequences
        of the batch (InfoNCE on inner products, temperature 1) and have similar spectra: those of
        the final vector, over its channels, as in the paper's code.
        """
        if not self.contrast_weight:
            return self.item_embedding.weight.new_zeros(())
        # Pass 0 is that of the recommender's loss.
        keys = [None if dropout_key is None else dropout_key.in_pass(number) for number in (1, 2)]
        first, second = (self.encode(batch.inputs, dropout_key=key)[:, -1] for key in keys)
        both = torch.cat([first, second])
        similarities = (both @ both.T).fill_diagonal_(-torch.inf)
        partner = torch.arange(len(both), device=both.device).roll(len(first))
        contrast = F.cross_entropy(similarities, partner)
        spectra = [torch.fft.rfft(view, dim=1, norm="ortho") for view in (first, second)]
        loss: Tensor = self.contrast_weight * (contrast + (spectra[0] - spectra[1]).abs().mean())
        return loss
