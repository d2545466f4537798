"""Configurations of random_replacement and the hashes of their results.

50 are small; 10 are just large enough for a second thread of the CPU kernel. The reference gives
the hashes. To write them again, after a deliberate change of meaning:

    PYTHONPATH=.:python_tests python python_tests/helpers/golden_random_replacement.py
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atjt_ext.ops import reference
from helpers.replacement import flat, skewed_table

PATH = Path(__file__).with_suffix(".json")

DTYPES = {
    str(d).removeprefix("torch."): d
    for d in (torch.int32, torch.int64, torch.float32, torch.float64)
}


FOR_TWO_THREADS = 2 * 16_384
"""Number of elements at which the CPU kernel starts a second thread."""


def small_shape(dice: random.Random) -> tuple[int, int]:
    rows = dice.choice([1, 2, 7, 31, 33, 64])
    return rows, dice.choice([1, 2, 5, 8, 20, 50, 63, 129, 200, 253, 254, 300])


def large_shape(dice: random.Random) -> tuple[int, int]:
    length = dice.choice([50, 63, 129, 200, 253, 257])
    return FOR_TWO_THREADS // length + 1, length


def configurations(
    shape: Callable[[random.Random], tuple[int, int]], seed: int
) -> Iterator[dict[str, Any]]:
    """Random configurations, in numbers that JSON can hold."""
    dice = random.Random(seed)
    while True:
        rows, length = shape(dice)
        options: dict[str, Any] = {
            "rows": rows,
            "length": length,
            "ids": dice.choice(["int32", "int64"]),
            "num_items": dice.choice([2, 3, 20, 60, 1000, 2**31 - 1]),
            "seed": dice.getrandbits(64),
            "step": dice.getrandbits(dice.choice([1, 8, 32])),
            "key_stride": dice.choice([None, 1, 2**32 + 7, -(10**12)]),
            "padding_idx": dice.choice([0, 0, -1]),
            "num_targets": dice.choice([0, 0, 1, 2]),
        }
        options[dice.choice(["sequence_fraction", "sequence_probability"])] = dice.choice(
            [0.3, 0.5, 0.77, 1.0]
        )
        how = dice.choice(["num_replacements", "replace_ratio", "replace_probability"])
        options[how] = dice.choice([1, 2, 9] if how == "num_replacements" else [0.1, 0.5, 1.0])
        if options["num_items"] <= 1000:
            options["weighted"] = dice.random() < 0.5
            options["avoid_history"] = dice.random() < 0.5
            options["features"] = dice.choices(list(DTYPES), k=dice.choice([0, 0, 1, 3]))
        yield options


def arguments(configuration: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """Sequences and options of the op; the data come from arithmetic, so they never change."""
    options = dict(configuration)
    rows, length = options.pop("rows"), options.pop("length")
    num_items, padding = options["num_items"], options["padding_idx"]
    row = torch.arange(rows)[:, None]
    position = torch.arange(length)
    items = 1 + (row * 7919 + position * 104_729 + row * position * 31) % num_items
    sequences = torch.where(position >= length - 1 - (row * 13) % (length + 1), items, padding)
    stride = options.pop("key_stride")
    if stride is not None:
        options["row_keys"] = torch.arange(rows) * stride
    if options.pop("weighted", False):
        options["alias_table"] = skewed_table(num_items)
    dtypes = [DTYPES[name] for name in options.pop("features", [])]
    if dtypes:
        item = torch.arange(num_items + 1)
        options["feature_tables"] = [(item * (3 + i) - 5).to(d) for i, d in enumerate(dtypes)]
        options["features"] = [table[sequences.clamp(min=0)] for table in options["feature_tables"]]
    return sequences.to(DTYPES[options.pop("ids")]), options


def hash_of(output: Any) -> str:
    """A hash of all bytes, dtypes and shapes."""
    digest = hashlib.sha256()
    for tensor in flat(output):
        digest.update(f"{tensor.dtype} {list(tensor.shape)} ".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write() -> None:
    golden: dict[str, dict[str, Any]] = {}  # keep one of several small batches with the same result
    for shape, seed, total in ((small_shape, 0, 50), (large_shape, 1, 60)):
        for configuration in configurations(shape, seed):
            sequences, options = arguments(configuration)
            wanted = hash_of(reference.random_replacement(sequences, **options))
            golden.setdefault(wanted, configuration)
            if len(golden) == total:
                break
    lines = ",\n".join(
        json.dumps({"configuration": configuration, "sha256": wanted})
        for wanted, configuration in golden.items()
    )
    PATH.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    write()
