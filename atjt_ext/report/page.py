"""Renders contents and figures into ``template.html``: the page of a run, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..data.errors import printable
from ..data.files import write_text_atomically
from ..data.sequences import noisy_users, per_user
from ..evaluation.detection import calibration_error
from ..recognition.weighting import summarise_weights
from ..runs.folder import Run
from .contents import Contents, contents_of, option_tables
from .figures import (
    Figure,
    calibration_figure,
    curves_figure,
    roc_figure,
    segments_figure,
    weights_figure,
)

__all__ = ["render", "write_page"]

_FOLDER = Path(__file__).parent


def write_page(
    run: Run, path: str | Path, *, top: int = 12, device: torch.device | str | None = None
) -> Contents:
    """Writes the page of a finished run to ``path`` and returns its contents.

    Args:
        run: the run folder; the page compares the run with its baseline in ``equal_weights``.
        path: HTML file to write.
        top: most suspicious users and interactions to list.
        device: device that ranks the test targets again.

    Raises:
        CheckpointError: no run, or an unfinished run.
    """
    contents = contents_of(run, device=device)
    write_text_atomically(Path(path), render(contents, top=top))
    return contents


def render(contents: Contents, *, top: int) -> str:
    """The page as text; ids and options are escaped, and so are characters that turn the direction
    of text or are invisible."""
    groups, audit = _weight_groups(contents), contents.audit
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("template.html").render(
        c=contents,
        style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),
        runs=list(contents.metrics),
        training=_training(contents),
        weights=None if not groups else weights_figure(groups),
        weight_groups=[_weight_group(label, group) for label, group in groups.items()],
        noise=_noise(contents),
        groups=_groups(contents),
        users=audit.users().head(top).to_dicts() if audit else [],
        suspicions=audit.most_suspicious(top) if audit else [],
        parts=option_tables(contents.config),
    )
    # The template's macros leave empty lines.
    return printable(page.lstrip(), keep="\n")


def _training(contents: Contents) -> list[Figure]:
    watched, histories = contents.watched, contents.histories
    kept = {run: metrics["kept_epoch"] for run, metrics in contents.metrics.items()}
    figures = [
        curves_figure(
            "validation",
            f"Validation {watched}",
            {run: [(r.epoch, r.valid[watched]) for r in records if watched in r.valid]
             for run, records in histories.items()},
            kept=kept,
            caption="Higher is better. The ring marks the epoch whose model was kept.",
        ),
        curves_figure(
            "loss",
            "Training loss of the recommender",
            {run: [(r.epoch, r.recommender_loss) for r in records]
             for run, records in histories.items()},
            kept=kept,
            caption="Lower is a closer fit. Weighted and equal losses average over different "
            "examples: compare slopes, not heights.",
        ),
    ]  # fmt: skip
    areas = {
        run: [(r.epoch, r.noise_auc) for r in records if r.noise_auc is not None]
        for run, records in histories.items()
    }
    if areas := {run: curve for run, curve in areas.items() if curve}:
        title = "Noise models: held-out AUC"
        caption = (
            "How well the noise models detect artificial noise on users that they did not train "
            "on. Dotted: random guessing."
        )
        figures.append(
            curves_figure("noise-auc", title, areas, kept=kept, reference=0.5, caption=caption)
        )
    return figures


def _weight_groups(contents: Contents) -> dict[str, torch.Tensor]:
    """The known weights by label, split into clean and noise if the truth is known; empty if all
    weights are 1."""
    known = ~contents.weights.isnan()
    weights = contents.weights[known]
    truth = contents.audit.sequences.is_noise if contents.audit else None
    if not len(weights) or bool((weights == 1).all()):
        return {}
    if truth is None or not truth[known].any() or truth[known].all():
        return {"all": weights}
    return {"clean": weights[~truth[known]], "planted noise": weights[truth[known]]}


def _weight_group(label: str, weights: torch.Tensor) -> dict[str, Any]:
    return {
        "label": label,
        "count": len(weights),
        "below_half": float((weights < 0.5).double().mean()),
        **summarise_weights(weights).as_dict(),
    }


def _noise(contents: Contents) -> list[Figure]:
    """Figures of detection; none if the truth is unknown or holds one class only, or if nothing is
    judged."""
    if (audit := contents.audit) is None or (truth := audit.sequences.is_noise) is None:
        return []
    judged = ~audit.noise_logits.isnan()
    if not truth.any() or truth.all() or not judged.any():
        return []
    by_user, noisy = per_user(audit.sequences, audit.noise_logits), noisy_users(audit.sequences)
    scores = {"interactions": (audit.noise_logits[judged], truth[judged])}
    if not noisy.all():
        scores["users"] = (by_user[~by_user.isnan()], noisy[~by_user.isnan()])
    bins = audit.calibration()
    return [roc_figure(scores), calibration_figure(bins, calibration_error(bins))]


def _groups(contents: Contents) -> list[dict[str, Any]]:
    runs, watched = list(contents.metrics), contents.watched
    popularity = "By popularity of the target", "users of the target", contents.by_popularity
    groups = {
        "by-length": ("By length of history", "history length", contents.by_length),
        "by-popularity": popularity,
    }
    return [
        {
            "name": name,
            "heading": heading,
            "column": column,
            "segments": found,
            "figure": segments_figure(name, f"{watched}, {heading.lower()}", found, watched, runs),
        }
        for name, (heading, column, found) in groups.items()
    ]
