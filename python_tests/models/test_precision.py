"""Training in half precision."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from atjt_ext import JointTrainer, JointTrainerConfig, TargetAttentionNoiseModel
from atjt_ext.data import LeaveOneOut
from atjt_ext.models import precision
from atjt_ext.models.precision import autocast
from atjt_ext.training import objectives
from atjt_ext.training.trainer import StepResult
from helpers.joint import config, fit, parameters, trainer
from helpers.resuming import assert_resumes_like_unbroken
from helpers.tiny import ScoreTable, tiny_batch
from helpers.zoo import ALL_MODELS, POINTWISE_MODELS, SEQUENCE_MODELS

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _has_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any processor trains in bfloat16 here."""
    monkeypatch.setattr(precision, "_multiplies_bfloat16", lambda: True)


@pytest.mark.parametrize(
    ("line", "has_it"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 fma", True),
        ("flags\t\t: amx_tile amx_bf16", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx2 fma avx512f", False),
        ("model name\t: bf16", False),
    ],
)
def test_instructions_for_bfloat16_are_read_from_the_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, has_it: bool
) -> None:
    monkeypatch.undo()
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{line}\n\n")
    assert precision._multiplies_bfloat16(str(path)) is has_it
    assert precision._multiplies_bfloat16(str(tmp_path / "nothing")) is False


def test_a_processor_without_bfloat16_trains_in_float32_and_says_so(
    split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision, "_multiplies_bfloat16", lambda: False)
    assert precision.usable_precision("bfloat16", CPU) == "float32"
    assert precision.usable_precision("bfloat16", CUDA) == "bfloat16"
    found = {}
    for name in ("float32", "bfloat16"):
        made = trainer(split, weighting="equal", epochs=1, precision=name)
        made.fit(split.train)
        found[name] = parameters(made.recommender)
        said = "no instructions for bfloat16 products, so training is in float32"
        assert (said in capsys.readouterr().err) == (name == "bfloat16")
    assert torch.equal(found["float32"], found["bfloat16"])


def test_matrix_products_are_in_half_precision_and_nothing_that_lasts_is(
    split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trainer(split, epochs=2, gate_auc=0.0, warmup_epochs=1, precision="bfloat16")
    products: dict[str, set[torch.dtype]] = {"training": set(), "evaluation": set()}

    def watch(module: nn.Module, inputs: object, output: Tensor) -> None:
        products["training" if module.training else "evaluation"].add(output.dtype)

    made.recommender.blocks[0].query_key_value.register_forward_hook(watch)
    results: list[StepResult] = []
    step = made.step

    def spy(*arguments: object, **options: object) -> StepResult:
        results.append(step(*arguments, **options))  # type: ignore[arg-type]
        return results[-1]

    monkeypatch.setattr(made, "step", spy)
    made.fit(split.train, split.valid, progress=False)
    assert products == {"training": {torch.bfloat16}, "evaluation": {torch.float32}}
    assert len(results[-1].weights.unique()) > 2  # the noise models', in float32:
    assert {r.weights.dtype for r in results} == {torch.float32}
    assert {p.dtype for p in made.recommender.parameters()} == {torch.float32}
    assert made.recommender.item_embedding.weight.grad.dtype == torch.float32


def test_the_noise_models_run_in_half_precision_too(
    split: LeaveOneOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trainer(split, epochs=1, precision="bfloat16")
    seen = set()
    forward = TargetAttentionNoiseModel.forward

    def spy(self: nn.Module, batch: object) -> Tensor:
        logits = forward(self, batch)
        seen.add((self.training, logits.dtype))
        return logits

    monkeypatch.setattr(TargetAttentionNoiseModel, "forward", spy)
    made.fit(split.train, progress=False)
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}


@pytest.mark.parametrize(
    ("model", "loss"),
    [(model, "binary_cross_entropy") for model in ALL_MODELS]
    + [(model, "cross_entropy") for model in SEQUENCE_MODELS],
)
def test_every_model_learns_in_half_precision(split: LeaveOneOut, model: str, loss: str) -> None:
    losses = {}
    torch.manual_seed(0)
    sizes = {"num_users": split.train.num_users} if model in POINTWISE_MODELS else {}
    recommender = ALL_MODELS[model](split.train.num_items, **sizes)
    for name in ("float32", "bfloat16"):
        options = {"weighting": "equal", "loss": loss, "precision": name, "epochs": 2}
        made = JointTrainer(copy.deepcopy(recommender), config=config(**options))
        history = made.fit(split.train, progress=False)
        losses[name] = [record.recommender_loss for record in history]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


@pytest.mark.parametrize(
    ("options", "operator"),
    [
        ({"softmax": "linear"}, "linear_reweighted_cross_entropy"),
        (
            {"loss": "binary_cross_entropy", "num_negatives": 2},
            "sampled_binary_cross_entropy",
        ),
    ],
)
def test_operators_over_the_catalogue_compute_in_float32_on_a_cpu(
    options: dict[str, Any], operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = getattr(objectives, operator)

    def spy(hidden: Tensor, items: Tensor, *arguments: object, **options: object) -> Tensor:
        seen.append((hidden.dtype, items.dtype))
        return original(hidden, items, *arguments, **options)

    monkeypatch.setattr(objectives, operator, spy)
    for name in ("float32", "bfloat16"):
        with autocast(name, CPU):
            objectives.recommender_loss(
                SEQUENCE_MODELS["sasrec"](),
                tiny_batch([1, 2, 3], [4, 5]),
                torch.ones(2),
                JointTrainerConfig(**options),
            ).backward()
    assert seen == [(torch.float32,) * 2] * 2


def test_losses_of_scores_in_half_precision_are_summed_in_single() -> None:
    scores = torch.randn(300, 9, generator=torch.Generator().manual_seed(0)).bfloat16()
    batch = tiny_batch(*([1 + row % 9, 1 + row % 7] for row in range(300)))
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        torch.manual_seed(0)  # the negatives
        found.append(
            objectives.recommender_loss(
                ScoreTable(scores.to(dtype)),
                batch,
                torch.ones(300),
                JointTrainerConfig(loss="binary_cross_entropy", num_negatives=2),
            )
        )
    assert found[0].dtype == torch.float32
    assert found[0].item() == found[1].item()


@pytest.mark.parametrize("softmax", ["logits", "linear"])
def test_half_precision_reaches_the_metric_of_single(split: LeaveOneOut, softmax: str) -> None:
    options = {"weighting": "equal", "epochs": 12, "softmax": softmax}
    untrained = trainer(split, **options).evaluate(split.valid)["NDCG@10"]
    found = {
        name: fit(split, precision=name, **options).evaluate(split.valid)["NDCG@10"]
        for name in ("float32", "bfloat16")
    }
    assert found["float32"] > 1.5 * untrained
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.15)


@pytest.mark.parametrize("weights_act_on", ["targets", "inputs"])
def test_a_resumed_run_in_half_precision_ends_like_an_unbroken_one(
    split: LeaveOneOut, tmp_path: Path, weights_act_on: str
) -> None:
    options = {
        "recipe": "default",
        "weights_act_on": weights_act_on,
        "precision": "bfloat16",
        "clip_grad_norm": 0.5,
        "epochs": 4,
    }
    made = assert_resumes_like_unbroken(
        lambda: trainer(split, **options), split, tmp_path / "c.pt", after=2
    )
    single = fit(split, **{**options, "precision": "float32"})
    assert not torch.equal(parameters(single.recommender), parameters(made.recommender))


def test_training_in_float16_has_gone() -> None:
    with pytest.raises(ValueError, match="precision must be float32 or bfloat16, got 'float16'"):
        config(precision="float16")
