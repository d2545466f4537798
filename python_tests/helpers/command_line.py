"""The command line on little data: its options, and the one line of a refusal."""

from __future__ import annotations

import pytest

from atjt_ext.cli.main import main

SMALL = ["--batch_size=32", "--max_length=10", "--embedding_dim=16", "--num_blocks=1"]
SMALL += ["--epochs=4"]
# For recipes that train a noise model.
SMALL_NOISE_MODEL = ["--noise_embedding_dim=8", "--gate_auc=0"]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line that a refused command prints on stderr."""
    assert main(list(arguments)) in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]
