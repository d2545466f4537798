"""One cell: plant noise, weigh, train, measure."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..data import LeaveOneOut, Sequences, inject_noise, leave_one_out
from ..evaluation.detection import detection_auc, popularity_detection
from ..evaluation.metrics import ranking_metrics
from ..models.options import ModelConfig
from ..models.scoring import takes_input_weight
from ..recognition import RecognisedNoise, RecognitionConfig, recognise_noise
from ..recognition.weighting import summarise_weights
from ..runs.build import base_model
from ..runs.config import DataConfig, RunConfig
from ..runs.data import load_sequences
from ..runs.evaluate import sampled_part
from ..training.config import JointTrainerConfig
from ..training.trainer import WeightsCollapsedWarning
from .recipes import WITHOUT_RECOGNITION, ExperimentRecipe
from .spec import Cell, ExperimentSpec, parse_noise
from .store import CellResult, data_digest
from .weights import given_weights, of_whole, pilot_losses, with_weights, without_noise

__all__ = ["cell_settings", "forget_data", "run_cell"]


# The cache key is what the data depend on, so that all models of a grid share them.
@lru_cache(maxsize=8)
def _load(file: str, data: DataConfig) -> tuple[Sequences, str]:
    sequences = load_sequences(file, RunConfig(data=data))
    leave_one_out(sequences)  # raises once per file, not once per cell
    return sequences, data_digest(sequences)


# Cells of one file, noise and seed run in succession: one entry suffices.
@lru_cache(maxsize=1)
def _noisy(file: str, data: DataConfig, noise: str, seed: int) -> Sequences:
    return inject_noise(_load(file, data)[0], parse_noise(noise), seed=seed)


@lru_cache(maxsize=1)
def _recognised(
    file: str, data: DataConfig, noise: str, seed: int, config: RecognitionConfig
) -> tuple[RecognisedNoise, float]:
    started = time.perf_counter()
    train = leave_one_out(_noisy(file, data, noise, seed)).train
    return recognise_noise(train, config, seed=seed), time.perf_counter() - started


def forget_data() -> None:
    """Empties the caches: files may have changed since they were read."""
    for cached in (_load, _noisy, _recognised):
        cached.cache_clear()


def cell_settings(cell: Cell, spec: ExperimentSpec, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a cell's result depends on, except its coordinates and the machine.

    Raises:
        ValueError: an option is out of range.
        DataError: the file can't be read, or its users' last interactions can't be ranked.
    """
    recipe, config = ExperimentRecipe.named(cell.recipe), _config(cell, spec, options)
    values: dict[str, Any] = {"config": config.as_dict()}
    values["data"] = _load(cell.file, config.data)[1]
    if recipe.acts_on in ("inputs", "both", "drop") or recipe.recognises:
        values["clean_at_test"] = spec.clean_at_test
    if recipe.acts_on == "drop":
        values["drop_below"] = _drop_below(options)
    if recipe.source == "loss":
        values["pilot_epochs"] = spec.pilot_epochs
    if recipe.recognises or recipe.source not in (None, *WITHOUT_RECOGNITION):
        values["recognition"] = asdict(_recognition(options))
    return values


def _config(cell: Cell, spec: ExperimentSpec, options: Mapping[str, Any]) -> RunConfig:
    """The config of a cell; it states what the weights of ``default`` act on with its model."""
    recipe = ExperimentRecipe.named(cell.recipe)
    config = recipe.config(cell.model, options, seed=cell.seed, more_epochs=spec.more_epochs)
    if not recipe.recognises or config.trainer.weights_act_on is not None:
        return config
    takes_weights = _takes_input_weight(config.model)
    return config.under(weights_act_on="both" if takes_weights else "drop")


def _recognition(options: Mapping[str, Any]) -> RecognitionConfig:
    """The options of recognition, the same for ``default`` and for every source of weights."""
    names = ("num_folds", "gate_auc")
    return RecognitionConfig(**{n: options[n] for n in names if options.get(n) is not None})


def _drop_below(options: Mapping[str, Any]) -> float:
    return float(options.get("drop_below", JointTrainerConfig().drop_below))


@lru_cache(maxsize=32)
def _takes_input_weight(model: ModelConfig) -> bool:
    return takes_input_weight(model.build(2, max_length=2, num_users=1))


def run_cell(
    cell: Cell,
    spec: ExperimentSpec,
    options: Mapping[str, Any],
    *,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> CellResult:
    """Trains and measures one cell of the grid ``spec``; writes nothing.

    ``options`` are those that the recipes share, by field name.

    Raises:
        ValueError: an option is out of range.
        DataError: the file can't be read, take the planted noise, or be split.
        TypeError: weights on inputs of a model that takes none.
        TrainingDivergedError: the loss became NaN or infinite.
    """
    recipe, config = ExperimentRecipe.named(cell.recipe), _config(cell, spec, options)
    sequences = _noisy(cell.file, config.data, cell.noise, cell.seed)
    column, sequences = sequences.weights, replace(sequences, weights=None)
    plain = leave_one_out(sequences)
    if column is None:
        weights, seconds, detection = _weights(cell, spec, options, config, plain, device)
        of_all = None if weights is None else of_whole(sequences, weights)
    else:
        of_all, weights, seconds = column, column[sequences.from_the_end > 2], 0.0
        detection = _detection(plain.train, -weights, None)
    split, at_test = plain, spec.clean_at_test
    if of_all is not None and recipe.acts_on == "drop":
        split = without_noise(sequences, of_all, below=_drop_below(options), at_test=at_test)
    elif of_all is not None:
        split = with_weights(sequences, of_all, at_test=at_test)
    elif recipe.recognises and not at_test:
        whole = (replace(part, read=part.histories) for part in (plain.valid, plain.test))
        split = LeaveOneOut(plain.train, *whole)
    started = time.perf_counter()
    trainer = base_model(config, split.train, device=device, progress=progress, title=str(cell))
    with warnings.catch_warnings():
        # The results hold the spread of the weights.
        warnings.simplefilter("ignore", WeightsCollapsedWarning)
        history = trainer.fit(split.train, split.valid, progress=progress, title=str(cell))
    trained = time.perf_counter() - started
    if trainer.models.beliefs.judges_noise:
        logits = trainer.interaction_noise_logits(split.train)
        detection = _detection(plain.train, logits, trainer.held_out_auc)
        weights = trainer.interaction_weights(split.train)
    ranks = trainer.ranks(split.test)
    learned_from = trainer.models.beliefs.to_learn_from(split.train)
    return CellResult(
        cell,
        {
            "test": ranking_metrics(ranks),
            "valid": trainer.evaluate(split.valid),
            # Popularity in all training data, so that every recipe has the same negatives.
            **sampled_part(trainer.models, split, plain.train),
            "detection": detection,
            "weights": _spread(weights, plain.train),
            "epochs": len(history),
            "kept_epoch": trainer.state.kept_epoch,
            "kept_epoch_weighed": history[trainer.state.kept_epoch - 1].weights_used,
            "train_seconds": trained,
            "weighing_seconds": seconds,
            "train_interactions": learned_from.num_interactions,
            "seen_items_excluded": True,
            "machine": _machine(trainer.device),
            "settings": cell_settings(cell, spec, options),
        },
        ranks.int().numpy(),
    )


def _weights(
    cell: Cell,
    spec: ExperimentSpec,
    options: Mapping[str, Any],
    config: RunConfig,
    plain: LeaveOneOut,
    device: torch.device | str | None,
) -> tuple[Tensor | None, float, dict[str, float | None]]:
    """Given weights ``[N]``, the seconds to make them, and AUCs of their source."""
    source = ExperimentRecipe.named(cell.recipe).source
    if source is None:
        return None, 0.0, {}
    if source == "oracle":
        return given_weights(source, plain.train, None, None, seed=cell.seed), 0.0, {}
    key = cell.file, config.data, cell.noise, cell.seed
    recognised, seconds = _recognised(*key, _recognition(options))
    losses = None
    if source == "loss":
        started = time.perf_counter()
        losses = pilot_losses(config, plain, epochs=spec.pilot_epochs, device=device)
        seconds += time.perf_counter() - started
    weights = given_weights(source, plain.train, recognised.weights, losses, seed=cell.seed)
    if source == "co_occurrence":
        found = _detection(plain.train, recognised.noise_logits, recognised.held_out_auc)
        return weights, seconds, found
    return weights, seconds, _detection(plain.train, -weights, None)


def _detection(
    train: Sequences, noise_logits: Tensor, held_out_auc: float | None
) -> dict[str, float | None]:
    return {
        "held_out_AUC": held_out_auc,
        **detection_auc(train, noise_logits),
        **popularity_detection(train, noise_logits),
    }


def _spread(weights: Tensor | None, train: Sequences) -> dict[str, float | None]:
    """Spread of the weights, and their means over clean and noisy interactions."""
    if weights is None or train.is_noise is None:
        return {}
    known = ~weights.isnan()
    result: dict[str, float | None] = {**summarise_weights(weights[known]).as_dict()}
    for name, part in (("mean_clean", ~train.is_noise), ("mean_noise", train.is_noise)):
        chosen = weights[known & part]
        result[name] = float(chosen.mean()) if len(chosen) else None
    return result


def _machine(device: torch.device) -> dict[str, str | int]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}
