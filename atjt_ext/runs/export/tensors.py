"""The item table and all parameters as safetensors: reading them runs no code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from ...data.files import write_atomically
from ...models.inference import inference
from ...training.joint_models import JointModels
from ._common import require_item_table, require_package, write_item_ids

__all__ = ["export_safetensors"]

MODEL = "model.safetensors"


def export_safetensors(
    models: JointModels,
    folder: str | Path,
    item_ids: Sequence[str],
    *,
    metadata: Mapping[str, str] | None = None,
) -> list[Path]:
    """Writes model.safetensors and item_ids.json to ``folder``.

    The tensors are ``item_table [num_items + 1, D]`` (row 0 is padding) and
    ``recommender.<name>`` for each entry of the recommender's ``state_dict``. A parameter that is
    the table itself is not written again: ``item_table_is`` of the metadata has its name.
    ``metadata`` is added to ``max_length``, ``num_items``, ``weighs_inputs`` and ``item_table_is``;
    :func:`export_onnx` describes the other arguments.

    Returns:
        The paths of both files.

    Raises:
        ValueError: a pointwise recommender, or a wrong number of ids.
        ImportError: safetensors is not installed.
    """
    require_item_table(models.recommender)
    library = require_package("safetensors.torch")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ids = write_item_ids(folder, item_ids, models.recommender.num_items)
    with inference(models.recommender):
        table = models.recommender.item_table().detach()
        tensors = {"item_table": _plain(table)}
        tied = ""
        for name, tensor in models.recommender.state_dict().items():
            if tensor.data_ptr() == table.data_ptr() and tensor.shape == table.shape:
                tied = f"recommender.{name}"
            else:
                tensors[f"recommender.{name}"] = _plain(tensor)
    facts = {
        "max_length": str(models.config.max_length),
        "num_items": str(models.recommender.num_items),
        "weighs_inputs": str(models.config.weighs_inputs).lower(),
        "item_table_is": tied,
        **(metadata or {}),
    }
    path = folder / MODEL
    write_atomically(path, lambda temporary: library.save_file(tensors, temporary, facts))
    return [path, ids]


def _plain(tensor: Tensor) -> Tensor:
    """A copy with its own memory: safetensors refuses views and shared memory."""
    return tensor.detach().cpu().contiguous().clone()
