"""Training through torch.compile: on small models, as compiling takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from atjt_ext import JointTrainer
from atjt_ext.data import Batch, LeaveOneOut
from helpers.joint import config
from helpers.resuming import assert_resumes_like_unbroken

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


class LastItems(nn.Module):
    """The state is a layer on an average of the items so far; widths vary from batch to batch."""

    def __init__(self, num_items: int, dropout: float) -> None:
        super().__init__()
        self.num_items = num_items
        self.items = nn.Embedding(num_items + 1, 8, padding_idx=0)
        self.layer = nn.Linear(8, 8)
        self.dropout = nn.Dropout(dropout)
        self.ran_eagerly = 0

    def encode(self, sequences: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self.ran_eagerly += self.training
        total = self.dropout(self.items(sequences)).cumsum(1)
        return self.layer(total).tanh()

    def item_table(self) -> Tensor:
        return self.items.weight


class Scores(LastItems):
    """The same as a pointwise model."""

    encode = None  # type: ignore[assignment]

    def score(self, batch: Batch, candidates: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self.ran_eagerly += self.training
        taste = self.layer(self.dropout(self.items(batch.inputs)).sum(1))
        return (self.items(candidates) @ taste[:, :, None]).squeeze(-1)


def fitted(
    split: LeaveOneOut, kind: type[LastItems], *, compile_it: bool
) -> tuple[JointTrainer, list[float]]:
    torch.manual_seed(0)
    options = {"weighting": "equal", "epochs": 3, "loss": "binary_cross_entropy"}
    made = JointTrainer(
        kind(split.train.num_items, dropout=0.0), config=config(compile=compile_it, **options)
    )
    history = made.fit(split.train, split.valid, progress=False)
    return made, [record.recommender_loss for record in history]


@pytest.mark.parametrize("kind", [LastItems, Scores])
def test_a_compiled_recommender_learns_the_same(split: LeaveOneOut, kind: type[LastItems]) -> None:
    eager, expected = fitted(split, kind, compile_it=False)
    made, losses = fitted(split, kind, compile_it=True)
    assert losses == pytest.approx(expected, rel=1e-4)
    assert eager.recommender.ran_eagerly > 10
    assert made.recommender.ran_eagerly == 0
    assert list(made.recommender.state_dict()) == list(eager.recommender.state_dict())


def test_a_resumed_compiled_run_ends_like_an_unbroken_one(
    split: LeaveOneOut, tmp_path: Path
) -> None:
    def make() -> JointTrainer:
        torch.manual_seed(0)
        recommender = LastItems(split.train.num_items, dropout=0.3)
        return JointTrainer(recommender, config=config(weighting="equal", compile=True))

    assert_resumes_like_unbroken(make, split, tmp_path / "c.pt", after=2)
