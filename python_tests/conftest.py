"""Shared fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import atjt_ext
import emulator
from atjt_ext.cli.main import main
from atjt_ext.data import (
    LeaveOneOut,
    PlantedNoise,
    inject_noise,
    leave_one_out,
    simulate_interactions,
    to_sequences,
)
from atjt_ext.runs.folder import Run
from helpers.command_line import SMALL
from helpers.hostile_run import small_run


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tests are tiny: on a busy machine a second thread costs far more than it brings."""
    torch.set_num_threads(1)


@pytest.fixture(
    params=[
        "cpu",
        pytest.param("emulator", marks=pytest.mark.emulator),
        pytest.param("cuda", marks=pytest.mark.cuda),
    ]
)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Where the operations run: CPU kernels, CUDA kernels on the host, CUDA kernels on a GPU.

    On the emulator tensors are on the CPU; `emulator.runs_cuda_kernels` tells it from the CPU.
    """
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device that torch can use")
        if not atjt_ext.build_info()["gpu_usable"]:
            pytest.skip("atjt_ext was built without CUDA kernels")
        yield torch.device("cuda")
    elif request.param == "emulator":
        with emulator.emulated_cuda():
            yield torch.device("cpu")
    elif emulator.SANITIZE:
        with emulator.sanitized_cpu():
            yield torch.device("cpu")
    else:
        yield torch.device("cpu")


@pytest.fixture(
    params=[
        pytest.param("emulator", marks=pytest.mark.emulator),
        pytest.param("cuda", marks=pytest.mark.cuda),
    ]
)
def cuda(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Where CUDA kernels run: on the host, emulated, or on a GPU."""
    if request.param == "emulator":
        with emulator.emulated_cuda():
            yield torch.device("cpu")
        return
    if not (torch.cuda.is_available() and atjt_ext.build_info()["gpu_usable"]):
        pytest.skip("no CUDA device that torch and atjt_ext can use")
    yield torch.device("cuda")


@pytest.fixture
def cuda_kernels() -> None:
    """For tests with the mark `cuda` that have no CPU twin."""
    if not (torch.cuda.is_available() and atjt_ext.build_info()["gpu_usable"]):
        pytest.skip("no CUDA device that torch and atjt_ext can use")


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


@pytest.fixture(scope="session")
def noisy() -> LeaveOneOut:
    """600 users, a fifth of their training interactions replaced."""
    made = simulate_interactions(num_users=600, num_items=120, seed=2, mean_length=14)
    clean = replace(to_sequences(made), is_noise=None)
    return leave_one_out(inject_noise(clean, PlantedNoise(diffuse_share=0.2), seed=0))


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """See :mod:`small_run`; with a baseline. To be changed in copies only."""
    return small_run(tmp_path_factory.mktemp("runs") / "<i>&run")


@pytest.fixture(scope="session")
def ratings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of ratings."""
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    interactions = simulate_interactions(
        num_users=60, num_items=40, seed=1, mean_length=8, max_length=20
    )
    interactions.frame.select("user", "item", "time").write_csv(path)
    return path


@pytest.fixture(scope="session")
def trained_folder(ratings_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `atjt train` on it; whoever writes in it leaves the same."""
    out = tmp_path_factory.mktemp("runs") / "a"
    assert main(["train", str(ratings_file), f"--out={out}", *SMALL]) == 0
    return out
