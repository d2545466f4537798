"""Examples for the kernels over a whole catalogue, their calls, and the definitions in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

import emulator
from atjt_ext import _C
from helpers.operators import arithmetic


def kernels(device: torch.device) -> ModuleType:
    """The module with the kernels for tensors of the fixture's device."""
    emulated = device.type == "cpu" and emulator.runs_cuda_kernels(device)
    return emulator.module() if emulated or emulator.SANITIZE else _C


@dataclass(frozen=True)
class Catalogue:
    """Hidden states, table and bias in their stored dtype, and the options of both passes."""

    hidden: Tensor
    table: Tensor
    targets: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    rows_counted: int | None = None
    allow_tf32: bool = False

    @property
    def arithmetic(self) -> torch.dtype:
        return arithmetic(self.hidden.dtype)

    @property
    def rows(self) -> int:
        return len(self.hidden) if self.rows_counted is None else self.rows_counted

    def as_dtype(self, dtype: torch.dtype) -> Catalogue:
        return replace(
            self,
            hidden=self.hidden.to(dtype),
            table=self.table.to(dtype),
            bias=None if self.bias is None else self.bias.to(arithmetic(dtype)),
        )

    def to(self, device: torch.device) -> Catalogue:
        moved = {name: x.to(device) for name, x in vars(self).items() if isinstance(x, Tensor)}
        return replace(self, **moved)

    def logits(self) -> Tensor:
        """Logits of the rows that count, by torch in the arithmetic dtype."""
        scores = self.hidden[: self.rows].to(self.arithmetic) @ self.table.to(self.arithmetic).T
        return self.scale * (scores if self.bias is None else scores + self.bias)


def catalogue(
    rows: int,
    classes: int,
    width: int,
    device: torch.device,
    *,
    dtype: torch.dtype = torch.float32,
    spread: float = 1.0,
    bias: bool = False,
    scale: float = 1.0,
    seed: int = 0,
) -> Catalogue:
    """Logits have a standard deviation of about `spread`."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=generator) * (spread / width**0.5 / scale)
    table = torch.randn(classes, width, generator=generator)
    biases = torch.randn(classes, generator=generator) / scale
    targets = torch.randint(0, classes, (rows,), generator=generator).sort().values
    return Catalogue(
        hidden.to(dtype).to(device),
        table.to(dtype).to(device),
        targets.to(device),
        biases.to(arithmetic(dtype)).to(device) if bias else None,
        scale,
    )


class Forward(NamedTuple):
    losses: Tensor
    origins: Tensor
    sums: Tensor
    mean_embedding: Tensor | None


def _rubbish(*shape: int, like: Tensor, dtype: torch.dtype) -> Tensor:
    """An output buffer in which an unwritten element is visible."""
    return torch.full(shape, -777.0, dtype=dtype, device=like.device)


def _shared(c: Catalogue) -> dict[str, object]:
    counted = c.rows_counted
    return {
        "bias": c.bias,
        "rows_counted": None if counted is None else torch.tensor(counted, device=c.hidden.device),
        "scale": c.scale,
        "allow_tf32": c.allow_tf32,
    }


def _workspace(c: Catalogue, which: int) -> Tensor | None:
    size = kernels(c.hidden.device).linear_cross_entropy_workspace(c.hidden, len(c.table))[which]
    if not size:
        return None
    # NaN everywhere: the kernel must write before it reads.
    return torch.full((size,), 0xFF, dtype=torch.uint8, device=c.hidden.device)


def forward(c: Catalogue, *, mean: bool = True, num_threads: int = 1) -> Forward:
    rows, width = c.hidden.shape
    outputs = [_rubbish(rows, like=c.hidden, dtype=c.arithmetic) for _ in range(3)]
    embedding = _rubbish(rows, width, like=c.hidden, dtype=c.arithmetic) if mean else None
    losses, origins, sums = outputs
    kernels(c.hidden.device).linear_cross_entropy(
        c.hidden,
        c.table,
        c.targets,
        **_shared(c),
        losses=losses,
        origins=origins,
        sums=sums,
        mean_embedding=embedding,
        workspace=_workspace(c, 0),
        num_threads=num_threads,
    )
    return Forward(losses, origins, sums, embedding)


def table_gradient(
    c: Catalogue,
    origins: Tensor,
    factors: Tensor,
    target_factors: Tensor,
    *,
    unscale: Tensor | None = None,
    shift: Tensor | None = None,
    grad_table: Tensor | None = None,
    bias: bool = True,
    accumulate: bool = False,
    num_threads: int = 1,
) -> tuple[Tensor, Tensor | None]:
    """Gradients of table (in the table's dtype unless `grad_table` has another) and bias."""
    if grad_table is None:
        grad_table = _rubbish(*c.table.shape, like=c.hidden, dtype=c.table.dtype)
    grad_bias = _rubbish(len(c.table), like=c.hidden, dtype=c.arithmetic) if bias else None
    kernels(c.hidden.device).linear_cross_entropy_table_gradient(
        c.hidden,
        c.table,
        c.targets,
        **_shared(c),
        origins=origins,
        factors=factors,
        target_factors=target_factors,
        unscale=unscale,
        shift=shift,
        grad_table=grad_table,
        grad_bias=grad_bias,
        accumulate=accumulate,
        workspace=_workspace(c, 1),
        num_threads=num_threads,
    )
    return grad_table, grad_bias


def defined_table_gradient(
    c: Catalogue, origins: Tensor, factors: Tensor, target_factors: Tensor
) -> tuple[Tensor, Tensor]:
    """The definition in the dtype of `c`; float64 gives the truth."""
    rows = torch.arange(c.rows, device=c.hidden.device)
    origins, factors, target_factors = (
        x[: c.rows].to(c.arithmetic) for x in (origins, factors, target_factors)
    )
    weights = factors[:, None] * (c.logits() - origins[:, None]).exp()
    weights[rows, c.targets[: c.rows]] = target_factors
    return weights.T @ c.hidden[: c.rows].to(c.arithmetic), weights.sum(0)
