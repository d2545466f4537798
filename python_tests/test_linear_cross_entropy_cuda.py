"""The CUDA kernels of the whole-catalogue loss, at the seam: tiles, splits, layouts, precision.

What holds on every device is tested in test_linear_cross_entropy_kernels.py.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import atjt_ext
import emulator
from emulator.build import build_program


@dataclass(frozen=True)
class Kernels:
    """The seam, and where its tensors live."""

    module: ModuleType
    device: torch.device


@pytest.fixture(
    params=[
        pytest.param("emulator", marks=pytest.mark.emulator),
        pytest.param("cuda", marks=pytest.mark.cuda),
    ]
)
def kernels(request: pytest.FixtureRequest) -> Iterator[Kernels]:
    """CUDA kernels, emulated or on a GPU."""
    if request.param == "emulator":
        with emulator.emulated_cuda():
            yield Kernels(emulator.module(), torch.device("cpu"))
        return
    if not (torch.cuda.is_available() and atjt_ext.build_info()["gpu_usable"]):
        pytest.skip("no CUDA device that torch and atjt_ext can use")
    yield Kernels(atjt_ext._C, torch.device("cuda"))


@dataclass(frozen=True)
class Problem:
    """Inputs on the CPU; targets ascending."""

    hidden: Tensor
    table: Tensor
    targets: Tensor
    bias: Tensor | None = None
    rows_counted: int | None = None
    scale: float = 1.0
    allow_tf32: bool = True

    @property
    def counted(self) -> int:
        return len(self.hidden) if self.rows_counted is None else self.rows_counted

    def logits(self) -> Tensor:
        """In float64, of the rows that count."""
        scores = self.hidden[: self.counted].double() @ self.table.double().T
        if self.bias is not None:
            scores += self.bias.double()
        return self.scale * scores

    def arguments(self, device: torch.device) -> dict[str, Any]:
        def there(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.to(device)

        counted = None if self.rows_counted is None else torch.tensor(self.rows_counted)
        return {
            "hidden": there(self.hidden),
            "table": there(self.table),
            "targets": there(self.targets),
            "bias": there(self.bias),
            "rows_counted": there(counted),
            "scale": self.scale,
            "allow_tf32": self.allow_tf32,
            "num_threads": 1,
        }


def tf32(x: Tensor) -> Tensor:
    """Numbers of 11 bits, which TF32 takes as they are."""
    return (x.view(torch.int32) & ~0x1FFF).view(torch.float32)


PRECISIONS = ["bfloat16", "float16", "tf32", "float32"]


def problem(
    precision: str,
    rows: int,
    classes: int,
    width: int,
    *,
    spread: float = 1.0,
    seed: int = 0,
    bias: bool = False,
    **options: Any,
) -> Problem:
    """Logits of standard deviation ``spread``."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    hidden, table = spread * normal(rows, width), normal(classes, width) / math.sqrt(width)
    if precision == "tf32":
        hidden, table = tf32(hidden), tf32(table)
    elif precision != "float32":
        dtype = getattr(torch, precision)
        hidden, table = hidden.to(dtype), table.to(dtype)
    targets = torch.randint(classes, (rows,), generator=generator).sort().values
    return Problem(
        hidden,
        table,
        targets,
        bias=normal(classes) if bias else None,
        allow_tf32=precision == "tf32",
        **options,
    )


def workspace(kernels: Kernels, p: Problem, which: int) -> Tensor:
    size = kernels.module.linear_cross_entropy_workspace(p.hidden, len(p.table))[which]
    # NaN everywhere: what is read has to be written first.
    return torch.full((size,), 0xFF, dtype=torch.uint8, device=kernels.device)


@dataclass(frozen=True)
class Forward:
    losses: Tensor
    origins: Tensor
    sums: Tensor
    mean_embedding: Tensor | None


def forward(kernels: Kernels, p: Problem, *, mean: bool = True) -> Forward:
    rows, width = p.hidden.shape
    losses, origins, sums = (torch.full((rows,), math.nan, device=kernels.device) for _ in range(3))
    out = Forward(
        losses,
        origins,
        sums,
        torch.full((rows, width), math.nan, device=kernels.device) if mean else None,
    )
    kernels.module.linear_cross_entropy(
        **p.arguments(kernels.device), **vars(out), workspace=workspace(kernels, p, 0)
    )
    return Forward(*(None if x is None else x.cpu() for x in vars(out).values()))


def gradient(
    kernels: Kernels,
    p: Problem,
    origins: Tensor,
    factors: Tensor,
    target_factors: Tensor,
    *,
    into: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    accumulate: bool = False,
    unscale: float | None = None,
    shift: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Of the table and of the bias."""
    there = kernels.device
    grad = torch.full(p.table.shape, math.nan, dtype=dtype) if into is None else into.clone()
    grad = grad.to(there)
    grad_bias = torch.full((len(p.table),), math.nan, device=there)
    kernels.module.linear_cross_entropy_table_gradient(
        **p.arguments(there),
        origins=origins.to(there),
        factors=factors.to(there),
        target_factors=target_factors.to(there),
        unscale=None if unscale is None else torch.tensor(unscale, device=there),
        shift=None if shift is None else shift.to(there),
        grad_table=grad,
        grad_bias=grad_bias,
        accumulate=accumulate,
        workspace=workspace(kernels, p, 1),
    )
    return grad.cpu(), grad_bias.cpu()


def error(got: Tensor, wanted: Tensor) -> float:
    """Relative, by norm."""
    difference = (got.double() - wanted.double()).norm()
    return float(difference / wanted.double().norm().clamp_min(1e-300))


def product_limit(p: Problem) -> float:
    if p.hidden.dtype == torch.float32 and not p.allow_tf32:
        return 1e-6
    # Weights are rounded to 8 bits, 11 elsewhere: they err by 1.1e-3 (root mean square) and 1.4e-4.
    # Sums of signs at random keep that; most have an exact term beside it, the target's.
    return 1.5e-3 if p.hidden.dtype == torch.bfloat16 else 5e-4


def check_forward(
    kernels: Kernels, p: Problem, *, mean: bool = True, limit_of_gradients: float | None = None
) -> Forward:
    """Against float64 on the same numbers."""
    got = forward(kernels, p, mean=mean)
    counted, logits = p.counted, p.logits()
    targets = p.targets[:counted]
    losses = logits.logsumexp(1) - logits.gather(1, targets[:, None])[:, 0]
    limit = min(1e-5, 10 * product_limit(p))
    assert error(got.losses[:counted], losses) <= limit
    below = logits.max(1).values - got.origins[:counted].double()
    assert below.min() >= -1e-3 * logits.abs().max() - 1e-3
    assert below.max() <= 40
    sums = (logits - got.origins[:counted, None].double()).exp().sum(1)
    assert error(got.sums[:counted], sums) <= 1e-5 * max(1.0, float(logits.abs().max()) / 10)
    for x, value in ((got.losses, 0), (got.origins, 0), (got.sums, 1)):
        assert torch.equal(x[counted:], torch.full_like(x[counted:], value))
    if not mean:
        return got
    assert got.mean_embedding is not None
    wanted = logits.softmax(1) @ p.table.double()
    mean_got = got.mean_embedding[:counted].double()
    assert error(mean_got, wanted) <= 2 * product_limit(p)
    embeddings = p.table[targets].double()  # the gradient of the hidden states, but for a factor
    assert error(mean_got - embeddings, wanted - embeddings) <= (
        limit_of_gradients or product_limit(p)
    )
    assert not got.mean_embedding[counted:].any()
    return got


def check_gradient(
    kernels: Kernels, p: Problem, *, limit_of_gradients: float | None = None
) -> None:
    """With the factors that a sum of losses weighted at random has."""
    counted, logits = p.counted, p.logits()
    rows = len(p.hidden)
    weights = torch.rand(rows, generator=torch.Generator().manual_seed(1))
    origins = torch.full((rows,), math.nan)
    origins[:counted] = logits.max(1).values.float()
    exponentials = (logits - origins[:counted, None].double()).exp()
    factors, target_factors = torch.full((rows,), math.nan), torch.full((rows,), math.nan)
    factors[:counted] = (weights[:counted] / exponentials.sum(1)).float()
    is_target = torch.zeros_like(logits, dtype=torch.bool)
    is_target[torch.arange(counted), p.targets[:counted]] = True
    p_target = (exponentials * is_target).sum(1) / exponentials.sum(1)
    target_factors[:counted] = (weights[:counted] * (p_target - 1)).float()

    coefficients = factors[:counted, None].double() * exponentials.masked_fill(is_target, 0)
    coefficients += target_factors[:counted, None].double() * is_target
    wanted = coefficients.T @ p.hidden[:counted].double()
    largest = float((factors[:counted, None] * exponentials.masked_fill(is_target, 0)).max())
    unscale = 2.0 ** (math.frexp(largest)[1] - 10) if p.hidden.dtype == torch.float16 else 1.0
    grad, grad_bias = gradient(
        kernels, p, origins, factors / unscale, target_factors, unscale=unscale
    )
    assert error(grad, wanted) <= (limit_of_gradients or product_limit(p))
    assert error(grad_bias, coefficients.sum(0)) <= min(1e-5, 10 * product_limit(p))


SHAPES = [
    # rows, classes, width
    (1, 1, 1),
    (1, 5, 7),
    (17, 70, 31),
    (3, 130, 33),
    (35, 65, 64),
    (130, 40, 32),  # two blocks of rows
    (5, 200, 96),
    (20, 33, 128),
    (9, 40, 256),
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_both_passes_agree_with_float64(
    kernels: Kernels, shape: tuple[int, int, int], precision: str
) -> None:
    p = problem(precision, *shape)
    limit = 1e-6 if precision == "float32" else 5e-4
    check_forward(kernels, p, limit_of_gradients=limit)
    check_gradient(kernels, p, limit_of_gradients=limit)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_option_together(kernels: Kernels, precision: str) -> None:
    p = problem(precision, 20, 75, 40, bias=True, rows_counted=13, scale=0.6)
    check_forward(kernels, p)
    check_gradient(kernels, p)


@pytest.mark.parametrize("scale", [-2.0, 0.0])
def test_any_scale_will_do(kernels: Kernels, scale: float) -> None:
    p = problem("float32", 5, 70, 16, bias=True, scale=scale)
    check_forward(kernels, p)
    check_gradient(kernels, p)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("spread", [1e-3, 10.0, 300.0])
def test_logits_of_any_size(kernels: Kernels, precision: str, spread: float) -> None:
    check_forward(kernels, problem(precision, 9, 150, 24, spread=spread, seed=3))


def test_the_largest_logit_may_come_last(kernels: Kernels) -> None:
    # Sums have to be rescaled once and again, in every row at another time.
    for precision in PRECISIONS:
        p = problem(precision, 6, 260, 32, spread=0.1)
        p = replace(p, bias=torch.arange(260.0) / 4)
        got, wanted = forward(kernels, p), p.logits()
        losses = wanted.logsumexp(1) - wanted.gather(1, p.targets[:, None])[:, 0]
        assert error(got.losses, losses) < 1e-6
        assert got.mean_embedding is not None
        # A logit of 64 is known to 4e-6, whatever it is made of.
        limit = max(2 * product_limit(p), 2e-5)
        assert error(got.mean_embedding, wanted.softmax(1) @ p.table.double()) < limit


def confident(precision: str, margin: float) -> Problem:
    """The target's logit leads by about the margin."""
    p = problem(precision, 12, 100, 64)
    p.hidden[:] = p.table[p.targets] * margin
    return p


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("margin", [8.0, 32.0])
def test_a_sure_row_keeps_the_digits_of_what_is_left(
    kernels: Kernels, precision: str, margin: float
) -> None:
    p = confident(precision, margin)
    got, logits = forward(kernels, p), p.logits()
    at_target = torch.arange(len(logits)), p.targets
    others = logits - logits[at_target][:, None]
    others[at_target] = -math.inf
    losses = others.logsumexp(1).exp().log1p()
    assert losses.min() < 1e-2
    assert error(got.losses / losses, torch.ones(len(losses))) < 2e-5  # of each row
    # Without the target, p - 1 and the rest of the mean embedding have no digits in common.
    assert got.mean_embedding is not None
    rest = got.mean_embedding.double() - p.table[p.targets].double()
    wanted = logits.softmax(1)
    wanted[at_target] = (-losses).expm1()
    limit = 2e-3 if precision == "bfloat16" else 1e-3
    assert error(rest, wanted @ p.table.double()) < limit + 1e-6 / float(losses.max())
    check_gradient(kernels, p)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_both_passes_split(kernels: Kernels, precision: str) -> None:
    """More than 1024 classes make two splits of the catalogue, as many rows two of the rows."""
    check_forward(kernels, problem(precision, 6, 1100, 16))
    check_gradient(kernels, problem(precision, 1100, 10, 16))


def test_blocks_without_rows_help_with_the_others(kernels: Kernels) -> None:
    # 300 rows are three blocks; those of the two without a row take a third of the catalogue each.
    p = problem("bfloat16", 300, 1600, 8, rows_counted=5)
    check_forward(kernels, p)
    check_gradient(kernels, replace(p, table=p.table[:9], targets=p.targets % 9 // 9))


@pytest.mark.emulator
@pytest.mark.parametrize("sanitize", [False, True], ids=["races", "sanitized"])
def test_sums_may_be_taken_off_after_every_tile(sanitize: bool) -> None:
    program = build_program(Path(emulator.__file__).parent / "short_runs.cu", sanitize=sanitize)
    environment = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"}
    done = subprocess.run(
        [str(program)], capture_output=True, text=True, env=environment, timeout=60
    )
    assert (done.stdout, done.stderr) == ("right\n", "")


def test_nothing_is_wanted_but_losses(kernels: Kernels) -> None:
    check_forward(kernels, problem("bfloat16", 10, 70, 48), mean=False)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_rows_that_begin_anywhere(kernels: Kernels, precision: str) -> None:
    """Rows of 16 bytes and more that are not aligned to them."""
    p = problem(precision, 7, 66, 32)

    def moved(x: Tensor) -> Tensor:
        return torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)

    p = replace(p, hidden=moved(p.hidden), table=moved(p.table))
    check_forward(kernels, p)
    check_gradient(kernels, p)


def test_a_target_that_is_no_class_makes_the_loss_nan(kernels: Kernels) -> None:
    p = problem("bfloat16", 6, 70, 16)
    p.targets[:] = torch.tensor([-3, 0, 4, 69, 70, 1 << 40])
    got = forward(kernels, p)
    assert got.losses.isnan().tolist() == [True, False, False, False, True, True]
    assert got.mean_embedding is not None
    wanted = p.logits().softmax(1) @ p.table.double()
    assert error(got.mean_embedding, wanted) < 2e-3
    origins, ones = p.logits().max(1).values.float(), torch.ones(6)
    grad, _ = gradient(kernels, p, origins, ones, 0 * ones)
    weights = (p.logits() - origins[:, None].double()).exp()
    weights[[1, 2, 3], [0, 4, 69]] = 0
    assert error(grad, weights.T @ p.hidden.double()) < 2e-3


@pytest.mark.parametrize("where", ["hidden", "table"])
def test_nan_spreads(kernels: Kernels, where: str) -> None:
    for precision in PRECISIONS:
        p = problem(precision, 4, 70, 8)
        getattr(p, where)[2, 3] = math.nan
        got = forward(kernels, p)
        expected = [where == "table" or row == 2 for row in range(4)]
        assert got.losses.isnan().tolist() == expected
        assert got.sums.isnan().tolist() == expected


@pytest.mark.parametrize("rows_first", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_becomes_of_the_sums(kernels: Kernels, dtype: torch.dtype, rows_first: bool) -> None:
    """Shift, unscale and accumulate, with one split and with two."""
    p = problem("bfloat16", *((600, 6) if rows_first else (6, 70)), 16)
    if rows_first:
        p = problem("bfloat16", 1100, 6, 16)
    origins = p.logits().max(1).values.float()
    factors, target_factors = torch.rand(2, len(p.hidden), generator=torch.manual_seed(0))
    plain, plain_bias = gradient(kernels, p, origins, factors, target_factors)
    before, shift = torch.randn(p.table.shape).to(dtype), torch.randn(16)
    options: dict[str, Any] = {"into": before, "shift": shift, "unscale": 0.25}
    got, bias = gradient(
        kernels, p, origins, 4 * factors, target_factors, accumulate=True, **options
    )
    assert got.dtype == dtype
    limit = 1e-6 if dtype == torch.float32 else 4e-3
    assert error(got, plain + shift + before.float()) < limit
    assert error(bias, plain_bias) < 1e-6
    got, _ = gradient(kernels, p, origins, 4 * factors, target_factors, **options)
    assert error(got, plain + shift) < limit


def test_small_weights_of_float16_survive_by_their_scale(kernels: Kernels) -> None:
    p = problem("float16", 5, 64, 16)
    origins = p.logits().max(1).values.float()
    factors = torch.full((5,), 1e-9)
    wanted, _ = gradient(
        kernels,
        replace(p, hidden=p.hidden.float(), table=p.table.float()),
        origins,
        factors,
        0 * factors,
    )
    got, _ = gradient(kernels, p, origins, 2.0**28 * factors, 0 * factors, unscale=2.0**-28)
    assert wanted.norm() > 0
    assert error(got, wanted) < 5e-4


def test_the_same_bits_again(kernels: Kernels) -> None:
    for p in (problem("bfloat16", 40, 1100, 16), problem("float32", 600, 30, 16)):
        one, two = forward(kernels, p), forward(kernels, p)
        for x, y in zip(vars(one).values(), vars(two).values(), strict=True):
            assert torch.equal(x, y)
        factors = 1 / one.sums
        grads = [gradient(kernels, p, one.origins, factors, -factors) for _ in range(2)]
        assert torch.equal(grads[0][0], grads[1][0])
        assert torch.equal(grads[0][1], grads[1][1])


def test_no_rows_at_all(kernels: Kernels) -> None:
    p = problem("bfloat16", 0, 70, 16)
    assert len(forward(kernels, p).losses) == 0
    shift = torch.arange(16.0)
    none = torch.zeros(0)
    grad, grad_bias = gradient(kernels, p, none, none, none, shift=shift)
    assert torch.equal(grad, shift.expand(70, 16))
    assert not grad_bias.any()
    p = replace(problem("bfloat16", 5, 70, 16), rows_counted=0)
    check = forward(kernels, p)
    assert (check.losses.sum(), check.sums.sum()) == (0, 5)
    nan = torch.full((5,), math.nan)
    assert torch.equal(gradient(kernels, p, nan, nan, nan, shift=shift)[0], shift.expand(70, 16))


# --- scores ---


def pair_scores(kernels: Kernels, p: Problem, rows: Tensor, classes: Tensor) -> Tensor:
    arguments = p.arguments(kernels.device)
    scores = torch.full(rows.shape, math.nan, device=kernels.device)
    kernels.module.pair_scores(
        *(arguments["hidden"], arguments["table"]),
        *(rows.to(kernels.device), classes.to(kernels.device)),
        bias=arguments["bias"],
        scores=scores,
        num_threads=1,
    )
    return scores.cpu()


def count_at_least(kernels: Kernels, p: Problem, thresholds: Tensor) -> Tensor:
    arguments = p.arguments(kernels.device)
    counts = torch.full((len(thresholds),), -1, device=kernels.device)
    kernels.module.count_at_least(
        *(arguments["hidden"], arguments["table"]),
        thresholds.to(kernels.device),
        bias=arguments["bias"],
        counts=counts,
        num_threads=1,
    )
    return counts.cpu()


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (9, 70, 33), (5, 130, 64), (4, 40, 200), (130, 1100, 8)]
)
def test_a_score_has_the_same_bits_alone_and_in_a_tile(
    kernels: Kernels, shape: tuple[int, int, int], precision: str
) -> None:
    p = problem(precision, *shape, bias=True)
    rows, classes, _ = shape
    everything = torch.arange(rows * classes)
    scores = pair_scores(kernels, p, everything // classes, everything % classes)
    scores = scores.view(rows, classes)
    assert error(scores, p.logits()) < 1e-6
    own = torch.randint(classes, (rows,), generator=torch.manual_seed(0))
    thresholds = scores.gather(1, own[:, None])
    counts = count_at_least(kernels, p, thresholds[:, 0])
    assert torch.equal(counts, (scores >= thresholds).sum(1))
    above = torch.nextafter(thresholds[:, 0], torch.tensor(math.inf))
    assert torch.equal(count_at_least(kernels, p, above), (scores > thresholds).sum(1))


def test_duplicates_tie_and_nan_counts(kernels: Kernels) -> None:
    p = problem("float32", 3, 90, 24)
    p.table[[7, 40, 89]] = p.table[0].clone()
    scores = pair_scores(kernels, p, torch.arange(3), torch.zeros(3, dtype=torch.int64))
    ties = count_at_least(kernels, p, scores) - count_at_least(
        kernels, p, torch.nextafter(scores, torch.tensor(math.inf))
    )
    assert ties.tolist() == [4, 4, 4]
    p.table[5] = math.nan
    assert count_at_least(kernels, p, torch.full((3,), math.inf)).tolist() == [1, 1, 1]


def test_a_pair_out_of_range_is_nan(kernels: Kernels) -> None:
    p = problem("float16", 3, 5, 4)
    rows, classes = torch.tensor([0, -1, 3, 0, 2]), torch.tensor([0, 0, 0, 5, 4])
    scores = pair_scores(kernels, p, rows, classes)
    assert scores.isnan().tolist() == [False, True, True, True, False]
