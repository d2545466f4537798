"""Progress of training: a bar on a terminal, and a line per epoch."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..data.errors import printable
from .history import EpochRecord

__all__ = ["FitProgress"]


class FitProgress:
    """Shows the progress of a fit on ``console``, stderr by default.

    Every line begins with ``title``; ``valid_metric`` is the metric to show.
    """

    def __init__(
        self,
        title: str,
        *,
        total_epochs: int,
        valid_metric: str,
        enabled: bool = True,
        console: Console | None = None,
    ) -> None:
        title = printable(title)
        self._title, self._total_epochs = title, total_epochs
        self._valid_metric, self._enabled = valid_metric, enabled
        self._said: set[str] = set()
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not (enabled and self._console.is_terminal),
        )
        self._task = self._bar.add_task(title, total=None)

    def __enter__(self) -> FitProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def start_epoch(self, epoch: int, steps: int) -> None:
        shown = f"{self._title} epoch {epoch}/{self._total_epochs}"
        self._bar.reset(self._task, total=steps, description=shown)

    def advance(self) -> None:
        self._bar.advance(self._task)

    def end_epoch(self, record: EpochRecord) -> None:
        """Shows one line with the results of the epoch."""
        parts = [
            f"{self._title} epoch {record.epoch:>3}/{self._total_epochs}",
            f"loss {record.recommender_loss:.4f}",
        ]
        if record.noise_loss is not None:
            area = "  none" if record.noise_auc is None else f"{record.noise_auc:.3f}"
            parts.append(f"noise loss {record.noise_loss:.4f} held-out AUC {area}")
            parts.append(f"weights {record.weights.mean:.3f} ± {record.weights.std:.3f}")
        if self._valid_metric in record.valid:
            parts.append(f"valid {self._valid_metric} {record.valid[self._valid_metric]:.4f}")
        parts.append(f"{record.seconds:.1f} s")
        self.message("  ".join(parts))

    def message_once(self, text: str) -> None:
        """Shows a message, unless an earlier one has the same text before its colon."""
        kind = text.split(":")[0]
        if kind not in self._said:
            self._said.add(kind)
            self.message(f"{self._title}: {text}")

    def message(self, text: str) -> None:
        if self._enabled:
            self._console.print(
                printable(text), highlight=False, markup=False, emoji=False, soft_wrap=True
            )
