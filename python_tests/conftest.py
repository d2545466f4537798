"""Shared fixtures."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import hypothesis
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
from helpers.small_run import small_interactions

# "ci" draws the same examples in every run, so that a change fails for its own fault only. "long"
# draws new ones (`make fuzz`). A test that sets its own number of examples keeps it in both.
hypothesis.settings.register_profile("ci", max_examples=500, deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", max_examples=5000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """One thread for torch: tests are tiny, and a second thread would slow a busy machine down."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Each test draws the same numbers from torch in every run, alone or after others."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _one_giant_at_a_time(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Tests that need many gigabytes wait for each other, on all workers."""
    if not re.search("to_the_31|million", request.node.name):
        yield
        return
    with (tmp_path_factory.getbasetemp().parent / "giants").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


EMULATOR = pytest.param("emulator", marks=pytest.mark.emulator)
CUDA = pytest.param("cuda", marks=pytest.mark.cuda)


@contextmanager
def _kernels_of(name: str) -> Iterator[torch.device]:
    """Within, the ops run these kernels on tensors of the device that it gives."""
    if name == "cuda":
        _require_gpu()
        yield torch.device("cuda")
    elif name == "cpu" and not emulator.SANITIZE:
        yield torch.device("cpu")
    else:
        with emulator.emulated_cuda() if name == "emulator" else emulator.sanitized_cpu():
            yield torch.device("cpu")


def _require_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device that torch can use")
    if not atjt_ext.build_info()["gpu_usable"]:
        pytest.skip("atjt_ext has no CUDA kernels for this GPU")


@pytest.fixture(params=["cpu", EMULATOR, CUDA])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The device of the tensors: for CPU kernels, CUDA kernels on the host, CUDA kernels on a GPU.

    Emulated kernels take CPU tensors; `emulator.runs_cuda_kernels` tells both from CPU kernels.
    """
    with _kernels_of(request.param) as found:
        yield found


@pytest.fixture(params=[EMULATOR, CUDA])
def cuda(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """As ``device``, for CUDA kernels only."""
    with _kernels_of(request.param) as found:
        yield found


@pytest.fixture
def cuda_kernels() -> None:
    """For tests marked ``cuda`` that need a GPU and have no emulated twin."""
    _require_gpu()


@pytest.fixture
def num_threads() -> Iterator[None]:
    """Restores the number of torch's threads after the test."""
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
    """The run of :mod:`helpers.hostile_run`, with a baseline. Tests change copies only."""
    return small_run(tmp_path_factory.mktemp("runs") / "<i>&run")


@pytest.fixture(scope="session")
def ratings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CSV file with the columns user, item and time."""
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    small_interactions().frame.select("user", "item", "time").write_csv(path)
    return path


@pytest.fixture(scope="session")
def trained_folder(ratings_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `atjt train` on ``ratings_file``; tests leave it as they found it."""
    out = tmp_path_factory.mktemp("runs") / "a"
    assert main(["train", str(ratings_file), f"--out={out}", *SMALL]) == 0
    return out
