"""A process of the race: RecTools' SASRec, in an environment with RecTools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

from .job import Integers, RaceData
from .turns import Export, Turns, connect

_MANY = 1_000_000  # epochs, more than any budget


def dataset_of(rows: list[Integers]) -> Dataset:
    """The item codes of each row as the interactions of one user, a second apart."""
    lengths = [len(row) for row in rows]
    seconds = np.concatenate([np.arange(length) for length in lengths])
    frame = pd.DataFrame(
        {
            Columns.User: np.repeat(np.arange(len(rows)), lengths),
            Columns.Item: np.concatenate(rows),
            Columns.Datetime: pd.Timestamp("2000-01-01") + pd.to_timedelta(seconds, unit="s"),
            Columns.Weight: 1.0,
        }
    )
    return Dataset.construct(frame)


class InTurns(Callback):  # type: ignore[misc, unused-ignore]
    """Stops for the others after the batches of its turn."""

    def __init__(self, turns: Turns, export: Any, length: int) -> None:
        self.turns, self.export, self.length = turns, export, length

    def on_train_start(self, trainer: Any, module: Any) -> None:
        loader = trainer.train_dataloader
        self.turns.begin(
            self.export,
            steps_per_epoch=len(loader),
            targets_per_epoch=sum(
                min(len(session), self.length + 1) - 1 for session in loader.dataset.sessions
            ),
            packages=("rectools", "pytorch-lightning", "torch", "numpy", "pandas"),
        )

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if self.turns.step_done():
            trainer.should_stop = True


def exported(model: SASRecModel, data: RaceData, length: int) -> Export:
    """The states of the validation histories, and the item table in the order of item codes.

    RecTools gives items numbers of its own, and knows only those that it trains on.
    """
    known = model.data_preparator.item_id_map.get_external_sorted_by_internal()[1:].astype(np.int64)
    number_of = np.zeros(data.num_items + 1, np.int64)
    number_of[known] = np.arange(1, len(known) + 1)
    histories = left_packed(number_of[data.histories], length)
    net = model.torch_model
    training = net.training
    net.eval()
    with torch.no_grad():
        table = net.item_model.get_all_embeddings()
        hidden = [
            net.encode_sessions({"x": one}, table)[:, -1]
            for one in torch.from_numpy(histories).split(256)
        ]
    net.train(training)
    items = np.zeros((data.num_items, table.shape[1]), np.float32)
    items[known - 1] = table[1:].numpy()
    return {
        "hidden": torch.cat(hidden).numpy(),
        "items": items,
        "known": number_of[1:] > 0,
    }


def left_packed(rows: Integers, length: int) -> Integers:
    """``rows`` ``[U, L]`` without the zeros inside of them: padding stands on the left only."""
    packed = np.zeros((len(rows), length), np.int64)
    for row, kept in zip(rows, packed, strict=True):
        items = row[row > 0]
        kept[length - len(items) :] = items
    return packed


def main() -> None:
    job, turns = connect()
    torch.set_num_threads(1)
    seed_everything(job.seed)
    sizes, data = job.sizes, RaceData.read(job.data)

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=_MANY,
            min_epochs=0,
            callbacks=[InTurns(turns, lambda: exported(model, data, sizes.length), sizes.length)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            accelerator="cpu",
            devices=1,
        )

    model = SASRecModel(
        **{
            "n_blocks": sizes.blocks,
            "n_heads": sizes.heads,
            "n_factors": sizes.width,
            "session_max_len": sizes.length,
            "batch_size": sizes.batch_size,
            "lr": sizes.learning_rate,
            "loss": "softmax",
            **job.contender["model"],
        },
        get_trainer_func=trainer,
    )
    model.fit(dataset_of(data.rows(windows=job.contender["windows"])))
    histories = dataset_of(data.of_users())
    users = np.arange(len(data.histories))

    def as_codes(frame: pd.DataFrame) -> Integers:
        lists = np.zeros((len(users), 10), np.int64)
        lists[frame[Columns.User], frame[Columns.Rank] - 1] = frame[Columns.Item]
        return lists

    turns.finish(
        lambda: model.recommend(users, histories, k=10, filter_viewed=True),
        as_codes,
    )


if __name__ == "__main__":
    main()
