"""How training decides the route of the softmax, with logits or without."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from atjt_ext.data import LeaveOneOut, TrainingRows
from atjt_ext.training import objectives
from atjt_ext.training.trainer import StepResult
from helpers.joint import parameters, trainer


@pytest.mark.parametrize(("logits", "route"), [(10**9, "logits"), (1, "linear")])
def test_the_softmax_is_decided_once_by_a_full_batch(
    split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch, logits: int, route: str
) -> None:
    monkeypatch.setattr(objectives, "_LINEAR_FROM_LOGITS", {"cpu": logits})
    made = trainer(split, weighting="equal", epochs=1)
    seen = []
    one_step = made.step

    def step(*arguments: Any, **options: Any) -> StepResult:
        seen.append(made._loss_config.softmax)
        return one_step(*arguments, **options)

    monkeypatch.setattr(made, "step", step)
    made.fit(split.train, progress=False)
    assert set(seen) == {route}
    assert made.softmax == route
    rows = TrainingRows(split.train, max_length=made.config.max_length)
    targets = sum(int(batch.is_target.sum()) for batch in rows.batches(64, seed=0, epoch=0))
    size = min(made.config.batch_size, len(rows))
    assert made._targets_per_step == pytest.approx(targets / len(rows) * size)


def test_without_logits_it_trains_the_same_and_says_so(
    split: LeaveOneOut, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for softmax in ("auto", "linear"):
        made = trainer(split, weighting="equal", epochs=2, softmax=softmax)
        made.fit(split.train, title="run")
        found[made.softmax] = parameters(made.recommender)
        said = f"run: softmax over {split.train.num_items} items without logits (softmax: linear)"
        assert (said in capsys.readouterr().err) == (softmax == "linear")
    # Adam divides gradients by their size, however small and rounded.
    torch.testing.assert_close(found["linear"], found["logits"], rtol=1e-2, atol=1e-3)
