"""Training curves for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .history import EpochRecord

__all__ = ["TensorBoardLog"]

_OURS = ".atjt"  # suffix of our files: the folder may hold curves of other programs


class TensorBoardLog:
    """Writes every epoch's ``EpochRecord.scalars`` to ``folder``, which the first epoch creates;
    give it to ``fit`` as ``on_epoch``.

    A resumed run has one unbroken set of curves. The first call writes the whole history again and
    deletes the files of earlier processes, because they may lack the last epochs, or hold epochs
    after the checkpoint. Files of other programs stay, but a resumed run makes a running
    TensorBoard discard all curves of the folder: use a folder of its own.

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
        """Writes the new epochs of ``history`` to disk."""
        earlier: list[Path] = []
        if self._writer is None:
            earlier = list(self.folder.glob(f"events.out.tfevents.*{_OURS}"))
            # A running TensorBoard then discards the curves that it read from them.
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
        """Closes the file; a later call starts a new one."""
        if self._writer is not None:
            self._writer.close()
        self._writer, self._written = None, 0
