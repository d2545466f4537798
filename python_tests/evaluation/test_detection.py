"""Detection of planted noise by noise logits; calibration of P(noise)."""

from __future__ import annotations

import math

import pytest
import torch

from atjt_ext.evaluation.detection import (
    CalibrationBin,
    calibration,
    calibration_error,
    detection_auc,
)
from helpers.tiny import tiny_sequences


def _with_truth(noise: list[bool]) -> tuple[float | None, float | None]:
    sequences = tiny_sequences([1, 2, 3], [7], [8, 9], [4, 5], noise=noise)
    logits = torch.tensor([0.0, 3.0, 0.0, torch.nan, -1.0, -2.0, 5.0, -9.0])
    areas = detection_auc(sequences, logits)
    assert set(areas) == {"interaction_AUC", "sequence_AUC"}
    return areas["interaction_AUC"], areas["sequence_AUC"]


def test_detection_of_planted_noise_by_hand() -> None:
    # Noisy are the interactions with logits 3 and 5; user means are 1, nan, -1.5, -2.
    planted = [False, True, False, False, False, False, True, False]
    assert _with_truth(planted) == (1.0, 0.5)
    # Noise of a user without a score does not count.
    assert _with_truth([*planted[:3], True, *planted[4:]]) == (1.0, 0.5)
    # Noisy: logits 0 and -1, against 3, 0, -2, 5, -9; users 0 and 2 against user 3.
    planted = [True, False, False, False, True, False, False, False]
    assert _with_truth(planted) == (pytest.approx((2.5 + 2) / 10), 1.0)


def test_detection_without_noise_is_none() -> None:
    assert _with_truth([False] * 8) == (None, None)


def test_detection_without_truth_is_empty() -> None:
    assert detection_auc(tiny_sequences([1, 2]), torch.zeros(2)) == {}


def test_calibration_by_hand() -> None:
    probabilities = torch.tensor([0.0, 0.1, 0.5, 0.7, 1.0], dtype=torch.float64)
    bins = calibration(probabilities, torch.tensor([False, True, False, True, True]), num_bins=2)
    assert bins == [
        CalibrationBin(0.0, 0.5, 2, pytest.approx(0.05), 0.5),
        CalibrationBin(0.5, 1.0, 3, pytest.approx(2.2 / 3), pytest.approx(2 / 3)),
    ]
    assert calibration_error(bins) == pytest.approx((2 * 0.45 + 3 * (0.2 / 3)) / 5)


def test_no_bins_have_no_error() -> None:
    with pytest.raises(ValueError, match="bins must hold at least one"):
        calibration_error([])


def test_empty_bins_are_left_out() -> None:
    bins = calibration(torch.tensor([0.95, 0.05]), torch.tensor([True, False]))
    assert [(one.low, one.high, one.count) for one in bins] == [(0.0, 0.1, 1), (0.9, 1.0, 1)]


@pytest.mark.parametrize(
    ("probabilities", "truth", "num_bins", "message"),
    [
        ([0.5, 1.1], [True, False], 10, r"probabilities must be in \[0, 1\]"),
        ([0.5, math.nan], [True, False], 10, r"probabilities must be in \[0, 1\]"),
        ([0.5], [True, False], 10, r"must both be \[N\], got \[1\] and \[2\]"),
        ([0.5], [True], 0, "num_bins must be at least 1, got 0"),
    ],
)
def test_no_calibration_of_what_is_no_probability(
    probabilities: list[float], truth: list[bool], num_bins: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        calibration(torch.tensor(probabilities), torch.tensor(truth), num_bins=num_bins)
