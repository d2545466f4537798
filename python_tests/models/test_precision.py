"""Training in half precision."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from atjt_ext import JointTrainer
from atjt_ext.data import LeaveOneOut
from atjt_ext.models.precision import autocast
from atjt_ext.training import objectives
from atjt_ext.training.state import TrainingState
from atjt_ext.training.trainer import StepResult
from helpers.joint import config, fit, parameters, trainer
from helpers.resuming import assert_resumes_like_unbroken
from helpers.tiny import ScoreTable, tiny_batch
from helpers.zoo import ALL_MODELS, POINTWISE_MODELS, SEQUENCE_MODELS

CPU = torch.device("cpu")


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
    forward = type(made.noise_model).forward

    def spy(self: nn.Module, batch: object) -> Tensor:
        logits = forward(self, batch)
        seen.add((self.training, logits.dtype))
        return logits

    monkeypatch.setattr(type(made.noise_model), "forward", spy)
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
    for precision in ("float32", "bfloat16"):
        options = {"weighting": "equal", "loss": loss, "precision": precision, "epochs": 2}
        made = JointTrainer(copy.deepcopy(recommender), config=config(**options))
        history = made.fit(split.train, progress=False)
        losses[precision] = [record.recommender_loss for record in history]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


@pytest.mark.parametrize(
    ("loss", "operator"),
    [
        ("cross_entropy", "linear_reweighted_cross_entropy"),
        ("binary_cross_entropy", "sampled_binary_cross_entropy"),
    ],
)
def test_operators_over_the_catalogue_get_what_a_matrix_product_would(
    loss: str, operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = getattr(objectives, operator)

    def spy(hidden: Tensor, items: Tensor, *arguments: object, **options: object) -> Tensor:
        seen.append((hidden.dtype, items.dtype))
        return original(hidden, items, *arguments, **options)

    monkeypatch.setattr(objectives, operator, spy)
    for precision in ("float32", "bfloat16"):
        with autocast(precision, CPU):
            objectives.recommender_loss(
                SEQUENCE_MODELS["sasrec"](),
                tiny_batch([1, 2, 3], [4, 5]),
                torch.ones(2),
                loss=loss,
                num_negatives=2,
                softmax="linear",
            ).backward()
    assert seen == [(torch.float32,) * 2, (torch.bfloat16,) * 2]


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
                loss="binary_cross_entropy",
                num_negatives=2,
            )
        )
    assert found[0].dtype == torch.float32
    assert found[0].item() == found[1].item()


@pytest.mark.parametrize("softmax", ["logits", "linear"])
def test_half_precision_reaches_the_metric_of_single(split: LeaveOneOut, softmax: str) -> None:
    options = {"weighting": "equal", "epochs": 12, "softmax": softmax}
    untrained = trainer(split, **options).evaluate(split.valid)["NDCG@10"]
    found = {
        precision: fit(split, precision=precision, **options).evaluate(split.valid)["NDCG@10"]
        for precision in ("float32", "bfloat16")
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


# ---- float16: the loss is scaled ----------------------------------------------------------------


def test_float16_on_a_cpu_is_refused(split: LeaveOneOut) -> None:
    with pytest.raises(
        ValueError, match=r"precision='float16' needs a CUDA device, got device=cpu"
    ):
        trainer(split, precision="float16")


def scaled_state(model: nn.Module, **options: object) -> TrainingState:
    """What a float16 training holds. The scaling itself needs no GPU."""
    chosen = config(weighting="equal", precision="float16", **options)
    model.num_items = 9
    return TrainingState(model, None, chosen, 4, CPU)


@pytest.mark.parametrize(("clip", "wanted"), [(None, 5.0), (2.0, 2.0), (10.0, 5.0)])
def test_gradients_are_clipped_by_their_own_norm_not_that_of_scaled_ones(
    clip: float | None, wanted: float
) -> None:
    model = nn.Linear(2, 1, bias=False)
    state = scaled_state(model, clip_grad_norm=clip)
    state.update((model.weight * torch.tensor([3.0, 4.0])).sum())
    assert float(model.weight.grad.norm()) == pytest.approx(wanted, rel=1e-5)


def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_falls() -> None:
    model = nn.Linear(2, 1, bias=False)
    state = scaled_state(model)
    before = model.weight.detach().clone()
    state.update((model.weight * torch.tensor([1e38, 1.0])).sum())
    assert torch.equal(model.weight, before)
    assert state.scale == 2.0**15
    state.update(model.weight.sum())
    assert not torch.equal(model.weight, before)


def test_the_scale_is_part_of_a_checkpoint(tmp_path: Path) -> None:
    model = nn.Linear(2, 1, bias=False)
    state = scaled_state(model)
    for _ in range(3):
        state.update((model.weight * 1e38).sum())
    state.save(tmp_path / "c.pt")
    fresh = scaled_state(nn.Linear(2, 1, bias=False))
    fresh.load(tmp_path / "c.pt")
    assert fresh.scale == state.scale == 2.0**13


def test_a_noise_model_without_gradients_is_no_trouble(split: LeaveOneOut) -> None:
    made = trainer(split)
    state = TrainingState(
        made.recommender, made.noise_model, config(precision="float16"), split.train.num_users, CPU
    )
    before = parameters(made.recommender)
    state.update(made.recommender.item_embedding.weight.square().sum())
    assert not torch.equal(parameters(made.recommender), before)
