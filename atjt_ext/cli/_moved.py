"""The new paths of modules that moved.

The old paths warn. Version 0.2 drops this file and its use in ``__init__.py``.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["MOVED", "old_module_spec"]

_PACKAGE = __name__.partition(".")[0]

# Modules that moved into a room under their old path.
_INTO_ROOMS = {
    "cli": "tables",
    "evaluation": "statistics",
    "models": "inference options precision protocols scoring",
    "ops": "reference reference.corruption reference.losses reference.ranks",
    "recognition": "weighting",
    "report": "audit suspicion",
    "runs": "export export.onnx_encoder export.tensors stored_sequences",
    "training": "batch_pairs history host_batches joint_loss joint_models objectives progress "
    "recipes step_weights tensorboard_log trainer",
}
MOVED = {old: f"{room}.{old}" for room, names in _INTO_ROOMS.items() for old in names.split()}
# Where names of one module went apart, the module with most of them comes first.
MOVED |= {
    "_build": "ops._native",
    "adaptive_denoising": "training.step_weights",
    "batch_recommendations": "runs.recommendations",
    "checkpoint": "training.checkpoint data.files",
    "command_parser": "cli.parser",
    "compilation": "training.objectives",
    "config": "training.config runs.config training.recipes evaluation.metrics",
    "cross_fitting": "recognition.cross_fitting recognition.calibration",
    "data.readers.tables": "data.readers.frames data.readers.csv_files",
    "data.second_person": "data.noise_injection",
    "data_config": "runs.config",
    "experiment.base_models": "experiment.settings runs.build",
    "experiment.figures": "experiment.plots",
    "experiment.pilot": "experiment.weights",
    "experiment.report": "experiment.results",
    "known_weights": "data.weighed_histories",
    "losses": "ops.losses recognition.cross_fitting",
    "metrics": "evaluation.metrics evaluation.auc",
    "model_config": "models.registry models.options models.sasrec models.s3rec models.fearec "
    "models.gru4rec models.din models.wide_deep models.dcn",
    "noise": "recognition.noise_models",
    "noise.bidirectional": "recognition.noise_models.bidirectional",
    "noise.target_attention": "recognition.noise_models.target_attention",
    "noise_scores": "evaluation.detection data.batches data.sequences",
    "plain_help": "cli.parser",
    "recognition.attributes": "recognition.co_occurrence.item_vectors",
    "recognition.detector": "recognition.co_occurrence.recogniser",
    "recognition.events": "recognition.co_occurrence.events",
    "recognition.evidence": "recognition.co_occurrence.evidence",
    "recognition.features": "recognition.co_occurrence.interaction_features",
    "recognition.fold_classifier": "recognition.co_occurrence.fold_classifier",
    "recognition.logistic": "recognition.co_occurrence.logistic",
    "recognition.low_rank": "recognition.co_occurrence.item_vectors",
    "recognition.user_shares": "recognition.co_occurrence.user_shares",
    "recommenders": "runs.build",
    "run_data": "runs.data",
    "run_folder": "runs.folder",
    "sampled_evaluation": "evaluation.sampled",
    "sampled_losses": "ops.losses",
    "schedule": "training.state",
    "training_state": "training.state",
    "training_trouble": "training.trouble",
}
_PUBLIC = {"losses"}  # a public path for good, so it does not warn


def old_module_spec(name: str) -> ModuleSpec | None:
    """The spec of a module that finds its names in their new modules; None for an unknown path."""
    if name.removeprefix(f"{_PACKAGE}.") not in MOVED:
        return None
    return ModuleSpec(name, _Loader(), is_package=True)


class _Loader(Loader):
    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__.removeprefix(f"{_PACKAGE}.")

        def find(name: str) -> Any:
            if name == "__all__" or not name.startswith("__"):
                for home in MOVED[old].split():
                    there = import_module(f"{_PACKAGE}.{home}")
                    if hasattr(there, name):
                        if old not in _PUBLIC:
                            warnings.warn(
                                f"{_PACKAGE}.{old}.{name} is now {_PACKAGE}.{home}.{name}; "
                                "the old path leaves with version 0.2",
                                DeprecationWarning,
                                stacklevel=2,
                            )
                        return getattr(there, name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        module.__dict__["__getattr__"] = find
