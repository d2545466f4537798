"""Recognition by co-occurrence: counts out of fold, the classifier, and what it finds."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from atjt_ext.data import (
    PlantedNoise,
    Sequences,
    inject_noise,
    leave_one_out,
    read_interactions,
    simulate_interactions,
    to_sequences,
)
from atjt_ext.data.features import item_features
from atjt_ext.metrics import auc, stratified_auc
from atjt_ext.noise_scores import (
    detection_auc,
    noisy_users,
    popularity_detection,
)
from atjt_ext.recognition import NoiseRecogniser, RecognitionConfig, recognise_noise
from atjt_ext.recognition.attributes import attribute_vectors
from atjt_ext.recognition.co_occurrence import CoOccurrences
from atjt_ext.recognition.events import Events
from atjt_ext.recognition.features import ATTRIBUTE_FEATURES, FEATURES, interaction_features
from atjt_ext.recognition.logistic import fit_logistic
from tiny import tiny_sequences

DATA = Path(os.environ.get("ATJT_DATA", Path(__file__).parents[2] / "shared" / "data"))


# ---- counts -----------------------------------------------------------------------------------


def events(*users: list[int], folds: list[int], num_folds: int = 2) -> Events:
    return Events.of(tiny_sequences(*users), torch.tensor(folds), num_folds)


def met(table: CoOccurrences, first: int, second: int, fold: int) -> float:
    pair = (np.array([first]), np.array([second]), np.array([fold]))
    return float(table.counts(*pair)[0])


def test_pairs_are_counted_within_the_window_and_outside_of_the_fold() -> None:
    made = events([1, 2, 3], [2, 1], [1, 3, 2], folds=[0, 1, 1])
    table = CoOccurrences(made, window=1)
    # Seen from fold 1 only user 0 counts, from fold 0 the two others.
    assert met(table, 1, 2, 1) == met(table, 2, 1, 1) == 1
    assert met(table, 1, 3, 1) == 0  # two apart
    assert met(table, 1, 2, 0) == 1
    assert met(table, 1, 3, 0) == 1
    assert met(table, 4, 5, 0) == 0
    assert met(CoOccurrences(made, window=2), 1, 3, 1) == 1
    assert table.popularity[1, 1:4].tolist() == [1, 1, 1]
    assert table.popularity[0, 1:4].tolist() == [2, 2, 1]
    # Fold 0 sees pairs 12, 13, 32: ends 2, 2, 2 of 6.
    pair = (np.array([1]), np.array([2]), np.array([0]))
    assert float(table.expected(*pair)[0]) == pytest.approx(2 * 2 / 6)


def test_neighbours_never_cross_users() -> None:
    made = events([1, 2, 3], [4], [5, 6], folds=[0, 1, 0])
    pairs = {
        (d, int(a), int(b))
        for d, first, second in made.neighbours(9)
        for a, b in zip(first, second, strict=True)
    }
    assert pairs == {(1, 0, 1), (1, 1, 2), (2, 0, 2), (1, 4, 5)}


def columns(made: Events, window: int = 5) -> dict[str, np.ndarray]:
    table = CoOccurrences(made, window)
    found = interaction_features(made, table, table.vectors(2, seed=0), window=window)
    assert found.shape == (len(made.items), len(FEATURES))
    return dict(zip(FEATURES, found.T, strict=True))


def test_features_by_hand() -> None:
    # Seen from fold 0: users 2 and 3, so that 1 and 2 met twice and 3 met nobody.
    found = columns(events([1, 2, 3], [3], [1, 2], [2, 1], folds=[0, 0, 1, 1]))
    # Item 1 of user 0 met its neighbour 2 (cosine 2 / sqrt(2 * 2 + 1)) and not 3.
    cosine = 2 / math.sqrt(5)
    assert found["cosine_mean"][0] == pytest.approx(cosine / 2)
    assert found["cosine_near"][0] == pytest.approx(cosine / 1.5)
    assert found["cosine_best"][0] == pytest.approx(cosine)
    assert found["cosine_best_3"][0] == pytest.approx(cosine / 2)
    # 2 ends each of 4: expected 2 * 2 / 4 = 1.
    assert found["pmi_mean"][0] == pytest.approx(math.log(3 / 2) / 2)
    assert found["share_met"][:3].tolist() == [0.5, 0.5, 0.0]
    assert found["log_popularity"][:3].tolist() == pytest.approx([math.log(3), math.log(3), 0])
    assert found["log_length"][:4].tolist() == pytest.approx([math.log(3)] * 3 + [0])
    assert found["user_cosine_mean"][:3].tolist() == pytest.approx([cosine / 3] * 3)
    # Alone: nothing to go with.
    assert found["cosine_best"][3] == found["pmi_mean"][3] == 0


def test_a_users_own_fold_says_nothing_about_it() -> None:
    random = np.random.default_rng(0)
    users = [random.integers(1, 10, 6).tolist() for _ in range(8)]
    folds = [0, 1] * 4
    before = columns(events(*users, folds=folds))
    users[2] = random.integers(1, 10, 6).tolist()  # of fold 0
    after = columns(events(*users, folds=folds))
    for name in FEATURES:
        assert np.array_equal(before[name][:6], after[name][:6]), name  # user 0, of fold 0
    assert any(not np.array_equal(before[n][6:12], after[n][6:12]) for n in FEATURES)


# ---- attributes -------------------------------------------------------------------------------


def with_attributes(sequences: Sequences, *of_items: str) -> Sequences:
    """Items 1, 2, ... have the letters of ``of_items``."""
    ids = [str(code) for code in range(1, sequences.num_items + 1)]
    table = pl.DataFrame({"item": ids, "letter": [list(letters) for letters in of_items]})
    return replace(sequences, item_features=item_features(table, ids))


def test_items_with_the_same_rare_attributes_have_like_vectors() -> None:
    sequences = with_attributes(
        tiny_sequences([1, 2, 3, 4, 5, 6], num_items=6), *["ax", "ax", "bx", "bx", "x", ""]
    )
    vectors = attribute_vectors(sequences, 8, seed=0)
    assert vectors is not None
    alike = vectors @ vectors.T
    assert alike[1, 2] == pytest.approx(1.0, abs=1e-5) == alike[3, 4]
    # x is on five of six items: log(7 / 5) beside log(7 / 2).
    assert 0.0 <= alike[1, 3] < 0.1
    assert not vectors[0].any()  # padding
    assert not vectors[6].any()  # nothing is known


def test_an_attribute_that_an_item_has_twice_counts_once() -> None:
    sequences = tiny_sequences([1, 2, 3, 4], num_items=4)
    once = with_attributes(sequences, "ax", "ax", "bx", "ab")
    twice = with_attributes(sequences, "aaxx", "xxa", "bbxx", "aaab")
    found = attribute_vectors(twice, 8, seed=0)
    assert found is not None
    np.testing.assert_array_equal(found, attribute_vectors(once, 8, seed=0))


def test_titles_are_no_attributes() -> None:
    titled = with_attributes(tiny_sequences([1, 2, 3], num_items=3), "a", "b", "c")
    assert attribute_vectors(titled, 8, seed=0) is None
    assert attribute_vectors(tiny_sequences([1, 2, 3]), 8, seed=0) is None


def test_attribute_features_by_hand() -> None:
    made = events([1, 2, 3], [1], [2, 3], folds=[0, 1, 1])
    vectors = np.zeros((4, 2), np.float32)
    vectors[1:3] = [1.0, 0.0]
    vectors[3] = [0.6, 0.8]
    table = CoOccurrences(made, 5)
    found = interaction_features(
        made, table, table.vectors(2, seed=0), window=5, attributes=vectors
    )
    mean, near, best, best_3, user_mean = found[0, len(FEATURES) :]
    # Item 1 beside 2 (alike) and, two apart, 3 (cosine 0.6).
    assert mean == best_3 == pytest.approx(0.8)
    assert near == pytest.approx((1 + 0.3) / 1.5)
    assert best == 1.0
    assert user_mean == pytest.approx((0.8 + 0.8 + 0.6) / 3)
    assert len(ATTRIBUTE_FEATURES) == 5
    without = interaction_features(made, table, table.vectors(2, seed=0), window=5)
    assert np.array_equal(without, found[:, : len(FEATURES)])


def test_attributes_are_gone_by_only_if_wanted() -> None:
    # Five kinds of users, and items so many that they hardly ever meet twice.
    random = np.random.default_rng(0)
    users = [(200 * (user % 5) + random.integers(1, 201, 8)).tolist() for user in range(200)]
    plain = tiny_sequences(*users, num_items=1000)
    clean = with_attributes(plain, *(letter for letter in "abcde" for _ in range(200)))
    noisy = inject_noise(clean, PlantedNoise(diffuse_share=0.2), seed=0)
    areas = [
        auc(
            recognise_noise(noisy, RecognitionConfig(attributes=attributes)).noise_logits,
            noisy.is_noise,
        )
        for attributes in (False, True)
    ]
    assert areas[0] is not None
    assert areas[1] is not None
    assert areas[0] < 0.7 < 0.85 < areas[1]


def test_items_that_meet_the_same_others_have_like_vectors() -> None:
    # 1 and 2 never meet; both meet 3 and 4. 7 meets 8 and 9.
    users = [[1, 3], [1, 4], [2, 3], [2, 4], [7, 8], [7, 9]] * 3
    table = CoOccurrences(events(*users, folds=[0, 1] * 9), window=2)
    vectors = table.vectors(4, seed=0)[0]
    assert vectors[1] @ vectors[2] > 0.9
    assert abs(vectors[1] @ vectors[7]) < 0.1
    assert np.array_equal(vectors[5], np.zeros(4))


# ---- the classifier ---------------------------------------------------------------------------


def test_one_binary_column_gives_the_log_odds_ratio() -> None:
    # 30 of 40 with the feature are noise, 10 of 60 without it.
    features = np.repeat([1.0, 1.0, 0.0, 0.0], [30, 10, 10, 50])[:, None].astype(np.float32)
    labels = np.repeat([True, False, True, False], [30, 10, 10, 50])
    model = fit_logistic(features, labels, ridge=0.0)
    logits = model.logits(np.array([[1.0], [0.0]], np.float32))
    assert logits.tolist() == pytest.approx([math.log(3), math.log(0.2)], abs=1e-6)


def test_separable_and_constant_columns_stay_finite() -> None:
    features = np.stack([np.arange(20) >= 10, np.ones(20)], axis=1).astype(np.float32)
    model = fit_logistic(features, np.arange(20) >= 10)
    logits = model.logits(features)
    assert np.isfinite(logits).all()
    assert logits[0] < -2 < 2 < logits[-1]


def test_labels_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="labels must be of both kinds"):
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
    recogniser = NoiseRecogniser(split.train, seed=1)
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
    random, popularity = np.random.default_rng(0), 1.0 / np.arange(1, 501)
    # Every user draws items by popularity, whatever others the user has.
    users = [
        (1 + random.choice(500, 15, replace=False, p=popularity / popularity.sum())).tolist()
        for _ in range(300)
    ]
    train = tiny_sequences(*users, num_items=500)
    found = recognise_noise(train)
    assert found.held_out_auc is not None
    assert found.held_out_auc > 0.65  # artificial noise is rare items
    known = [area for area in found.auc_beyond_popularity if area is not None]
    assert np.mean(known) < 0.6
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
