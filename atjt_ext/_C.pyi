"""Kernels behind atjt_ext.ops. Private."""

from collections.abc import Sequence
from typing import TypedDict

from torch import Tensor

class _BuildFacts(TypedDict):
    version: str
    cuda_architectures: str | None
    cuda_toolkit: str | None
    openmp: bool
    cpu_isas: list[str]

def build_facts() -> _BuildFacts: ...
def cuda_device_count() -> int: ...
def cpu_isa() -> str: ...
def use_cpu_isa(name: str) -> None: ...
def keyed_draws(
    row_keys: Tensor,
    *,
    out: Tensor,
    purpose: int,
    seed: int,
    step: int,
    seed_tensor: Tensor | None,
    step_tensor: Tensor | None,
    num_threads: int,
) -> None: ...
def keyed_dropout(
    values: Tensor,
    row_keys: Tensor,
    positions: Tensor,
    *,
    out: Tensor,
    threshold: int,
    layer: int,
    seed: int,
    step: int,
    seed_tensor: Tensor | None,
    step_tensor: Tensor | None,
    num_threads: int,
) -> None: ...
def random_replacement(
    sequences: Tensor,
    *,
    row_keys: Tensor | None,
    alias_table: Tensor | None,
    features: Sequence[Tensor],
    feature_tables: Sequence[Tensor],
    out: Tensor,
    replaced: Tensor,
    noise_labels: Tensor,
    features_out: Sequence[Tensor],
    num_items: int,
    padding_idx: int,
    num_targets: int,
    sequence_fraction: float | None,
    sequence_probability: float | None,
    num_replacements: int | None,
    replace_ratio: float | None,
    replace_probability: float | None,
    avoid_history: bool,
    seed: int,
    step: int,
    seed_tensor: Tensor | None,
    step_tensor: Tensor | None,
    num_threads: int,
) -> None: ...
def alias_table(weights: Tensor, *, out: Tensor) -> None: ...
def reweighted_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    row_scale: Tensor | None,
    losses: Tensor,
    grad_logits: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    num_threads: int,
) -> None: ...
def reweighted_binary_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    row_scale: Tensor | None,
    losses: Tensor,
    grad_logits: Tensor | None,
    label_smoothing: float,
    num_threads: int,
) -> None: ...
def linear_cross_entropy_workspace(hidden: Tensor, classes: int) -> tuple[int, int]: ...
def linear_cross_entropy(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None,
    rows_counted: Tensor | None,
    scale: float,
    allow_tf32: bool,
    losses: Tensor,
    origins: Tensor,
    sums: Tensor,
    mean_embedding: Tensor | None,
    kept: Tensor | None = ...,
    kept_origins: Tensor | None = ...,
    workspace: Tensor | None,
    num_threads: int,
) -> None: ...
def linear_cross_entropy_kept_shape(itemsize: int) -> tuple[int, int]: ...
def linear_cross_entropy_table_sums(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    *,
    kept: Tensor,
    kept_origins: Tensor,
    origins: Tensor,
    factors: Tensor,
    target_factors: Tensor,
    table_sums: Tensor,
    bias_sums: Tensor | None,
    num_threads: int,
) -> None: ...
def linear_cross_entropy_table_gradient(
    hidden: Tensor,
    table: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None,
    rows_counted: Tensor | None,
    scale: float,
    allow_tf32: bool,
    origins: Tensor,
    factors: Tensor,
    target_factors: Tensor,
    unscale: Tensor | None,
    shift: Tensor | None,
    grad_table: Tensor,
    grad_bias: Tensor | None,
    accumulate: bool,
    workspace: Tensor | None,
    num_threads: int,
) -> None: ...
def candidate_scores(
    hidden: Tensor,
    table: Tensor,
    candidates: Tensor,
    *,
    scores: Tensor,
    ignore_index: int,
    num_threads: int,
) -> None: ...
def candidate_hidden_gradient(
    table: Tensor,
    candidates: Tensor,
    grad_scores: Tensor,
    *,
    grad_hidden: Tensor,
    ignore_index: int,
    num_threads: int,
) -> None: ...
def candidate_parts(pairs: int) -> int: ...
def candidate_table_gradient(
    hidden: Tensor,
    grad_scores: Tensor,
    order: Tensor,
    slots: Tensor,
    *,
    grad_table: Tensor,
    parts: Tensor,
    num_threads: int,
) -> None: ...
def pair_scores(
    hidden: Tensor,
    table: Tensor,
    pair_rows: Tensor,
    pair_classes: Tensor,
    *,
    bias: Tensor | None,
    scores: Tensor,
    num_threads: int,
) -> None: ...
def count_at_least(
    hidden: Tensor,
    table: Tensor,
    thresholds: Tensor,
    *,
    bias: Tensor | None,
    counts: Tensor,
    num_threads: int,
) -> None: ...
def scale_gradient(gradient: Tensor, factor: Tensor, *, num_threads: int) -> None: ...
