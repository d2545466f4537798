"""Random words: the known answers of Random123 (kat_vectors, philox4x32 10)."""

from __future__ import annotations

import pytest
import torch

from atjt_ext.ops import reference
from helpers.native_parts import philox4x32_10

KNOWN_ANSWERS = {
    "zeros": ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    "pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
}


@pytest.mark.parametrize("vector", KNOWN_ANSWERS)
def test_native_philox_gives_the_known_answers(vector: str) -> None:
    counter, key, answer = KNOWN_ANSWERS[vector]
    assert tuple(philox4x32_10(counter, key)) == answer


@pytest.mark.parametrize("vector", KNOWN_ANSWERS)
def test_reference_philox_gives_the_known_answers(vector: str) -> None:
    counter, key, answer = KNOWN_ANSWERS[vector]
    assert tuple(reference.philox4x32_10(torch.tensor(counter), key).tolist()) == answer
