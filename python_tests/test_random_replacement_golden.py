"""random_replacement gives what it always gave, to the bit, whatever runs it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from atjt_ext import _C, build_info
from atjt_ext.ops import random_replacement
from golden_random_replacement import PATH, arguments, hash_of
from replacement import to

GOLDEN = [(entry["configuration"], entry["sha256"]) for entry in json.loads(PATH.read_text())]


def changed() -> list[dict[str, Any]]:
    """The configurations that give something else now."""
    found = []
    for configuration, wanted in GOLDEN:
        sequences, options = arguments(configuration)
        if hash_of(random_replacement(sequences, **options)) != wanted:
            found.append(configuration)
    return found


def test_there_are_fifty_and_they_differ() -> None:
    assert len({wanted for _, wanted in GOLDEN}) == 50


@pytest.mark.parametrize("index", range(50))
def test_every_device_gives_the_golden_result(device: torch.device, index: int) -> None:
    configuration, wanted = GOLDEN[index]
    sequences, options = arguments(configuration)
    assert hash_of(random_replacement(sequences.to(device), **to(device, options))) == wanted


@pytest.mark.parametrize("isa", build_info()["cpu_isas"])
def test_every_instruction_set_gives_the_golden_results(isa: str) -> None:
    try:
        _C.use_cpu_isa(isa)
    except ValueError:
        pytest.skip(f"this processor lacks {isa}")
    try:
        assert changed() == []
    finally:
        _C.use_cpu_isa("auto")


@pytest.mark.usefixtures("num_threads")
@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_threads_gives_the_golden_results(threads: int) -> None:
    torch.set_num_threads(threads)
    assert changed() == []


@pytest.mark.usefixtures("num_threads")
def test_a_batch_large_enough_for_threads_is_the_same_in_one() -> None:
    sequences = 1 + torch.arange(2000 * 50).view(2000, 50) % 99
    options: dict[str, Any] = dict(num_items=99, seed=1, sequence_fraction=0.6, replace_ratio=0.5)
    options["avoid_history"] = True
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(hash_of(random_replacement(sequences, **options)))
    assert len(set(results)) == 1
