"""Shared fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import atjt_ext
from atjt_ext.data import (
    LeaveOneOut,
    PlantedNoise,
    leave_one_out,
    simulate_interactions,
    to_sequences,
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tests are tiny: on a busy machine a second thread costs far more than it brings."""
    torch.set_num_threads(1)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device the operations run on; CUDA needs a GPU and kernels for it."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device that torch can use")
        if not atjt_ext.build_info()["gpu_usable"]:
            pytest.skip("atjt_ext was built without CUDA kernels")
    return torch.device(request.param)


@pytest.fixture
def num_threads() -> Iterator[None]:
    """Lets a test call torch.set_num_threads and puts the number back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def split() -> LeaveOneOut:
    """120 users, 30% of them with half of their items replaced."""
    interactions = simulate_interactions(
        num_users=120,
        num_items=60,
        seed=3,
        noise=PlantedNoise(noisy_user_share=0.3),
        mean_length=10,
        max_length=30,
    )
    return leave_one_out(to_sequences(interactions))
