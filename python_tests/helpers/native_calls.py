"""Right calls of every function of ``_C``, by a seed: small shapes, all dtypes, all options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import emulator
from atjt_ext.ops import _row_losses

Generator = np.random.Generator
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass
class Call:
    """A function of ``_C``, its arguments by name, and the names of the arguments it writes."""

    function: str
    arguments: dict[str, Any]
    outputs: frozenset[str]


MAKERS: dict[str, Callable[[Generator], dict[str, Any]]] = {}
"""For each function of ``_C``: makes the arguments of a right call."""

OUTPUTS: dict[str, frozenset[str]] = {}


def _maker(*outputs: str) -> Callable[[Callable[[Generator], dict[str, Any]]], Any]:
    """Enters a maker under its name; ``outputs`` are written by the function."""

    def enter(make: Callable[[Generator], dict[str, Any]]) -> Any:
        MAKERS[make.__name__], OUTPUTS[make.__name__] = make, frozenset(outputs)
        return make

    return enter


def right_call(function: str, rng: Generator) -> Call:
    """A call that ``_C`` accepts."""
    return Call(function, MAKERS[function](rng), OUTPUTS[function])


# ---- values -------------------------------------------------------------------------------------


def size(rng: Generator, most: int = 6) -> int:
    """Mostly a few; now and then none, or more than a block of 128."""
    return int(rng.choice([0, 130, int(rng.integers(1, most + 1))], p=[0.05, 0.05, 0.9]))


def width_of(rng: Generator) -> int:
    return int(rng.choice([1, 3, 4, 8, 16, 70]))


def dtype_of(rng: Generator) -> torch.dtype:
    return FLOATS[rng.integers(len(FLOATS))]


def arithmetic(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def floats(rng: Generator, dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).to(dtype)


def integers(rng: Generator, low: int, high: int, *shape: int) -> Tensor:
    return torch.from_numpy(rng.integers(low, max(high, low + 1), shape))


def maybe(rng: Generator, value: Any) -> Any:
    return value if rng.random() < 0.5 else None


def indices(rng: Generator, bound: int, *shape: int) -> Tensor:
    """Below ``bound``, and a few times ``ignore_index``."""
    return integers(rng, 0, bound, *shape).masked_fill(
        torch.from_numpy(rng.random(shape) < 0.1), -100
    )


def threads(rng: Generator) -> int:
    return int(rng.integers(1, 4))


def draws(rng: Generator) -> dict[str, Any]:
    return {
        "seed": int(rng.integers(-(2**63), 2**63)),
        "step": int(rng.integers(0, 2**32)),
        "seed_tensor": maybe(rng, torch.tensor(7)),
        "step_tensor": maybe(rng, torch.tensor(8)),
        "num_threads": threads(rng),
    }


# ---- functions without tensors ------------------------------------------------------------------


@_maker()
def build_facts(rng: Generator) -> dict[str, Any]:
    return {}


@_maker()
def cuda_device_count(rng: Generator) -> dict[str, Any]:
    return {}


@_maker()
def cpu_isa(rng: Generator) -> dict[str, Any]:
    return {}


@_maker()
def use_cpu_isa(rng: Generator) -> dict[str, Any]:
    return {"name": "auto"}


@_maker()
def candidate_parts(rng: Generator) -> dict[str, Any]:
    return {"pairs": int(rng.integers(0, 1000))}


# ---- draws --------------------------------------------------------------------------------------


@_maker("out")
def keyed_draws(rng: Generator) -> dict[str, Any]:
    rows, length = size(rng), size(rng, 20)
    return {
        "row_keys": integers(rng, -(2**63), 2**63 - 1, rows),
        "out": torch.zeros(rows, length, dtype=torch.int64),
        "purpose": int(rng.integers(16)),
        **draws(rng),
    }


@_maker("out")
def keyed_dropout(rng: Generator) -> dict[str, Any]:
    rows, width, dtype = size(rng), width_of(rng), dtype_of(rng)
    return {
        "values": floats(rng, dtype, rows, width),
        "row_keys": integers(rng, -(2**63), 2**63 - 1, rows),
        "positions": integers(rng, 0, 2**23, rows),
        "out": torch.zeros(rows, width, dtype=dtype),
        "threshold": int(rng.integers(2**16)),
        "layer": int(rng.integers(2**32)),
        **draws(rng),
    }


@_maker("out")
def alias_table(rng: Generator) -> dict[str, Any]:
    n = 1 + size(rng, 20)
    weights = torch.from_numpy(rng.random(n)) * 10.0 ** rng.integers(-300, 300)
    return {"weights": weights, "out": torch.zeros(n, dtype=torch.int64)}


@_maker("out", "replaced", "noise_labels", "features_out")
def random_replacement(rng: Generator) -> dict[str, Any]:
    rows, length, items = size(rng), size(rng, 20), int(rng.integers(2, 30))
    ids = (torch.int32, torch.int64)[rng.integers(2)]
    sequences = integers(rng, 0, items + 1, rows, length).to(ids)
    kinds = (torch.int32, torch.int64, torch.float32, torch.float64)
    columns = [kinds[i] for i in rng.integers(4, size=rng.integers(3))]
    table = torch.zeros(items, dtype=torch.int64)
    table += integers(rng, -(2**63), 2**63 - 1, items)
    share = float(rng.choice([0.0, 0.3, 0.5, 1.0]))
    rows_named = ["sequence_fraction", "sequence_probability", ""][rng.integers(3)]
    names = ["num_replacements", "replace_ratio", "replace_probability"]
    positions_named = names[rng.integers(3)]
    amounts: dict[str, Any] = dict.fromkeys([*names, "sequence_fraction", "sequence_probability"])
    if rows_named:
        amounts[rows_named] = float(rng.choice([0.0, 0.4, 1.0]))
    amounts[positions_named] = int(rng.integers(5)) if "num" in positions_named else share
    return {
        "sequences": sequences,
        "row_keys": maybe(rng, integers(rng, -9, 9, rows)),
        "alias_table": maybe(rng, table),
        "features": [floats(rng, torch.float64, rows, length).to(kind) for kind in columns],
        "feature_tables": [floats(rng, torch.float64, items + 1).to(kind) for kind in columns],
        "out": torch.zeros_like(sequences),
        "replaced": torch.zeros(rows, length, dtype=torch.bool),
        "noise_labels": torch.zeros(rows, dtype=torch.bool),
        "features_out": [torch.zeros(rows, length, dtype=kind) for kind in columns],
        "num_items": items,
        "padding_idx": 0,
        "num_targets": int(rng.integers(0, 3)),
        **amounts,
        "avoid_history": bool(rng.integers(2)),
        **draws(rng),
    }


# ---- losses -------------------------------------------------------------------------------------


def _rows_of_logits(rng: Generator) -> tuple[dict[str, Any], int, int, torch.dtype]:
    rows, classes, dtype = size(rng), 1 + size(rng, 12), dtype_of(rng)
    logits, wants_gradient = floats(rng, dtype, rows, classes), rng.random() < 0.6
    grad = logits if rng.random() < 0.3 else torch.zeros_like(logits)
    shared = {
        "logits": logits,
        "row_scale": floats(rng, arithmetic(dtype), rows) if wants_gradient else None,
        "losses": torch.zeros(rows, dtype=arithmetic(dtype)),
        "grad_logits": grad if wants_gradient else None,
        "label_smoothing": float(rng.choice([0.0, 0.1, 1.0])),
        "num_threads": threads(rng),
    }
    return shared, rows, classes, dtype


@_maker("losses", "grad_logits")
def reweighted_cross_entropy(rng: Generator) -> dict[str, Any]:
    shared, rows, classes, _ = _rows_of_logits(rng)
    return {**shared, "targets": indices(rng, classes, rows), "ignore_index": -100}


@_maker("losses", "grad_logits")
def reweighted_binary_cross_entropy(rng: Generator) -> dict[str, Any]:
    shared, rows, classes, dtype = _rows_of_logits(rng)
    targets = torch.from_numpy(rng.random((rows, classes)))
    as_bool = rng.random() < 0.5
    return {**shared, "targets": targets > 0.5 if as_bool else targets.to(arithmetic(dtype))}


@_maker("gradient")
def scale_gradient(rng: Generator) -> dict[str, Any]:
    dtype = dtype_of(rng)
    return {
        "gradient": floats(rng, dtype, *[size(rng) for _ in range(rng.integers(4))]),
        "factor": floats(rng, arithmetic(dtype)),
        "num_threads": threads(rng),
    }


# ---- a whole catalogue --------------------------------------------------------------------------


def _catalogue(rng: Generator) -> tuple[dict[str, Any], int, int, int, torch.dtype]:
    rows, classes, width, dtype = size(rng), 1 + size(rng, 20), width_of(rng), dtype_of(rng)
    inputs = {
        "hidden": floats(rng, dtype, rows, width),
        "table": floats(rng, dtype, classes, width),
        "bias": maybe(rng, floats(rng, arithmetic(dtype), classes)),
        "num_threads": threads(rng),
    }
    return inputs, rows, classes, width, dtype


def _linear(rng: Generator) -> tuple[dict[str, Any], int, int, int, torch.dtype]:
    inputs, rows, classes, width, dtype = _catalogue(rng)
    inputs |= {
        "targets": integers(rng, 0, classes, rows).sort().values,
        "rows_counted": maybe(rng, torch.tensor(int(rng.integers(rows + 1)))),
        "scale": float(rng.choice([1.0, 0.5, -2.0, 0.0])),
        "allow_tf32": bool(rng.integers(2)),
        "workspace": torch.zeros(1 << 20, dtype=torch.uint8),
    }
    return inputs, rows, classes, width, dtype


@_maker()
def linear_cross_entropy_workspace(rng: Generator) -> dict[str, Any]:
    hidden = floats(rng, dtype_of(rng), size(rng), width_of(rng))
    return {"hidden": hidden, "classes": int(rng.integers(1, 1000))}


def _kept(dtype: torch.dtype, rows: int, classes: int) -> dict[str, Tensor]:
    """Exponentials that the forward pass keeps, and their origins."""
    shape = _row_losses._C.linear_cross_entropy_kept_shape(arithmetic(dtype).itemsize)
    lanes, tile = (max(number, 1) for number in shape)  # 0 where CUDA kernels run
    tiles, parts = -(-rows // lanes), -(-classes // tile)
    shapes = {"kept": (tiles, classes, lanes), "kept_origins": (tiles, parts, lanes)}
    return {name: torch.zeros(shape, dtype=arithmetic(dtype)) for name, shape in shapes.items()}


@_maker()
def linear_cross_entropy_kept_shape(rng: Generator) -> dict[str, Any]:
    return {"itemsize": int(rng.choice([4, 8]))}


@_maker("losses", "origins", "sums", "mean_embedding", "kept", "kept_origins", "workspace")
def linear_cross_entropy(rng: Generator) -> dict[str, Any]:
    inputs, rows, classes, width, dtype = _linear(rng)
    real = arithmetic(dtype)
    outputs = {name: torch.zeros(rows, dtype=real) for name in ("losses", "origins", "sums")}
    mean = maybe(rng, torch.zeros(rows, width, dtype=real))
    keeps = rng.random() < 0.5 and not emulator.runs_cuda_kernels(inputs["hidden"].device)
    kept = _kept(dtype, rows, classes) if keeps else {}
    return {**inputs, **outputs, "mean_embedding": mean, **kept}


@_maker("table_sums", "bias_sums")
def linear_cross_entropy_table_sums(rng: Generator) -> dict[str, Any]:
    inputs, rows, classes, width, dtype = _linear(rng)
    real = arithmetic(dtype)
    return {
        **{name: inputs[name] for name in ("hidden", "table", "targets", "num_threads")},
        **_kept(dtype, rows, classes),
        **{name: floats(rng, real, rows) for name in ("origins", "factors", "target_factors")},
        "table_sums": torch.zeros(classes, width, dtype=torch.float64),
        "bias_sums": maybe(rng, torch.zeros(classes, dtype=torch.float64)),
    }


@_maker("grad_table", "grad_bias", "workspace")
def linear_cross_entropy_table_gradient(rng: Generator) -> dict[str, Any]:
    inputs, rows, classes, width, dtype = _linear(rng)
    real = arithmetic(dtype)
    of_rows = {name: floats(rng, real, rows) for name in ("origins", "factors", "target_factors")}
    return {
        **inputs,
        **of_rows,
        "unscale": maybe(rng, torch.tensor(2.0, dtype=real)),
        "shift": maybe(rng, floats(rng, real, width)),
        "grad_table": torch.zeros(classes, width, dtype=real if rng.random() < 0.5 else dtype),
        "grad_bias": maybe(rng, torch.zeros(classes, dtype=real)),
        "accumulate": bool(rng.integers(2)),
    }


@_maker("scores")
def pair_scores(rng: Generator) -> dict[str, Any]:
    inputs, rows, classes, _, dtype = _catalogue(rng)
    pairs = size(rng, 20)
    return {
        **inputs,
        "pair_rows": integers(rng, 0, rows, pairs),
        "pair_classes": integers(rng, 0, classes, pairs),
        "scores": torch.zeros(pairs, dtype=arithmetic(dtype)),
    }


@_maker("counts")
def count_at_least(rng: Generator) -> dict[str, Any]:
    inputs, rows, _, _, dtype = _catalogue(rng)
    return {
        **inputs,
        "thresholds": floats(rng, arithmetic(dtype), rows),
        "counts": torch.zeros(rows, dtype=torch.int64),
    }


# ---- sampled items ------------------------------------------------------------------------------


def _candidates(rng: Generator) -> tuple[int, int, int, int, torch.dtype, dict[str, Any]]:
    rows, per_row, items, width = size(rng), size(rng, 4), 1 + size(rng, 9), width_of(rng)
    shared = {
        "candidates": indices(rng, items, rows, per_row),
        "ignore_index": -100,
        "num_threads": threads(rng),
    }
    return rows, per_row, items, width, dtype_of(rng), shared


@_maker("scores")
def candidate_scores(rng: Generator) -> dict[str, Any]:
    rows, per_row, items, width, dtype, shared = _candidates(rng)
    return {
        **shared,
        "hidden": floats(rng, dtype, rows, width),
        "table": floats(rng, dtype, items, width),
        "scores": torch.zeros(rows, per_row, dtype=arithmetic(dtype)),
    }


@_maker("grad_hidden")
def candidate_hidden_gradient(rng: Generator) -> dict[str, Any]:
    rows, per_row, items, width, dtype, shared = _candidates(rng)
    return {
        **shared,
        "table": floats(rng, dtype, items, width),
        "grad_scores": floats(rng, arithmetic(dtype), rows, per_row),
        "grad_hidden": torch.zeros(rows, width, dtype=dtype),
    }


@_maker("grad_table", "parts")
def candidate_table_gradient(rng: Generator) -> dict[str, Any]:
    rows, per_row, items, width, dtype, _ = _candidates(rng)
    slots, order = torch.sort(integers(rng, 0, items + 1, rows * per_row), stable=True)
    chunks = -(-len(order) // 128)
    return {
        "hidden": floats(rng, dtype, rows, width),
        "grad_scores": floats(rng, arithmetic(dtype), rows, per_row),
        "order": order,
        "slots": slots,
        "grad_table": torch.zeros(items, width, dtype=dtype),
        "parts": torch.zeros(2 * chunks, width, dtype=arithmetic(dtype)),
        "num_threads": threads(rng),
    }
