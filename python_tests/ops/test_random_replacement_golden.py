"""random_replacement against recorded hashes, on every device and instruction set."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from atjt_ext.ops import random_replacement
from helpers.golden_random_replacement import FOR_TWO_THREADS, PATH, arguments, hash_of
from helpers.replacement import to

GOLDEN = [(entry["configuration"], entry["sha256"]) for entry in json.loads(PATH.read_text())]


def changed() -> list[dict[str, Any]]:
    """Configurations with another hash now."""
    found = []
    for configuration, wanted in GOLDEN:
        sequences, options = arguments(configuration)
        if hash_of(random_replacement(sequences, **options)) != wanted:
            found.append(configuration)
    return found


def test_all_differ_and_ten_are_worth_a_second_thread() -> None:
    assert len({wanted for _, wanted in GOLDEN}) == 60
    sizes = [configuration["rows"] * configuration["length"] for configuration, _ in GOLDEN]
    assert sum(size >= FOR_TWO_THREADS for size in sizes) == 10


@pytest.mark.parametrize("index", range(60))
def test_every_device_gives_the_golden_result(device: torch.device, index: int) -> None:
    configuration, wanted = GOLDEN[index]
    sequences, options = arguments(configuration)
    assert hash_of(random_replacement(sequences.to(device), **to(device, options))) == wanted


def test_every_instruction_set_gives_the_golden_results(isa: str) -> None:
    assert changed() == []


@pytest.mark.usefixtures("num_threads")
@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_threads_gives_the_golden_results(threads: int) -> None:
    torch.set_num_threads(threads)
    assert changed() == []
