"""Training curves for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .history import EpochRecord

__all__ = ["TensorBoardLog"]

_OURS = ".atjt"  # ends the names of our files: a folder may hold curves of others


class TensorBoardLog:
    """Writes every epoch's ``EpochRecord.scalars`` to a folder; give it to ``fit`` as ``on_epoch``.

    A run that goes on in the same folder has one unbroken set of curves: the first call writes the
    whole history it is given again, and takes the place of what an earlier process left, which may
    lack its last epochs, or have more than the checkpoint that training went on from. Files that
    others wrote there stay, but where a run goes on TensorBoard is told to forget what it has read
    of the folder: better give it one of its own.

    Args:
        folder: made with the first epoch.

    Raises:
        ImportError: tensorboard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "curves for TensorBoard need the package tensorboard: pip install 'atjt_ext[track]'"
            ) from error
        self.folder = Path(folder)
        self._make_writer: Any = SummaryWriter
        self._writer: Any = None
        self._written = 0

    def __call__(self, history: list[EpochRecord]) -> None:
        """Writes what is new in ``history``; it is on disk afterwards."""
        earlier: list[Path] = []
        if self._writer is None:
            earlier = list(self.folder.glob(f"events.out.tfevents.*{_OURS}"))
            # Tells a TensorBoard that is looking to forget what it has read of them.
            purge = 1 if earlier else None
            self._writer = self._make_writer(
                str(self.folder), purge_step=purge, filename_suffix=_OURS
            )
        for record in history[self._written :]:
            for name, value in record.scalars().items():
                self._writer.add_scalar(name, value, global_step=record.epoch)
        self._written = len(history)
        self._writer.flush()
        for path in earlier:
            path.unlink()

    def close(self) -> None:
        """Closes the file; a later call begins anew."""
        if self._writer is not None:
            self._writer.close()
        self._writer, self._written = None, 0
