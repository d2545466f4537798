"""Evidence of recognition: counts of pairs, features of interactions, attributes of items."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from atjt_ext.data import PlantedNoise, Sequences, inject_noise
from atjt_ext.data.catalogue import item_features
from atjt_ext.evaluation.auc import auc
from atjt_ext.recognition import RecognitionConfig, recognise_noise
from atjt_ext.recognition.co_occurrence.counts import CoOccurrences
from atjt_ext.recognition.co_occurrence.events import Events
from atjt_ext.recognition.co_occurrence.interaction_features import (
    ATTRIBUTE_FEATURES,
    FEATURES,
    interaction_features,
)
from atjt_ext.recognition.co_occurrence.item_vectors import attribute_vectors
from helpers.tiny import tiny_sequences

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
