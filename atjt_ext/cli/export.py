"""The command ``atjt export``: a run's recommender in files that other programs read."""

from __future__ import annotations

import json
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from .. import __version__
from ..runs.build import trainer_for
from ..runs.export import export_onnx, export_safetensors
from ..runs.folder import Run
from .parser import CommandParser

__all__ = ["export_parser", "run_export"]

_FORMATS = {"safetensors": export_safetensors, "onnx": export_onnx}


def export_parser() -> ArgumentParser:
    """Options: a run, a folder, and a format."""
    parser = CommandParser(
        allow_abbrev=False, description="Item table and encoder of a run, for other programs."
    )
    parser.add_argument("--run", type=str, required=True, help="run folder")
    parser.add_argument("--out", type=str, required=True, help="folder to write")
    parser.add_argument(
        "--format",
        choices=list(_FORMATS),
        default="safetensors",
        help="safetensors: item table and all parameters; onnx: encoder and item table",
    )
    return parser


def run_export(options: Namespace, console: Console) -> int:
    """Exports; returns the exit status."""
    run = Run(Path(options.run))
    config, sequences = run.config(), run.sequences()
    # What is noise in the histories is no part of an export, and load_trainer would learn it.
    trainer = trainer_for(sequences, config, "cpu")
    trainer.load(run.checkpoint_path, num_users=sequences.num_users)
    metadata = {
        "atjt_ext": __version__,
        "model": config.model.name,
        "config": json.dumps(config.as_dict()),
    }
    paths = _FORMATS[options.format](trainer, options.out, sequences.item_ids, metadata=metadata)
    for path in paths:
        console.print(f"{path}: {path.stat().st_size:,} bytes")
    return 0
