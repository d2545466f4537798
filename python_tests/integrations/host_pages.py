"""The pages of docs/integrations, run as they stand; a joint loss that weighs from the start."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atjt_ext import JointLoss
from atjt_ext.data import Batch, simulate_interactions
from atjt_ext.recognition.calibration import Calibration

DOCS = Path(__file__).parents[2] / "docs" / "integrations"
CHANGED = "# <-"


def blocks(page: str, language: str = "python") -> list[str]:
    """The code blocks of ``docs/integrations/<page>.md``, in order."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def changed_lines(code: str) -> int:
    """How many lines are marked as ours."""
    return sum(line.rstrip().endswith(CHANGED) for line in code.splitlines())


def write_ratings(folder: Path) -> None:
    """``ratings.csv`` as the pages expect it."""
    interactions = simulate_interactions(
        num_users=50, num_items=40, seed=1, mean_length=10, max_length=20
    )
    interactions.frame.select("user", "item", "time").write_csv(folder / "ratings.csv")


def run_page(page: str, folder: Path) -> dict[str, Any]:
    """Runs all Python blocks of a page as one module, in ``folder`` (the working directory).

    Returns:
        The names of that module.
    """
    write_ratings(folder)
    # In sys.modules, since hosts pickle classes by the name of their module.
    module = sys.modules["integration_page"] = types.ModuleType("integration_page")
    for code in blocks(page):
        exec(compile(code, str(DOCS / f"{page}.md"), "exec"), module.__dict__)
    return module.__dict__


def trusted(joint: JointLoss) -> JointLoss:
    """``joint`` after warm-up and gate, with noise models whose logits differ."""
    joint.steps = joint.warmup_steps
    joint.noise_models.calibrations = [Calibration(0.9, 0.5, 0.3, True)] * 2
    for model in joint.noise_models.models:
        model.classifier[-1].weight.data *= 30
    return joint


@torch.no_grad()
def row_weights_of(joint: JointLoss, sequences: Tensor, users: Tensor) -> Tensor:
    """The weights ``[B]`` that ``joint`` gives the rows; they differ."""
    weights = joint.noise_models.weights(Batch(users, users, sequences))
    assert weights.std() > 0.01
    return weights


def require_same_loss_and_gradients(
    ours: nn.Module, theirs: nn.Module, found: Tensor, wanted: Tensor
) -> None:
    """``found``, the loss of ``ours``, is ``wanted``, that of ``theirs``; so are its gradients."""
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    wanted.backward()
    found.backward()
    for (name, mine), their in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, their.grad, rtol=1e-4, atol=1e-6, msg=name)
