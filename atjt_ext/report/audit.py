"""Users and interactions that look like noise, with reasons that a person can check."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from ..data import Sequences, leave_one_out
from ..data.files import write_atomically
from ..data.formula_cells import without_formulas
from ..data.locks import exclusive
from ..data.sequences import noisy_users, per_user
from ..evaluation.detection import CalibrationBin, calibration, calibration_error, detection_auc
from ..recognition import Evidence, NoiseRecogniser, RecognitionConfig
from ..runs.build import load_models
from ..runs.folder import Run
from ..training.joint_models import JointModels
from .suspicion import Suspicion

__all__ = [
    "SUSPICIOUS_ABOVE",
    "Audit",
    "audit_run",
    "audit_sequences",
    "audit_trained",
    "users_of_items",
]

SUSPICIOUS_ABOVE = 0.5
"""An interaction with a larger P(noise) is suspicious: more likely noise than not."""


@dataclass(frozen=True, eq=False)
class Audit:
    """The judgement of every interaction of some sequences.

    Args:
        sequences: the judged sequences.
        judge: description of the judge.
        noise_logits: ``[N]`` float32, log odds of noise; NaN is not judged.
        p_noise: ``[N]`` float32, P(noise); 0 where the judge has learned too little, NaN is not
            judged.
        evidence: counts of how often each item and its neighbours are near each other elsewhere.
        held_out_auc: the judge's AUC on artificial noise; None if unknown.
    """

    sequences: Sequences
    judge: str
    noise_logits: Tensor
    p_noise: Tensor
    evidence: Evidence
    held_out_auc: float | None

    @property
    def suspicious(self) -> Tensor:
        """``[N]`` bool: P(noise) above ``SUSPICIOUS_ABOVE``."""
        return self.p_noise > SUSPICIOUS_ABOVE

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """``[N]``, interactions by falling P(noise), then logit; unjudged ones come last."""
        keys = [-np.nan_to_num(v.numpy(), nan=-np.inf) for v in (self.noise_logits, self.p_noise)]
        return np.lexsort(keys)

    @cached_property
    def user_noise(self) -> Tensor:
        """``[num_users]`` float32, the expected share of noise of each user: its mean P(noise)."""
        return per_user(self.sequences, self.p_noise)

    @cached_property
    def item_users(self) -> npt.NDArray[np.int64]:
        """``[num_items]``, the number of users that have each item."""
        return users_of_items(self.sequences)

    @cached_property
    def _owner(self) -> npt.NDArray[np.int64]:
        return self.sequences.owners.numpy()

    @cached_property
    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        """The fields of ``Suspicion`` for every interaction, without ids and truth."""
        sequences, owner = self.sequences, self._owner
        rank = np.empty(len(owner), np.int64)
        rank[self.order] = np.arange(1, len(owner) + 1)
        position = sequences.positions.numpy() + 1
        users = self.item_users
        fewer = np.searchsorted(np.sort(users), users) * (100.0 / len(users))
        item = sequences.items.numpy() - 1
        return {
            "rank": rank,
            "position": position,
            "p_noise": self.p_noise.numpy(),
            "from_end": sequences.lengths.numpy()[owner] - position + 1,
            "item_users": users[item],
            "item_percentile": fewer[item],
            "neighbours": self.evidence.neighbours,
            "neighbours_met": self.evidence.neighbours_met,
            "times_met": self.evidence.times_met,
            "times_expected": self.evidence.times_expected,
            "user_share": self.user_noise.numpy()[owner],
        }

    def most_suspicious(self, count: int) -> list[Suspicion]:
        """At most ``count`` suspicious interactions, the most suspicious first."""
        sequences, truth = self.sequences, self.sequences.is_noise
        found = []
        for at in self.order[: min(count, int(self.suspicious.sum()))].tolist():
            values = {name: column[at].item() for name, column in self._columns.items()}
            if np.isnan(values["user_share"]):
                values["user_share"] = None
            user, item = sequences.user_ids[self._owner[at]], int(sequences.items[at])
            known = None if truth is None else bool(truth[at])
            item_id = sequences.item_ids[item - 1]
            found.append(Suspicion(user=user, item=item_id, is_noise=known, **values))
        return found

    def interactions(self) -> pl.DataFrame:
        """All interactions, the most suspicious first. The columns are the fields of
        ``Suspicion``; ``is_noise`` only where the truth is known."""
        sequences = self.sequences
        users = pl.Series(sequences.user_ids, dtype=pl.String)
        items = pl.Series(sequences.item_ids, dtype=pl.String)
        ids = {"user": users[self._owner], "item": items[sequences.items.numpy() - 1]}
        columns = {**self._columns, **ids}
        if sequences.is_noise is not None:
            columns["is_noise"] = sequences.is_noise.numpy()
        first = ["rank", "user", "position", "item", "p_noise"]
        frame = pl.DataFrame(columns).select(*first, pl.exclude(first))
        return frame.with_columns(pl.col("p_noise", "user_share").fill_nan(None)).sort("rank")

    def users(self) -> pl.DataFrame:
        """All users, the noisiest first. Columns: ``rank``, ``user``, ``length``, expected
        ``noise_share``, number of ``suspicious`` interactions; ``noise_share_true`` only where the
        truth is known."""
        sequences = self.sequences
        columns: dict[str, Any] = {
            "user": pl.Series(sequences.user_ids, dtype=pl.String),
            "length": sequences.lengths.numpy(),
            "noise_share": self.user_noise.numpy(),
            "suspicious": np.bincount(
                self._owner[self.suspicious.numpy()], minlength=sequences.num_users
            ),
        }
        if sequences.is_noise is not None:
            columns["noise_share_true"] = per_user(sequences, sequences.is_noise).numpy()
        frame = pl.DataFrame(columns).with_columns(pl.selectors.float().fill_nan(None))
        frame = frame.sort(
            "noise_share", "suspicious", descending=True, nulls_last=True, maintain_order=True
        )
        return frame.with_row_index("rank", offset=1)

    def detection(self) -> dict[str, float | None]:
        """AUCs of finding the noise, see ``detection_auc``; empty if the truth is unknown."""
        return detection_auc(self.sequences, self.noise_logits)

    def calibration(self) -> list[CalibrationBin]:
        """P(noise) against the truth; empty if the truth is unknown."""
        if self.sequences.is_noise is None:
            return []
        judged = ~self.p_noise.isnan()
        return calibration(self.p_noise[judged], self.sequences.is_noise[judged])

    def summary(self) -> str:
        """One line: how much noise was found, and how reliable that is."""
        count, total = int(self.suspicious.sum()), self.sequences.num_interactions
        area = "unknown" if self.held_out_auc is None else f"{self.held_out_auc:.3f}"
        if not bool((self.p_noise > 0).any()):
            return (
                f"too little is known of the noise (held-out AUC on artificial noise: {area}), "
                "so no interaction is suspicious"
            )
        return (
            f"{count:,} of {total:,} interactions are more likely noise than not; "
            f"expected share of noise {100 * float(self.p_noise.nanmean()):.1f} %; "
            f"held-out AUC on artificial noise {area}"
        )

    def typical(self) -> str:
        """The medians of all interactions, to compare the reasons with."""
        evidence, columns = self.evidence, self._columns
        known = evidence.neighbours > 0
        if not known.any():
            return "no interaction has a neighbour"
        share = np.median(evidence.neighbours_met[known] / evidence.neighbours[known])
        compared = evidence.times_expected > 0
        ratios = evidence.times_met[compared] / evidence.times_expected[compared]
        ratio = np.median(ratios) if compared.any() else 0.0
        return (
            f"the median interaction: item of {np.median(columns['item_users']):.0f} users, "
            f"elsewhere near {100 * share:.0f} % of its neighbours, "
            f"{ratio:.1f} x as often as by chance"
        )

    def truth_summary(self) -> str | None:
        """One line: how well the planted noise is found; None if the truth is unknown."""
        if self.sequences.is_noise is None:
            return None
        found = self.detection()
        areas = [
            f"AUC of {kind} {'-' if (area := found[name]) is None else f'{area:.3f}'}"
            for kind, name in (("interactions", "interaction_AUC"), ("users", "sequence_AUC"))
        ]
        bins = self.calibration()
        error = f"{calibration_error(bins):.3f}" if bins else "-"
        noisy, planted = int(noisy_users(self.sequences).sum()), int(self.sequences.is_noise.sum())
        return (
            f"{planted:,} interactions of {noisy:,} users are planted noise: {', '.join(areas)}, "
            f"calibration error {error}"
        )

    def write(
        self, folder: str | Path, *, kind: str = "parquet", escape_formulas: bool = True
    ) -> list[Path]:
        """Writes ``interactions`` and ``sequences`` (a row per user) to ``folder``.

        Args:
            folder: created if missing.
            kind: ``parquet`` or ``csv``.
            escape_formulas: in CSV, put an apostrophe before ids that a spreadsheet would run
                (:func:`atjt_ext.data.formula_cells.without_formulas`).

        Returns:
            The paths of both files.

        Raises:
            ValueError: another ``kind``.
            FolderInUseError: another process writes to the folder.
        """
        if kind not in ("parquet", "csv"):
            raise ValueError(f"kind must be parquet or csv, got {kind!r}")
        paths = []
        with exclusive(Path(folder), "an audit"):
            for name, frame in (("interactions", self.interactions()), ("sequences", self.users())):
                paths.append(Path(folder) / f"{name}.{kind}")
                if kind == "csv" and escape_formulas:
                    frame = without_formulas(frame)
                write = frame.write_parquet if kind == "parquet" else frame.write_csv
                write_atomically(paths[-1], write)
        return paths


def users_of_items(sequences: Sequences) -> npt.NDArray[np.int64]:
    """``[num_items]``, the number of users that have each item."""
    pairs = sequences.owners * (sequences.num_items + 1) + sequences.items
    items = np.unique(pairs.numpy()) % (sequences.num_items + 1)
    return np.bincount(items, minlength=sequences.num_items + 1)[1:]


def audit_sequences(
    sequences: Sequences, config: RecognitionConfig | None = None, *, seed: int = 0
) -> Audit:
    """Judges whole sequences by the sequences of other users.

    :class:`NoiseRecogniser` describes ``config`` and ``seed``.

    Raises:
        ValueError: fewer than two users, or fewer users than folds.
    """
    recogniser = (
        NoiseRecogniser.usual(sequences, seed=seed)
        if config is None
        else NoiseRecogniser(config, seed=seed).fit(sequences)
    )
    return _by_co_occurrence(sequences, recogniser, "co-occurrence in these sequences")


def audit_run(run: Run, *, device: torch.device | str | None = None) -> Audit:
    """The judgement of a run on the interactions that it was trained on, computed on ``device``
    (None: the CPU).

    For a run whose weights come from no judgement, a new recogniser judges; ``judge`` names it.

    Raises:
        CheckpointError: there is no such run.
    """
    sequences = run.sequences()
    train = leave_one_out(sequences).train
    return audit_trained(load_models(run, sequences, device=device, train=train), train)


def audit_trained(models: JointModels, train: Sequences) -> Audit:
    """:func:`audit_run` for models in memory and the sequences that they were trained on."""
    beliefs = models.beliefs
    recogniser = beliefs.recogniser(train)
    if not beliefs.judges_noise:
        return _by_co_occurrence(train, recogniser, beliefs.judge)
    return Audit(
        sequences=train,
        judge=beliefs.judge,
        noise_logits=models.interaction_noise_logits(train),
        p_noise=1.0 - models.interaction_weights(train),
        evidence=recogniser.evidence(),
        held_out_auc=models.held_out_auc,
    )


def _by_co_occurrence(train: Sequences, recogniser: NoiseRecogniser, judge: str) -> Audit:
    found = recogniser.found
    return Audit(
        sequences=train,
        judge=judge,
        noise_logits=found.noise_logits,
        p_noise=1.0 - found.weights,
        evidence=recogniser.evidence(),
        held_out_auc=found.held_out_auc,
    )
