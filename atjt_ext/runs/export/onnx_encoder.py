"""The encoder as an ONNX model: from a history to the state that scores item vectors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...data.files import write_atomically
from ...models.inference import inference
from ...models.scoring import encode
from ...training.joint_models import JointModels
from ._common import require_item_table, require_package, write_item_ids

__all__ = ["export_onnx"]

ENCODER, TABLE = "encoder.onnx", "item_table.npy"
# The size limit of protocol buffers, and so of an ONNX model in one file.
_MAX_BYTES = 2**31 - 2**20


class _LastState(nn.Module):
    """``sequences [B, L]`` (and ``input_weight [B, L]``) -> the state after them ``[B, D]``."""

    def __init__(self, recommender: Any) -> None:
        super().__init__()
        self.recommender = recommender

    def forward(self, sequences: Tensor, input_weight: Tensor | None = None) -> Tensor:
        if input_weight is None and hasattr(self.recommender, "last_state"):
            state: Tensor = self.recommender.last_state(sequences)
            return state
        return encode(self.recommender, sequences, input_weight)[:, -1]


def export_onnx(
    models: JointModels,
    folder: str | Path,
    item_ids: Sequence[str],
    *,
    metadata: Mapping[str, str] | None = None,
) -> list[Path]:
    """Writes encoder.onnx, item_table.npy and item_ids.json to ``folder``.

    The encoder takes ``sequences [B, L]`` int64 (item codes, oldest first, 0 = padding on the
    left; any B, and L up to ``max_length``) and returns ``state [B, D]`` float32. If the run weighs
    inputs, it also takes ``input_weight [B, L]`` float32 in [0, 1]: 1 for items that were not
    judged. The scores of all items are ``state @ item_table.T`` with
    ``item_table [num_items + 1, D]`` float32, whose row 0 is padding.

    Args:
        models: their recommender has ``encode`` and ``item_table``. If sizes in ``encode`` depend
            on the data, torch can't export it; the recommender then needs ``last_state``:
            ``[B, L] -> [B, D]``.
        folder: created if missing; files of these names are replaced.
        item_ids: the id of each item 1..num_items (``Sequences.item_ids``).
        metadata: written into the ONNX model.

    Returns:
        The paths of the three files.

    Raises:
        ValueError: a pointwise recommender, a wrong number of ids, a model of 2 GiB or more, or a
            model that torch can't export.
        ImportError: onnx or onnxscript is not installed.
    """
    recommender = models.recommender
    require_item_table(recommender)
    require_package("onnx")
    require_package("onnxscript")
    size = sum(tensor.nbytes for tensor in recommender.state_dict().values())
    if size > _MAX_BYTES:
        raise ValueError(
            f"{type(recommender).__name__} has {size / 2**30:.1f} GiB of parameters, an ONNX file "
            "can hold 2: export safetensors instead"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with inference(recommender):
        program = _program(models)
        table = recommender.item_table().detach().float().cpu().numpy()
    program.model.metadata_props.update(metadata or {})
    ids = write_item_ids(folder, item_ids, recommender.num_items)
    write_atomically(folder / ENCODER, program.save)
    write_atomically(folder / TABLE, lambda temporary: _save_array(temporary, table))
    return [folder / ENCODER, folder / TABLE, ids]


def _program(models: JointModels) -> Any:
    # The exporter would take sizes of 1 for constants.
    rows, length = 3, min(2, models.config.max_length)
    sequences = torch.ones(rows, length, dtype=torch.int64, device=models.device)
    sequences[0, 0] = 0
    inputs: dict[str, Tensor] = {"sequences": sequences}
    if models.config.weighs_inputs:
        inputs["input_weight"] = torch.ones(rows, length, device=models.device)
    any_size = torch.export.Dim.DYNAMIC
    with _quiet_exporter():
        try:
            return torch.onnx.export(
                _LastState(models.recommender).eval(),
                tuple(inputs.values()),
                dynamo=True,
                dynamic_shapes={name: {0: any_size, 1: any_size} for name in inputs},
                input_names=list(inputs),
                output_names=["state"],
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise ValueError(
                f"torch can't export the encoder of {type(models.recommender).__name__} to ONNX "
                f"({reason}); a method last_state(sequences) without sizes that depend on the data "
                "helps"
            ) from error


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hides the exporter's warnings about its own code and about optional packages."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        log.setLevel(level)


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:  # np.save appends .npy to other names
        np.save(file, array)
