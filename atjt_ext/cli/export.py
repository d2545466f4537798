"""Export the item table and the encoder of a run for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .parser import CommandParser

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

__all__ = ["add_options", "execute"]


def add_options(parser: CommandParser, arguments: Sequence[str]) -> None:
    parser.add_run()
    parser.add_argument("--out", type=str, required=True, help="folder to write")
    text = "safetensors: item table and all parameters; onnx: encoder and item table"
    kinds = ["safetensors", "onnx"]
    parser.add_argument("--format", choices=kinds, default=kinds[0], help=text)


def execute(options: Namespace, console: Console) -> int:
    """Exports, and prints the files with their sizes."""
    from .. import __version__
    from ..data.locks import exclusive
    from ..runs.build import load_models
    from ..runs.export import export_onnx, export_safetensors
    from ..runs.folder import Run

    run, out = Run(Path(options.run)), Path(options.out)
    config = run.config()
    metadata = {"atjt_ext": __version__, "model": config.model.name}
    metadata["config"] = json.dumps(config.as_dict())
    export = {"safetensors": export_safetensors, "onnx": export_onnx}[options.format]
    with exclusive(out, "atjt export"):
        sequences = run.sequences()
        models = load_models(run, sequences, device="cpu", reading=False)
        paths = export(models, out, sequences.item_ids, metadata=metadata)
    for path in paths:
        console.print(f"{path}: {path.stat().st_size:,} bytes")
    return 0
