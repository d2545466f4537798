"""The learning rate over the steps of training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from atjt_ext import JointTrainer
from atjt_ext.data import LeaveOneOut
from atjt_ext.training.state import learning_rate_factor
from helpers.joint import fit, trainer
from helpers.resuming import assert_resumes_like_unbroken
from helpers.small_run import make_run


def factors(schedule: str, warmup_steps: int, total_steps: int, *steps: int) -> list[float]:
    """The factors at ``steps``, or at every step of training."""
    options: Any = {"schedule": schedule, "warmup_steps": warmup_steps, "total_steps": total_steps}
    return [learning_rate_factor(step, **options) for step in steps or range(total_steps)]


def test_rates_are_those_of_the_formulas() -> None:
    assert factors("constant", 0, 3) == [1.0, 1.0, 1.0]
    assert factors("linear", 0, 4) == [1.0, 0.75, 0.5, 0.25]
    assert factors("constant", 4, 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert factors("linear", 2, 6) == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    half = math.sqrt(2) / 2
    cosine = [0.5, 1.0, 1.0, (1 + half) / 2, 0.5, (1 - half) / 2]
    assert factors("cosine", 2, 6) == pytest.approx(cosine)


@pytest.mark.parametrize(
    ("schedule", "last"), [("constant", 1.0), ("linear", 0.0), ("cosine", 0.0)]
)
@pytest.mark.parametrize("warmup_steps", [0, 4])
def test_steps_after_training_have_its_end(schedule: str, last: float, warmup_steps: int) -> None:
    found = factors(schedule, warmup_steps, 4, 4, 5, 8, 100)
    assert found == [1.0 if warmup_steps == 4 else last, last, last, last]


def rates(made: JointTrainer, split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rate that the recommender's optimizer had in each step."""
    seen = []
    step = made.step

    def spy(*arguments: object, **options: object) -> object:
        result = step(*arguments, **options)  # type: ignore[arg-type]
        seen.append(made.state.learning_rate)
        return result

    monkeypatch.setattr(made, "step", spy)
    made.fit(split.train, split.valid, progress=False)
    return seen


def test_training_follows_the_schedule_to_its_last_step(
    split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"schedule": "cosine", "schedule_warmup_steps": 3, "learning_rate": 0.01}
    seen = rates(trainer(split, weighting="equal", **options), split, monkeypatch)
    assert len(seen) > 6
    assert seen == pytest.approx([0.01 * one for one in factors("cosine", 3, len(seen))])


@pytest.mark.filterwarnings("ignore::atjt_ext.training.trainer.WeightsCollapsedWarning")
def test_a_schedule_spans_all_phases_and_leaves_the_noise_models_rate(
    split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trainer(
        split,
        cross_fitting="sequential",
        weighting="clean_probability",
        num_folds=3,
        patience=None,
        epochs=2,
        schedule="linear",
    )
    seen = rates(made, split, monkeypatch)
    assert seen == pytest.approx([5e-3 * one for one in factors("linear", 0, len(seen))])
    groups = made.state.optimizers["noise_models"].param_groups
    assert groups[0]["lr"] == made.config.noise_learning_rate


def test_the_default_is_one_rate_throughout(
    split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(rates(trainer(split, weighting="equal"), split, monkeypatch)) == {5e-3}


def test_a_warmup_as_long_as_training_is_refused(split: LeaveOneOut) -> None:
    with pytest.raises(ValueError, match=r"schedule_warmup_steps must be below the \d+ steps"):
        fit(split, epochs=1, schedule_warmup_steps=1000)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("sasrec", {"schedule_warmup_steps": 1000}, "schedule_warmup_steps must be below"),
        ("din", {"loss": "cross_entropy", "softmax": "linear"}, "softmax='linear' needs"),
    ],
)
def test_what_fit_refuses_a_run_refuses_before_it_writes_anything(
    tmp_path: Path, model: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_run(tmp_path / "run", model=model, **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_resumed_run_goes_on_with_the_schedule(
    split: LeaveOneOut, tmp_path: Path, schedule: str
) -> None:
    options = {"schedule": schedule, "schedule_warmup_steps": 5, "epochs": 5, "gate_auc": 0.0}
    made = assert_resumes_like_unbroken(
        lambda: trainer(split, **options), split, tmp_path / "c.pt", after=2
    )
    assert made.state.learning_rate < 0.2 * made.config.learning_rate
