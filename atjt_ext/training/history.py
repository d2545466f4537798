"""The record of an epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..models.options import require, require_fields, require_known
from ..recognition.weighting import WeightSummary

__all__ = ["EpochRecord"]


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch of joint training.

    Attributes:
        epoch: counted from 1 over all phases.
        recommender_loss: mean of the weighted losses of its steps.
        noise_loss: mean of the noise models' losses; None without noise models.
        noise_auc: held-out AUC of the noise models after the epoch; None without noise models.
        weights: spread of the weights that the epoch used.
        weights_used: ``all``, ``some`` or ``none`` of the folds had weights other than 1, from any
            source.
        valid: validation metrics; empty without validation data.
        seconds: wall time of the training steps.
        learning_rate: the recommender's in the last step; None in records of early releases.
    """

    epoch: int
    recommender_loss: float
    noise_loss: float | None
    noise_auc: float | None
    weights: WeightSummary
    weights_used: str
    valid: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    learning_rate: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def scalars(self) -> dict[str, float]:
        """All numbers by name except None, for a tracker to log at ``epoch``."""
        values = {
            "loss/recommender": self.recommender_loss,
            "loss/noise": self.noise_loss,
            "noise/held_out_AUC": self.noise_auc,
            **{f"weights/{name}": value for name, value in self.weights.as_dict().items()},
            **{f"valid/{name}": value for name, value in self.valid.items()},
            "learning_rate": self.learning_rate,
            "seconds": self.seconds,
        }
        return {name: value for name, value in values.items() if value is not None}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> EpochRecord:
        """The inverse of :meth:`as_dict`.

        Raises:
            TypeError: a field is missing, unknown or of another type.
            ValueError: a value is out of range.
        """
        if not isinstance(values, dict):
            raise TypeError(f"the record of an epoch wanted, got {type(values).__name__}")
        weights = values.get("weights")
        require_fields(WeightSummary, weights)
        record = {**values, "weights": WeightSummary(**weights)}  # type: ignore[arg-type]
        require_fields(EpochRecord, record)
        made = EpochRecord(**record)
        require("epoch", made.epoch, "at least 1", made.epoch >= 1)
        require_known("weights_used", made.weights_used, ("all", "some", "none"))
        auc = {} if made.noise_auc is None else {"noise_auc": made.noise_auc}
        for name, value in {**auc, **made.valid}.items():
            require(name, value, "in [0, 1]", 0 <= value <= 1)
        return made
