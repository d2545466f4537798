"""The command line on little data: options for it, and what a refusal is."""

from __future__ import annotations

import pytest

from atjt_ext.cli.main import main

SMALL = ["--batch_size=32", "--max_length=10", "--embedding_dim=16", "--num_blocks=1"]
SMALL += ["--noise_embedding_dim=8", "--noise_hidden_dims=[16]", "--gate_auc=0", "--epochs=4"]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a refused command prints."""
    assert main(list(arguments)) in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]
