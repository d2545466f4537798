"""Which choices make SASRec learn best? One change at a time, judged on the validation items.

    python benchmarks/base_model.py --file ml-100k.inter --seeds 5 --out build/base_model.jsonl

Every arm trains with equal weights for ``--epochs`` epochs; after each, the script records NDCG@10
of the validation items and the processor seconds of training so far. Test items are never looked
at. A finished (arm, seed) stays in ``--out`` and does not run again. The table compares the arms
with the first one, seed by seed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atjt_ext import JointTrainer, JointTrainerConfig, SASRec
from atjt_ext.data import LeaveOneOut, leave_one_out, read_interactions, to_sequences
from atjt_ext.models import _packing
from atjt_ext.models._transformer import TransformerBlock


@dataclass(frozen=True)
class Arm:
    """A change of the model or of its training.

    Attributes:
        model: options of SASRec.
        training: options of JointTrainerConfig.
        change: changes the initialised model.
        attention_dropout: probability with which a weight of attention is dropped.
        betas: Adam's.
    """

    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    change: Callable[[SASRec], None] = lambda model: None
    attention_dropout: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)


def xavier_normal(model: SASRec) -> None:
    """RePlay's and RecTools' initialisation of all matrices."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_normal_(parameter)
    with torch.no_grad():
        model.item_embedding.weight[0].zero_()


def wide_feed_forward(model: SASRec) -> None:
    """Four times as many inner channels, as in the transformer of Vaswani et al."""
    for block in model.blocks:
        width = model.item_embedding.embedding_dim
        norm, _, activation, dropout, _ = block.feed_forward
        inner, outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer in (inner, outer):
            nn.init.trunc_normal_(layer.weight, std=0.02, a=-0.04, b=0.04)
            nn.init.zeros_(layer.bias)
        block.feed_forward = nn.Sequential(norm, inner, activation, dropout, outer)


class QueriesNormalised(TransformerBlock):
    """The block of the original SASRec: only queries are normalised, and they are the residual."""

    def forward(  # type: ignore[override]
        self, packed: Tensor, rows: _packing.PackedRows
    ) -> Tensor:
        keys, width = rows.dropout_keys, packed.shape[1]
        queries = self.attention_norm(packed)
        weight, bias = self.query_key_value.weight, self.query_key_value.bias
        parts = torch.cat(
            [
                F.linear(queries, weight[:width], bias[:width]),
                F.linear(packed, weight[width:], bias[width:]),
            ],
            dim=1,
        )
        attended = self.attention_output(self.attend(parts, rows))
        packed = queries + self.attention_dropout(attended, keys)
        norm, inner, activation, dropout, outer = self.feed_forward
        normed = norm(packed)
        output: Tensor = normed + self.output_dropout(
            outer(dropout(activation(inner(normed)), keys)), keys
        )
        return output


def normalised_queries(model: SASRec) -> None:
    for block in model.blocks:
        block.__class__ = QueriesNormalised


def arms() -> dict[str, Arm]:
    """Every choice alone and beside less dropout. Options are given in full, so that a record keeps
    its meaning when a default changes."""
    changes = {
        "as before": Arm(),
        "xavier": Arm(change=xavier_normal),
        "betas 0.98": Arm(betas=(0.9, 0.98)),
        "attention dropout": Arm(attention_dropout=0.2),
        "feed-forward x 4": Arm(change=wide_feed_forward),
        "queries normalised": Arm(change=normalised_queries),
        "items unscaled": Arm({"scale_embedding": False}),
        "2 heads": Arm({"num_heads": 2}),
    }
    usual = {"num_heads": 1, "scale_embedding": True}
    return {
        name if dropout == 0.5 else f"{name}, dropout {dropout}": replace(
            arm, model={**usual, "dropout": dropout, **arm.model}
        )
        for dropout in (0.5, 0.3, 0.2)
        for name, arm in changes.items()
    }


ARMS = arms()


def run(split: LeaveOneOut, arm: Arm, *, seed: int, epochs: int) -> dict[str, Any]:
    """The curve of one arm: NDCG@10 and processor seconds of training after each epoch."""
    torch.manual_seed(seed)
    model = SASRec(split.train.num_items, max_length=50, **arm.model)
    arm.change(model)
    config = JointTrainerConfig.from_recipe(
        "equal_weights", epochs=epochs, patience=None, seed=seed, **arm.training
    )
    trainer = JointTrainer(model, config=config)
    ndcg, seconds, started = [], [], time.process_time()
    spent = 0.0

    def on_epoch(_: object) -> None:
        nonlocal started, spent
        spent += time.process_time() - started
        ndcg.append(trainer.evaluate(split.valid)["NDCG@10"])
        seconds.append(round(spent, 3))
        started = time.process_time()

    attend, adam = F.scaled_dot_product_attention, torch.optim.Adam

    def dropping(*tensors: Tensor, **options: Any) -> Tensor:
        share = arm.attention_dropout if model.training else 0.0
        return attend(*tensors, dropout_p=share, **options)

    if arm.attention_dropout:
        F.scaled_dot_product_attention = dropping
    torch.optim.Adam = partial(adam, betas=arm.betas)  # type: ignore[assignment, misc]
    try:
        trainer.fit(split.train, progress=False, on_epoch=on_epoch)
    finally:
        F.scaled_dot_product_attention, torch.optim.Adam = attend, adam  # type: ignore[misc]
    return {"ndcg": ndcg, "seconds": seconds}


def table(results: list[dict[str, Any]]) -> str:
    """Per arm: the mean of the best NDCG@10 over the seeds, its gain on the first arm, seconds."""
    best = {(one["arm"], one["seed"]): max(one["ndcg"]) for one in results}
    arms = list(dict.fromkeys(one["arm"] for one in results))
    lines = [
        "| arm | seeds | best NDCG@10 | gain | standard error | epoch of the best | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        own = [one for one in results if one["arm"] == arm]
        gains = [
            best[arm, one["seed"]] - best[arms[0], one["seed"]]
            for one in own
            if (arms[0], one["seed"]) in best
        ]
        error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
        values = [max(one["ndcg"]) for one in own]
        epochs = [1 + one["ndcg"].index(max(one["ndcg"])) for one in own]
        lines.append(
            f"| {arm} | {len(own)} | {statistics.mean(values):.4f} | "
            f"{statistics.mean(gains):+.4f} | {error:.4f} | {statistics.mean(epochs):.0f} | "
            f"{statistics.mean(one['seconds'][-1] for one in own):.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--file", required=True, help="interactions")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines of finished runs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    split = leave_one_out(to_sequences(read_interactions(options.file)))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = options.out.read_text("utf-8").splitlines() if options.out.exists() else []
    results = [json.loads(line) for line in lines]
    for seed in range(options.seeds):
        for name in options.arms:
            place = {"arm": name, "seed": seed, "epochs": options.epochs}
            if any(place.items() <= one.items() for one in results):
                continue
            results.append(place | run(split, ARMS[name], seed=seed, epochs=options.epochs))
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(results[-1]) + "\n")
            print(f"{name}, seed {seed}: {max(results[-1]['ndcg']):.4f}", flush=True)
    print(table([one for one in results if one["epochs"] == options.epochs]))


if __name__ == "__main__":
    main()
