"""A process of the race: ``atjt_ext`` under the recipe ``equal_weights``."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch
import torch._dynamo  # torch's optimizers import it in their first step, Lightning at its start

from atjt_ext import JointTrainer, JointTrainerConfig, SASRec
from atjt_ext.data import LeaveOneOut, TrainingRows, leave_one_out, read_interactions, to_sequences
from atjt_ext.models.inference import inference
from atjt_ext.models.scoring import encode
from atjt_ext.runs.recommendations import recommendation_frames

from .job import Integers, Job
from .turns import Export, Turns, connect

_MANY = 1_000_000  # epochs, more than any budget


class _Ended(Exception):
    """The last turn is over."""


class InTurns(JointTrainer):
    """A trainer that stops for the others after the steps of its turn."""

    turns: Turns

    def step(self, *arguments: Any, **options: Any) -> Any:
        result = super().step(*arguments, **options)
        if self.turns.step_done():
            raise _Ended
        return result


def trainer_of(job: Job, num_items: int) -> InTurns:
    """A new model and its trainer, with the job's options."""
    sizes = job.sizes
    torch.manual_seed(job.seed)
    model = SASRec(
        num_items,
        max_length=sizes.length,
        embedding_dim=sizes.width,
        num_blocks=sizes.blocks,
        num_heads=sizes.heads,
        **job.contender["model"],
    )
    options = {
        "epochs": _MANY,
        "patience": None,
        "max_length": sizes.length,
        "batch_size": sizes.batch_size,
        "learning_rate": sizes.learning_rate,
        "seed": job.seed,
        **job.contender["training"],
    }
    return InTurns(model, config=JointTrainerConfig.from_recipe("equal_weights", **options))


def exported(trainer: JointTrainer, split: LeaveOneOut, length: int) -> Export:
    model = trainer.recommender
    with inference(model):
        hidden = [
            encode(model, one.inputs, None)[:, -1] for one in split.valid.batches(256, length)
        ]
        items = model.item_table()[1:]
    return {
        "hidden": torch.cat(hidden).numpy(),
        "items": items.detach().numpy(),
        "known": np.ones(len(items), bool),
    }


def as_codes(frame: pl.DataFrame, user_ids: list[str], item_ids: list[str]) -> Integers:
    """``[U, 10]`` item codes of a frame with the columns ``user``, ``rank`` and ``item``."""
    users = frame["user"].cast(pl.Enum(user_ids)).to_physical().to_numpy()
    items = frame["item"].cast(pl.Enum(item_ids)).to_physical().to_numpy()
    lists = np.zeros((len(user_ids), 10), np.int64)
    lists[users, frame["rank"].to_numpy() - 1] = items.astype(np.int64) + 1
    return lists


def main() -> None:
    job, turns = connect()
    torch.set_num_threads(1)
    split = leave_one_out(to_sequences(read_interactions(job.file)))
    trainer = trainer_of(job, split.train.num_items)
    trainer.turns = turns
    rows = TrainingRows(split.train, max_length=job.sizes.length)
    turns.begin(
        lambda: exported(trainer, split, job.sizes.length),
        steps_per_epoch=-(-len(rows) // trainer.config.batch_size),
        targets_per_epoch=int((split.train.lengths - 1).sum()),
        packages=("atjt_ext", "torch", "numpy", "polars"),
    )
    try:
        trainer.fit(split.train, progress=False)
    except _Ended:
        turns.finish(
            lambda: pl.concat(list(recommendation_frames(trainer.models, split.valid, k=10))),
            lambda frame: as_codes(frame, split.train.user_ids, split.train.item_ids),
        )
    else:
        raise RuntimeError(f"{_MANY} epochs ended before the budget")


if __name__ == "__main__":
    main()
