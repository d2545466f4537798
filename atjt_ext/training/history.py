"""The record of an epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

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
        return EpochRecord(**{**values, "weights": WeightSummary(**values["weights"])})
