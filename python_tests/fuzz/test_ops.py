"""Every op against its definition in plain torch, for any shapes, dtypes, layouts and options.

Hypothesis chooses sizes and options; a seed makes the numbers. A failure found once stays here as
an ``@example``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from atjt_ext import ops
from atjt_ext.ops import reference
from atjt_ext.ops.keyed_draws import keyed_draws

SIZES = st.integers(0, 7)
WIDTHS = st.sampled_from([1, 2, 3, 8, 17, 64])
SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16])
LAYOUTS = st.sampled_from(["contiguous", "transposed", "every other", "offset"])
REDUCTIONS = st.sampled_from(["none", "sum", "mean", "weighted_mean"])
WEIGHTS = st.sampled_from(["none", "random", "zeros", "some zeros", "huge"])
IGNORED = st.sampled_from([-100, 0, -1, 2**63 - 1, -(2**63)])
SMOOTHING = st.sampled_from([0.0, 0.1, 1.0])
ERRORS = {torch.float64: 1e-9, torch.float32: 2e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}


def laid_out(values: Tensor, layout: str) -> Tensor:
    """The same values elsewhere in memory."""
    if layout == "transposed" and values.dim() > 1:
        return values.transpose(0, 1).contiguous().transpose(0, 1)
    if layout == "every other":
        return torch.stack([values, values + 1], dim=-1)[..., 0]
    if layout == "offset":
        return torch.cat([values.new_zeros(1), values.flatten()])[1:].view(values.shape)
    return values


def numbers(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(generator: torch.Generator, dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def ids(generator: torch.Generator, items: int, ignored: int, *shape: int) -> Tensor:
    """Items, and in a fifth of the places the ignored index."""
    drawn = torch.randint(items, shape, generator=generator)
    return drawn.masked_fill(torch.rand(shape, generator=generator) < 0.2, ignored)


def weights(generator: torch.Generator, kind: str, rows: int) -> Tensor | None:
    if kind == "none":
        return None
    drawn = torch.rand(rows, generator=generator, dtype=torch.float32)
    if kind == "some zeros":
        return drawn * (torch.rand(rows, generator=generator) < 0.5)
    return drawn * {"random": 1.0, "zeros": 0.0, "huge": 3e38}[kind]


def compare(
    name: str, inputs: list[Tensor], layout: str, rest: tuple[Any, ...], **options: Any
) -> None:
    """Result and gradients of the op, and of its definition in float64."""
    error = ERRORS[inputs[0].dtype]
    both = []
    for exact in (False, True):
        function: Callable[..., Tensor] = getattr(reference if exact else ops, name)
        leaves = [
            (one.double() if exact else laid_out(one, layout)).detach().requires_grad_()
            for one in inputs
        ]
        others = [
            one.double() if exact and isinstance(one, Tensor) and one.is_floating_point() else one
            for one in rest
        ]
        result = function(*leaves, *others, **options)
        upstream = torch.linspace(0.5, 1.5, max(result.numel(), 1), dtype=torch.float64)
        upstream = upstream[: result.numel()].view(result.shape)
        gradients = torch.autograd.grad(result, leaves, upstream.to(result.dtype))
        both.append([result.detach(), *gradients])
    for got, wanted in zip(*both, strict=True):
        # A gradient of nearly 0 is a difference of numbers of the size of the inputs. For shared
        # negatives these are rounded to the dtype of the scores.
        size = max([1.0, *(float(one.abs().max()) for one in (wanted, *inputs) if one.numel())])
        torch.testing.assert_close(got.double(), wanted, rtol=error, atol=error * size)


def not_beyond(weight: str, reduction: str) -> str:
    """Only a quotient of huge weights is in the range of float32."""
    return "random" if weight == "huge" and reduction != "weighted_mean" else weight


LOSS = {
    "seed": SEEDS, "rows": SIZES, "dtype": DTYPES, "layout": LAYOUTS, "reduction": REDUCTIONS,
    "weight": WEIGHTS,
}  # fmt: skip


@given(**LOSS, classes=st.integers(1, 40), ignored=IGNORED, smoothing=SMOOTHING)
@example(
    seed=0, rows=5, dtype=torch.float32, layout="contiguous", reduction="weighted_mean",
    weight="huge", classes=9, ignored=-100, smoothing=0.0,
)  # fmt: skip
def test_reweighted_cross_entropy(
    seed: int, rows: int, dtype: torch.dtype, layout: str, reduction: str, weight: str,
    classes: int, ignored: int, smoothing: float,
) -> None:  # fmt: skip
    generator = numbers(seed)
    logits = 3 * normal(generator, dtype, rows, classes)
    rest = (ids(generator, classes, ignored, rows),)
    weight = not_beyond(weight, reduction)
    compare(
        "reweighted_cross_entropy", [logits], layout, (*rest, weights(generator, weight, rows)),
        ignore_index=ignored, label_smoothing=smoothing, reduction=reduction,
    )  # fmt: skip


@given(**LOSS, classes=st.sampled_from([0, 1, 2, 33]), smoothing=SMOOTHING, soft=st.booleans())
def test_reweighted_binary_cross_entropy(
    seed: int, rows: int, dtype: torch.dtype, layout: str, reduction: str, weight: str,
    classes: int, smoothing: float, soft: bool,
) -> None:  # fmt: skip
    generator = numbers(seed)
    shape = (rows, classes) if classes else (rows,)
    logits, targets = 3 * normal(generator, dtype, *shape), torch.rand(shape, generator=generator)
    weight = not_beyond(weight, reduction)
    compare(
        "reweighted_binary_cross_entropy", [logits], layout,
        (targets if soft else targets > 0.5, weights(generator, weight, rows)),
        label_smoothing=smoothing, reduction=reduction,
    )  # fmt: skip


@given(
    **LOSS, width=WIDTHS, items=st.integers(1, 40), ignored=IGNORED, smoothing=SMOOTHING,
    z_loss=st.sampled_from([0.0, 0.01]), temperature=st.sampled_from([1.0, 0.3]),
)  # fmt: skip
def test_linear_reweighted_cross_entropy(
    seed: int, rows: int, dtype: torch.dtype, layout: str, reduction: str, weight: str,
    width: int, items: int, ignored: int, smoothing: float, z_loss: float, temperature: float,
) -> None:  # fmt: skip
    generator = numbers(seed)
    hidden, table = normal(generator, dtype, rows, width), normal(generator, dtype, items, width)
    targets = ids(generator, items, ignored, rows)
    weight = not_beyond(weight, reduction)
    compare(
        "linear_reweighted_cross_entropy", [hidden, table / width**0.5], layout,
        (targets, weights(generator, weight, rows)), ignore_index=ignored,
        label_smoothing=smoothing, reduction=reduction, z_loss=z_loss, temperature=temperature,
    )  # fmt: skip


@given(
    seed=SEEDS, rows=SIZES, dtype=DTYPES, layout=LAYOUTS, width=WIDTHS, items=st.integers(1, 9),
    per_row=SIZES, ignored=IGNORED,
)  # fmt: skip
def test_candidate_scores(
    seed: int, rows: int, dtype: torch.dtype, layout: str, width: int, items: int, per_row: int,
    ignored: int,
) -> None:  # fmt: skip
    generator = numbers(seed)
    hidden, table = normal(generator, dtype, rows, width), normal(generator, dtype, items, width)
    candidates = laid_out(ids(generator, items, ignored, rows, per_row), layout)
    compare("candidate_scores", [hidden, table], layout, (candidates,), ignore_index=ignored)


SAMPLED = {
    **LOSS, "width": WIDTHS, "items": st.integers(1, 9), "k": st.integers(1, 5),
    "shared": st.booleans(), "masked": st.booleans(), "option": st.sampled_from([0.2, 1.0]),
}  # fmt: skip


def compare_sampled(
    name: str, seed: int, rows: int, dtype: torch.dtype, layout: str, reduction: str, weight: str,
    width: int, items: int, k: int, shared: bool, masked: bool, **options: Any,
) -> None:  # fmt: skip
    generator = numbers(seed)
    hidden, table = normal(generator, dtype, rows, width), normal(generator, dtype, items, width)
    targets = ids(generator, items, -100, rows)
    negatives = torch.randint(items, (k,) if shared else (rows, k), generator=generator)
    weight = not_beyond(weight, reduction)
    compare(
        name, [hidden, table / width**0.5], layout,
        (targets, negatives, weights(generator, weight, rows)), reduction=reduction,
        mask_accidental_hits=masked, **options,
    )  # fmt: skip


@given(**SAMPLED)
def test_sampled_cross_entropy(option: float, **sizes: Any) -> None:
    compare_sampled("sampled_cross_entropy", **sizes, negative_log_probs=-option)


@given(**SAMPLED)
def test_sampled_binary_cross_entropy(option: float, **sizes: Any) -> None:
    compare_sampled("sampled_binary_cross_entropy", **sizes, beta=option)


CATALOGUE = {
    "seed": SEEDS, "rows": SIZES, "width": WIDTHS, "items": st.integers(1, 40),
    "dtype": DTYPES, "layout": LAYOUTS, "pairs": SIZES, "biased": st.booleans(),
}  # fmt: skip


def catalogue(
    seed: int, rows: int, width: int, items: int, dtype: torch.dtype, layout: str, pairs: int,
    biased: bool,
) -> tuple[list[Tensor], dict[str, Any], torch.Generator]:  # fmt: skip
    """Whole numbers, whose scores are exact in any order of additions; many scores tie."""
    generator = numbers(seed)
    inputs = [
        laid_out(torch.randint(-2, 3, (n, width), generator=generator).to(dtype), layout)
        for n in (rows, items)
    ]
    real = torch.float64 if dtype == torch.float64 else torch.float32
    bias = torch.randint(-2, 3, (items,), generator=generator).to(real) if biased else None
    pairs = pairs if rows else 0
    excluded = {
        "exclude_rows": torch.randint(max(rows, 1), (pairs,), generator=generator),
        "exclude_items": torch.randint(items, (pairs,), generator=generator),
    }
    return inputs, {"bias": bias, **excluded}, generator


@given(**CATALOGUE)
def test_target_ranks(**sizes: Any) -> None:
    inputs, options, generator = catalogue(**sizes)
    targets = torch.randint(sizes["items"], (sizes["rows"],), generator=generator)
    wanted = reference.target_ranks(*(one.double() for one in inputs), targets, **options)
    assert torch.equal(ops.target_ranks(*inputs, targets, **options), wanted)


@given(**CATALOGUE, k=st.integers(1, 40))
def test_top_k(k: int, **sizes: Any) -> None:
    inputs, options, _ = catalogue(**sizes)
    k = min(k, sizes["items"])
    got = ops.top_k(*inputs, k, **options)
    wanted = reference.top_k(*(one.double() for one in inputs), k, **options)
    assert torch.equal(got[0].double(), wanted[0])
    assert torch.equal(got[1], wanted[1])


@given(
    seed=st.integers(0, 2**64 - 1), step=SEEDS, rows=SIZES, length=st.integers(0, 20),
    purpose=st.integers(4, 8), layout=LAYOUTS,
)  # fmt: skip
def test_keyed_draws(
    seed: int, step: int, rows: int, length: int, purpose: int, layout: str
) -> None:
    keys = torch.randint(-(2**62), 2**62, (rows,), generator=numbers(step))
    options = {"purpose": purpose, "seed": seed, "step": step}
    got = keyed_draws(laid_out(keys, layout), length, **options)
    assert torch.equal(got, reference.keyed_draws(keys, length, **options))


@given(
    seed=st.integers(0, 2**64 - 1), step=SEEDS, layer=SEEDS, rows=SIZES, width=WIDTHS,
    dtype=DTYPES, layout=LAYOUTS, p=st.floats(0, 1, exclude_max=True),
)  # fmt: skip
@example(
    seed=0, step=0, layer=0, rows=5, width=8, dtype=torch.float32, layout="offset", p=1 - 2**-53
)
def test_keyed_dropout(
    seed: int, step: int, layer: int, rows: int, width: int, dtype: torch.dtype, layout: str,
    p: float,
) -> None:  # fmt: skip
    generator = numbers(step)
    keys = torch.randint(-(2**62), 2**62, (rows,), generator=generator)
    positions = torch.randint(2**23, (rows,), generator=generator)
    values, upstream = (normal(generator, dtype, rows, width) for _ in range(2))
    leaf = laid_out(values, layout).detach().requires_grad_()
    options: dict[str, Any] = {"layer": layer, "seed": seed, "step": step}
    got = ops.keyed_dropout(leaf, p, laid_out(keys, layout), positions, **options)
    (gradient,) = torch.autograd.grad(got, leaf, laid_out(upstream, layout))
    for one, of in ((got.detach(), values), (gradient, upstream)):
        assert torch.equal(one, reference.keyed_dropout(of, p, keys, positions, **options))


@given(
    seed=SEEDS, rows=st.integers(0, 4), length=st.integers(0, 6), items=st.integers(2, 9),
    ids_dtype=st.sampled_from([torch.int32, torch.int64]), layout=LAYOUTS,
    chosen=st.sampled_from([{}, {"sequence_fraction": 0.5}, {"sequence_probability": 0.4}]),
    amount=st.sampled_from(
        [{"num_replacements": 2}, {"replace_ratio": 0.4}, {"replace_probability": 0.5}]
    ),
    num_targets=st.integers(0, 2), avoided=st.booleans(), weighted=st.booleans(),
)  # fmt: skip
def test_random_replacement(
    seed: int, rows: int, length: int, items: int, ids_dtype: torch.dtype, layout: str,
    chosen: dict[str, float], amount: dict[str, Any], num_targets: int, avoided: bool,
    weighted: bool,
) -> None:  # fmt: skip
    generator = numbers(seed)
    sequences = torch.randint(items + 1, (rows, length), generator=generator).to(ids_dtype)
    table = None
    if weighted:
        drawn = torch.rand(items, generator=generator, dtype=torch.float64) + 0.01
        table = ops.alias_table(laid_out(drawn, layout))
        assert torch.equal(table, reference.alias_table(drawn))
    options: dict[str, Any] = {
        "num_items": items, "seed": seed, "num_targets": num_targets, "alias_table": table,
        "avoid_history": avoided, **chosen, **amount,
    }  # fmt: skip
    got = ops.random_replacement(laid_out(sequences, layout), **options)
    wanted = reference.random_replacement(sequences, **options)
    for one, other in zip(got[:3], wanted[:3], strict=True):
        assert torch.equal(one, other)
