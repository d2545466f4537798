"""A process of the race: RePlay's SasRec, in an environment with RePlay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import polars as pl
import torch
from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import ParquetModule, TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.nn.lightning import LightningModule
from replay.nn.lightning.callback import PolarsTopItemsCallback
from replay.nn.lightning.optimizer import OptimizerFactory
from replay.nn.lightning.postprocessor import SeenItemsFilter
from replay.nn.sequential import SasRec
from replay.nn.transform.template import make_default_sasrec_transforms
from torch import Tensor, nn

from .job import Integers, RaceData
from .turns import Export, Turns, connect

_MANY = 1_000_000  # epochs, more than any budget
_QUIET = dict(
    logger=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    enable_checkpointing=False,
    accelerator="cpu",
    devices=1,
)


def schema_of(num_items: int, num_users: int, width: int) -> TensorSchema:
    """Users and their items. RePlay's items are ``0 .. num_items - 1``, then comes padding."""

    def feature(name: str, **options: Any) -> TensorFeatureInfo:
        source = [TensorFeatureSource(FeatureSource.INTERACTIONS, name)]
        return TensorFeatureInfo(name, FeatureType.CATEGORICAL, feature_sources=source, **options)

    items = feature(
        "item_id",
        is_seq=True,
        feature_hint=FeatureHint.ITEM_ID,
        cardinality=num_items,
        padding_value=num_items,
        embedding_dim=width,
    )
    users = feature("user_id", feature_hint=FeatureHint.QUERY_ID, cardinality=num_users)
    return TensorSchema([items, users])


def write_rows(path: Path, rows: list[Integers], *columns: str) -> str:
    """A Parquet file with ``user_id`` and the items of each row, as each of ``columns``."""
    items = pl.Series([(row - 1).tolist() for row in rows], dtype=pl.List(pl.Int64))
    users = {"user_id": np.arange(len(rows))}
    pl.DataFrame(users | dict.fromkeys(columns, items)).write_parquet(path)
    return str(path)


class InTurns(lightning.Callback):  # type: ignore[misc, unused-ignore]
    """Stops for the others after the batches of its turn."""

    def __init__(self, turns: Turns, steps_per_epoch: int) -> None:
        self.turns, self.steps_per_epoch = turns, steps_per_epoch

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if self.turns.step_done():
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        # The loader does not say beforehand how many batches it has.
        done = trainer.fit_loop.epoch_loop.batch_idx + 1
        if not trainer.should_stop and done != self.steps_per_epoch:
            raise RuntimeError(f"an epoch had {done} steps, {self.steps_per_epoch} were counted on")


class _NamesUsers(nn.Module):
    """Moves the user to where the callback with the top items looks for it."""

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["query_id"] = batch["feature_tensors"]["user_id"]
        return batch


class Predictor:
    """RePlay's own loop from a Parquet file of histories to a frame of top items."""

    def __init__(self, net: SasRec, schema: TensorSchema, data: RaceData, length: int) -> None:
        self.net, self.schema, self.num_items, self.length = net, schema, data.num_items, length
        rows = data.of_users()
        self.longest, self.num_users = max(map(len, rows)), len(rows)
        self.path = write_rows(Path("predict.parquet"), rows, "item_id", "seen")

    def recommend(self) -> pl.DataFrame:
        padding = self.num_items
        shapes = {
            "user_id": {},
            "item_id": {"shape": self.length, "padding": padding},
            "seen": {"shape": self.longest, "padding": padding},
        }
        transforms = make_default_sasrec_transforms(self.schema)["predict"]
        best = PolarsTopItemsCallback(
            top_k=10,
            query_column="query_id",
            item_column="item_id",
            postprocessors=[SeenItemsFilter(item_count=padding, seen_items_column="seen")],
        )
        lightning.Trainer(callbacks=[best], inference_mode=True, **_QUIET).predict(
            LightningModule(self.net),
            ParquetModule(
                batch_size=256,
                metadata={"predict": shapes},
                transforms={"predict": [*transforms, _NamesUsers()]},
                predict_path=self.path,
            ),
            return_predictions=False,
        )
        frame: pl.DataFrame = best.get_result()
        return frame

    def as_codes(self, frame: pl.DataFrame) -> Integers:
        users = frame["query_id"].to_numpy()
        lists = np.zeros((self.num_users, 10), np.int64)
        # Its rows come best first for each user.
        ranks = frame.select(pl.int_range(pl.len()).over("query_id")).to_series().to_numpy()
        lists[users, ranks] = frame["item_id"].to_numpy() + 1
        return lists


def exported(net: SasRec, histories: Tensor, num_items: int) -> Export:
    training = net.training
    net.eval()
    with torch.no_grad():
        hidden = [
            net.body({"item_id": torch.where(one == 0, num_items, one - 1)}, one != 0)[:, -1]
            for one in histories.split(256)
        ]
        items = net.body.embedder.get_item_weights(None)[:num_items]
    net.train(training)
    known = np.ones(num_items, bool)
    return {"hidden": torch.cat(hidden).numpy(), "items": items.numpy(), "known": known}


def main() -> None:
    job, turns = connect()
    torch.set_num_threads(1)
    lightning.seed_everything(job.seed)
    sizes, data = job.sizes, RaceData.read(job.data)
    rows = [row for row in data.rows(windows=job.contender["windows"]) if len(row) > 1]
    schema = schema_of(data.num_items, max(len(rows), len(data.histories)), sizes.width)
    net = SasRec.from_params(
        **{
            "schema": schema,
            "embedding_dim": sizes.width,
            "num_heads": sizes.heads,
            "num_blocks": sizes.blocks,
            "max_sequence_length": sizes.length,
            **job.contender["model"],
        }
    )
    shape = {"shape": sizes.length + 1, "padding": data.num_items}
    module = ParquetModule(
        batch_size=sizes.batch_size,
        metadata={"train": {"user_id": {}, "item_id": shape}},
        transforms={"train": make_default_sasrec_transforms(schema)["train"]},
        train_path=write_rows(Path("train.parquet"), rows, "item_id"),
    )
    histories = torch.from_numpy(data.histories)
    steps = -(-len(rows) // sizes.batch_size)

    class Begins(lightning.Callback):  # type: ignore[misc, unused-ignore]
        def on_train_start(self, trainer: Any, module: Any) -> None:
            turns.begin(
                lambda: exported(net, histories, data.num_items),
                steps_per_epoch=steps,
                targets_per_epoch=sum(min(len(row), sizes.length + 1) - 1 for row in rows),
                packages=("replay-rec", "lightning", "torch", "numpy", "polars"),
            )

    trainer = lightning.Trainer(
        max_epochs=_MANY,
        min_epochs=0,
        limit_val_batches=0,
        callbacks=[Begins(), InTurns(turns, steps)],
        **_QUIET,
    )
    optimizer = OptimizerFactory(learning_rate=sizes.learning_rate)
    trainer.fit(LightningModule(net, optimizer), module)
    predictor = Predictor(net, schema, data, sizes.length)
    turns.finish(predictor.recommend, predictor.as_codes)


if __name__ == "__main__":
    main()
