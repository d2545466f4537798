"""Figures of a run. Needs matplotlib (``atjt_ext[plots]``), imported when first used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..evaluation.auc import auc, roc_curve
from ..experiment.figures import require_matplotlib
from ..training.history import EpochRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "plot_noise",
    "plot_training",
]

# Told apart without colour too: every series has its own line style or hatch.
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#1b6ca8", "linestyle": "-"},
    {"color": "#d1495b", "linestyle": "--"},
)


def _figure(columns: int) -> tuple[Figure, list[Axes]]:
    figure = require_matplotlib()(figsize=(5.2 * columns, 3.9), layout="constrained")
    axes = [figure.add_subplot(1, columns, 1 + column) for column in range(columns)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", alpha=0.25)
    return figure, axes


def plot_training(
    path: str | Path, histories: dict[str, list[EpochRecord]], *, metric: str = "NDCG@10"
) -> None:
    """Validation ``metric`` of every run by epoch; noise AUC and weights of those that weigh.

    Args:
        path: file to write; its suffix decides the format.
        histories: at most two runs by name.

    Raises:
        ValueError: more runs than that, or none.
    """
    if not 1 <= len(histories) <= len(_STYLES):
        raise ValueError(f"histories must hold 1..{len(_STYLES)} runs, got {len(histories)}")
    weighing = {
        name: history for name, history in histories.items() if history[0].noise_loss is not None
    }
    figure, axes = _figure(3 if weighing else 1)
    for (name, history), style in zip(histories.items(), _STYLES, strict=False):
        epochs = [record.epoch for record in history]
        axes[0].plot(epochs, [record.valid[metric] for record in history], label=name, **style)
        if name in weighing:
            areas = [np.nan if r.noise_auc is None else r.noise_auc for r in history]
            means = np.array([record.weights.mean for record in history])
            spread = np.array([record.weights.std for record in history])
            axes[1].plot(epochs, areas, **style)
            axes[2].plot(epochs, means, **style)
            axes[2].fill_between(epochs, means - spread, means + spread, alpha=0.2, **style)
    axes[0].set(title=f"validation {metric}", xlabel="epoch", ylim=(0, None))
    axes[0].legend(frameon=False)
    if weighing:
        axes[1].axhline(0.5, color="0.4", linestyle=":", label="guessing")
        axes[1].set(title="noise model: held-out AUC", xlabel="epoch", ylim=(0.4, 1.0))
        axes[1].legend(frameon=False)
        axes[2].set(title="sample weights: mean ± std", xlabel="epoch", ylim=(0, 1.1))
    figure.savefig(path, dpi=150)


def plot_noise(path: str | Path, noise_logits: Tensor, weights: Tensor, noisy: Tensor) -> None:
    """How sequences known to be noisy are told from clean ones.

    Args:
        path: file to write; its suffix decides the format.
        noise_logits: ``[U]`` out-of-fold noise logits.
        weights: ``[U]`` the sample weights made of them.
        noisy: ``[U]`` bool, the truth.
    """
    figure, axes = _figure(2)
    bins = np.linspace(0, max(1.0, float(weights.max())), 31).tolist()
    styles: list[dict[str, Any]] = [
        {"label": "clean sequences", "color": "#1b6ca8"},
        {"label": "noisy sequences", "color": "#d1495b", "hatch": "///"},
    ]
    for chosen, style in zip((~noisy, noisy), styles, strict=True):
        if bool(chosen.any()):
            share = np.full(int(chosen.sum()), 1.0 / int(chosen.sum()))
            axes[0].hist(weights[chosen].numpy(), bins=bins, weights=share, alpha=0.55, **style)
    axes[0].set(title="sample weight", xlabel="weight", ylabel="share of the sequences")
    axes[0].legend(frameon=False)
    false_rate, true_rate = roc_curve(noise_logits, noisy)
    area = auc(noise_logits, noisy)
    axes[1].plot(false_rate, true_rate, **_STYLES[0])
    axes[1].plot([0, 1], [0, 1], color="0.4", linestyle=":")
    axes[1].set(
        title="finding the noisy sequences" + ("" if area is None else f" (AUC {area:.3f})"),
        xlabel="clean sequences flagged",
        ylabel="noisy sequences found",
    )
    figure.savefig(path, dpi=150)
