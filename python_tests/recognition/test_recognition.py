"""Recognition by co-occurrence: the classifier, and what it finds."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression as SklearnRegression

from atjt_ext.data import (
    PlantedNoise,
    Sequences,
    inject_noise,
    leave_one_out,
    read_interactions,
    simulate_interactions,
    to_sequences,
)
from atjt_ext.data.sequences import noisy_users
from atjt_ext.evaluation.auc import auc, stratified_auc
from atjt_ext.evaluation.detection import detection_auc, popularity_detection
from atjt_ext.recognition import NoiseRecogniser, RecognitionConfig, recognise_noise
from atjt_ext.recognition.co_occurrence.logistic import fit_logistic
from helpers.tiny import tiny_sequences

DATA = Path(os.environ.get("ATJT_DATA", Path(__file__).parents[3] / "shared" / "data"))


# ---- the classifier ---------------------------------------------------------------------------


def test_one_binary_column_gives_the_log_odds_ratio() -> None:
    # 30 of 40 with the feature are noise, 10 of 60 without it.
    features = np.repeat([1.0, 1.0, 0.0, 0.0], [30, 10, 10, 50])[:, None].astype(np.float32)
    labels = np.repeat([True, False, True, False], [30, 10, 10, 50])
    model = fit_logistic(features, labels, ridge=0.0)
    logits = model.logits(np.array([[1.0], [0.0]], np.float32))
    assert logits.tolist() == pytest.approx([math.log(3), math.log(0.2)], abs=1e-6)


def test_coefficients_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    features = (random.normal(size=(500, 4)) * [1.0, 5.0, 0.1, 1.0]).astype(np.float32)
    features[:, 3] += features[:, 0]  # nearly collinear
    labels = random.random(500) < 1 / (1 + np.exp(1.5 - features[:, 0] - 0.3 * features[:, 1]))
    for ridge in (1e-4, 0.1):
        ours = fit_logistic(features, labels, ridge=ridge)
        # scikit-learn adds |w|^2 / 2C to the summed loss, we add the penalty to the mean.
        theirs = SklearnRegression(C=1 / (ridge * len(labels)), tol=1e-10, max_iter=1000)
        theirs.fit((features - ours.mean) / ours.scale, labels)
        np.testing.assert_allclose(ours.coefficients, theirs.coef_[0], atol=1e-4)
        assert ours.intercept == pytest.approx(float(theirs.intercept_[0]), abs=1e-4)


def test_separable_and_constant_columns_stay_finite() -> None:
    features = np.stack([np.arange(20) >= 10, np.ones(20)], axis=1).astype(np.float32)
    model = fit_logistic(features, np.arange(20) >= 10)
    logits = model.logits(features)
    assert np.isfinite(logits).all()
    assert logits[0] < -2 < 2 < logits[-1]


def test_labels_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="labels must hold both True and False"):
        fit_logistic(np.ones((3, 1), np.float32), np.ones(3, bool))
    with pytest.raises(ValueError, match=r"features must be \[N, F\] and labels \[N\]"):
        fit_logistic(np.ones((3, 1), np.float32), np.ones(2, bool))


# ---- detection --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean() -> Sequences:
    made = simulate_interactions(num_users=1200, num_items=300, seed=2, mean_length=14)
    return replace(to_sequences(made), is_noise=None)


def noisy(clean: Sequences, noise: PlantedNoise) -> Sequences:
    return leave_one_out(inject_noise(clean, noise, seed=0)).train


@pytest.mark.parametrize(("power", "least"), [(0.0, 0.77), (1.0, 0.63)])
def test_planted_noise_is_found_beyond_its_popularity(
    clean: Sequences, power: float, least: float
) -> None:
    train = noisy(clean, PlantedNoise(diffuse_share=0.2, popularity_power=power))
    found = recognise_noise(train)
    area = detection_auc(train, found.noise_logits)["interaction_AUC"]
    beside = popularity_detection(train, found.noise_logits)
    assert area is not None
    assert area > least
    assert beside["popularity_AUC"] is not None
    assert area > beside["popularity_AUC"] + 0.02
    assert beside["within_popularity_AUC"] is not None
    assert beside["within_popularity_AUC"] > 0.62
    assert train.is_noise is not None
    assert found.weights[~train.is_noise].mean() > found.weights[train.is_noise].mean() + 0.05
    assert bool(((found.weights >= 0) & (found.weights <= 1)).all())


def test_clean_data_keep_most_of_their_weight(clean: Sequences) -> None:
    train = noisy(clean, PlantedNoise())
    found = recognise_noise(train)
    assert float(found.weights.mean()) > 0.85
    assert max(found.noise_rates) < 0.2


def test_the_seed_decides_everything_and_the_callers_stream_is_left_alone(
    clean: Sequences,
) -> None:
    train = noisy(clean, PlantedNoise(diffuse_share=0.2))
    torch.manual_seed(3)
    first = recognise_noise(train, seed=1).noise_logits
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
    assert torch.equal(recognise_noise(train, seed=1).noise_logits, first)
    assert not torch.equal(recognise_noise(train, seed=2).noise_logits, first)


def test_a_recogniser_judges_other_sequences_of_its_users(clean: Sequences) -> None:
    split = leave_one_out(inject_noise(clean, PlantedNoise(diffuse_share=0.2), seed=0))
    recogniser = NoiseRecogniser(seed=1).fit(split.train)
    again = recogniser.judge(split.train)
    assert torch.equal(again.noise_logits, recogniser.found.noise_logits)
    assert torch.equal(again.weights, recogniser.found.weights)
    histories = split.test.histories
    longer = recogniser.judge(histories)
    assert longer.weights.shape == (histories.num_interactions,)
    area = detection_auc(histories, longer.noise_logits)["interaction_AUC"]
    assert area is not None
    assert area > 0.75
    with pytest.raises(
        ValueError, match="have the 1200 users learned from, in their order; got 1,"
    ):
        recogniser.judge(tiny_sequences([1, 2], num_items=300))
    other = replace(split.train, item_ids=split.train.item_ids[::-1])
    with pytest.raises(ValueError, match="must have the 300 items learned from, in their order"):
        recogniser.judge(other)


def test_large_data_are_counted_in_smaller_windows(clean: Sequences) -> None:
    train = noisy(clean, PlantedNoise(diffuse_share=0.2))
    bounded = RecognitionConfig(max_pairs=3 * train.num_interactions)
    narrow = recognise_noise(train, RecognitionConfig(window=3)).noise_logits
    assert torch.equal(recognise_noise(train, bounded).noise_logits, narrow)
    assert not torch.equal(recognise_noise(train).noise_logits, narrow)


def test_who_knows_too_little_weighs_nothing(clean: Sequences) -> None:
    train = noisy(clean, PlantedNoise(diffuse_share=0.2))
    found = recognise_noise(train, RecognitionConfig(gate_auc=1.0))
    assert set(found.weights.tolist()) == {1.0}
    assert min(found.artificial_auc) > 0.6


def test_who_knows_popularity_alone_weighs_nothing() -> None:
    random, popularity = np.random.default_rng(0), 1.0 / np.arange(1, 2001)
    # Every user draws items by popularity, whatever others the user has.
    users = [
        (1 + random.choice(2000, 10, replace=False, p=popularity / popularity.sum())).tolist()
        for _ in range(1000)
    ]
    train = tiny_sequences(*users, num_items=2000)
    found = recognise_noise(train)
    assert found.held_out_auc is not None
    assert found.held_out_auc > 0.65  # artificial noise is rare items
    known = [area for area in found.auc_beyond_popularity if area is not None]
    assert 0.47 < np.mean(known) < 0.58
    assert set(found.weights.tolist()) == {1.0}
    assert "too little is known of the noise" in found.summary(0)
    trusting = recognise_noise(train, RecognitionConfig(gate_auc=0.0))
    assert float(trusting.weights.mean()) < 0.9


def test_users_of_whom_half_is_noise_are_found(clean: Sequences) -> None:
    train = noisy(clean, PlantedNoise(noisy_user_share=0.3, noisy_item_share=0.5))
    found = recognise_noise(train)
    areas = detection_auc(train, found.noise_logits)
    assert areas["sequence_AUC"] is not None
    assert areas["sequence_AUC"] > 0.75
    affected = noisy_users(train)
    assert found.user_noise.shape == (train.num_users,)
    area = auc(found.user_noise, affected)
    assert area is not None
    assert area > 0.75
    assert found.held_out_auc == pytest.approx(np.mean(found.artificial_auc))


@pytest.mark.parametrize(
    ("file", "power", "least"),
    [
        ("ml-100k.inter", 0.0, 0.90),
        ("ml-100k.inter", 1.0, 0.65),
        ("Beauty.txt", 0.0, 0.80),
        ("Beauty.txt", 1.0, 0.65),
    ],
)
def test_noise_in_real_data_is_found(file: str, power: float, least: float) -> None:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"no {file} in {DATA} (ATJT_DATA)")
    noise = PlantedNoise(diffuse_share=0.2, popularity_power=power)
    train = noisy(to_sequences(read_interactions(path)), noise)
    area = detection_auc(train, recognise_noise(train).noise_logits)["interaction_AUC"]
    assert area is not None
    assert area >= least


# ---- beside popularity ------------------------------------------------------------------------


def test_what_a_score_knows_beyond_its_strata() -> None:
    labels = torch.tensor([True, False, True, False])
    strata = torch.tensor([0, 0, 1, 1])
    # Perfect in stratum 0, wrong in stratum 1.
    assert stratified_auc(torch.tensor([9.0, 8.0, 1.0, 2.0]), labels, strata) == 0.5
    # The stratum itself, however telling, counts for nothing.
    unequal = torch.tensor([True, True, False, False])
    assert stratified_auc(strata.float(), unequal, strata) is None
    assert stratified_auc(strata.float(), labels, strata) == 0.5
    # Strata weigh by their pairs: 1 pair right, 2 pairs wrong.
    found = stratified_auc(
        torch.tensor([9.0, 8.0, 1.0, 2.0, 2.0]),
        torch.tensor([True, False, True, False, False]),
        torch.tensor([0, 0, 1, 1, 1]),
    )
    assert found == pytest.approx(1 / 3)


def test_rarity_alone_is_told_apart() -> None:
    # Item 9 occurs once and is the noise: rarity finds it, and leaves nothing within strata.
    train = tiny_sequences([1, 2, 1, 2], [1, 9, 2, 2], noise=[False] * 5 + [True] + [False] * 2)
    rarity = -torch.bincount(train.items)[train.items].float()
    found = popularity_detection(train, rarity)
    assert found == {"popularity_AUC": 1.0, "within_popularity_AUC": None}
    assert popularity_detection(tiny_sequences([1, 2]), torch.zeros(2)) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_folds": 1}, "num_folds must be at least 2, got 1"),
        ({"window": 0}, "window must be at least 1, got 0"),
        ({"max_pairs": 0}, "max_pairs must be at least 1, got 0"),
        ({"artificial_rate": 1.0}, r"artificial_rate must be in \(0, 1\), got 1.0"),
        ({"uniform_share": 1.5}, r"uniform_share must be in \[0, 1\], got 1.5"),
        ({"evidence": 0.0}, r"evidence must be in \(0, 1\], got 0.0"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecognitionConfig(**changes)  # type: ignore[arg-type]


def test_too_little_to_learn_from_weighs_nothing() -> None:
    found = recognise_noise(tiny_sequences([1], [2]), RecognitionConfig(num_folds=2))
    assert found.weights.tolist() == [1.0, 1.0]
    assert found.held_out_auc is None
    assert found.artificial_auc == (None, None)
