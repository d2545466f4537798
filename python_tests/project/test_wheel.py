"""An installed wheel works on a machine without a compiler.

cibuildwheel runs this file alone, with pytest, the package's dependencies and no conftest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

import atjt_ext
from atjt_ext import JointTrainer, JointTrainerConfig, LinearReweightedCrossEntropyLoss, SASRec
from atjt_ext.data import PlantedNoise, leave_one_out, simulate_interactions, to_sequences
from atjt_ext.ops import random_replacement

PACKAGE = Path(atjt_ext.__file__).parent


@pytest.mark.parametrize("name", ["py.typed", "_C.pyi", "report/template.html", "report/style.css"])
def test_a_data_file_is_installed(name: str) -> None:
    assert (PACKAGE / name).is_file()


def test_a_wheel_runs_with_openmp_on_the_best_instruction_set_here() -> None:
    info = atjt_ext.build_info()
    assert info["openmp"]
    assert info["cpu_isa"] in info["cpu_isas"]


def test_the_native_loss_is_that_of_torch() -> None:
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(300, 24, generator=random, requires_grad=True)
    table = torch.randn(500, 24, generator=random)
    targets = torch.randint(500, (300,), generator=random)
    ours = LinearReweightedCrossEntropyLoss()(hidden, table, targets)
    (gradient,) = torch.autograd.grad(ours, hidden)
    theirs = torch.nn.functional.cross_entropy(hidden @ table.T, targets)
    (wanted,) = torch.autograd.grad(theirs, hidden)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient, wanted)


def test_draws_are_the_same_on_every_machine() -> None:
    sequences = torch.arange(1, 6401).view(64, 100)
    noisy = random_replacement(sequences, num_items=6400, replace_ratio=0.3, seed=7)
    found = hashlib.sha256(noisy.sequences.numpy().astype("<i8").tobytes()).hexdigest()
    assert found[:16] == "8a20dc0917226fe7"


def test_it_trains_and_judges_noise() -> None:
    noise = PlantedNoise(noisy_user_share=0.3)
    sequences = to_sequences(
        simulate_interactions(num_users=150, num_items=120, seed=0, noise=noise)
    )
    split = leave_one_out(sequences)
    trainer = JointTrainer(
        SASRec(sequences.num_items, embedding_dim=16), config=JointTrainerConfig(epochs=2)
    )
    history = trainer.fit(split.train, split.valid, progress=False)
    assert history[1].recommender_loss < history[0].recommender_loss
    assert split.train.is_noise is not None
    weights = trainer.interaction_weights(split.train)
    assert weights[split.train.is_noise].mean() < weights[~split.train.is_noise].mean() - 0.1
