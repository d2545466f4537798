"""The audit: reasons against counts made by hand, ranks, and whose judgement it is."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from atjt_ext.data import ItemFeature, LeaveOneOut, Sequences, leave_one_out, user_folds
from atjt_ext.evaluation.detection import detection_auc
from atjt_ext.recognition import Evidence, NoiseRecogniser, RecognitionConfig
from atjt_ext.report.audit import SUSPICIOUS_ABOVE, Audit, audit_run, audit_sequences, audit_trained
from atjt_ext.report.suspicion import Suspicion
from atjt_ext.runs.build import load_models
from atjt_ext.runs.folder import Run
from helpers.hostile_run import small_run
from helpers.tiny import tiny_sequences


@pytest.fixture(scope="module")
def audit(split: LeaveOneOut) -> Audit:
    return audit_sequences(split.train, seed=0)


def lists(sequences: Sequences) -> list[list[int]]:
    return [sequences.items_of(user).tolist() for user in range(sequences.num_users)]


# ---- reasons ----------------------------------------------------------------------------------


def met_elsewhere(
    users: list[list[int]], folds: list[int], fold: int, window: int
) -> tuple[Counter[frozenset[int]], Counter[int]]:
    """Pairs of items within the window in the sequences outside of a fold, and the ends of pairs
    at each item."""
    pairs: Counter[frozenset[int]] = Counter()
    ends: Counter[int] = Counter()
    for items, own in zip(users, folds, strict=True):
        if own == fold:
            continue
        for at, item in enumerate(items):
            for other in items[at + 1 : at + 1 + window]:
                pairs[frozenset((item, other))] += 1
                ends.update((item, other))
    return pairs, ends


def test_reasons_are_the_counts_that_one_makes_by_hand(audit: Audit, split: LeaveOneOut) -> None:
    train = split.train
    users, window = lists(train), audit.evidence.window
    folds = user_folds(train.num_users, 5, seed=0).tolist()
    have = Counter(item for items in users for item in set(items))
    counts = [have[item] for item in range(1, train.num_items + 1)]
    row_of = {(r["user"], r["position"]): r for r in audit.interactions().to_dicts()}
    for user in (0, 17, 63, 119):
        pairs, ends = met_elsewhere(users, folds, folds[user], window)
        total = sum(ends.values())
        for at, item in enumerate(users[user]):
            others = users[user][max(0, at - window) : at] + users[user][at + 1 : at + 1 + window]
            row = row_of[train.user_ids[user], at + 1]
            assert row["item"] == train.item_ids[item - 1]
            assert row["from_end"] == len(users[user]) - at
            assert row["item_users"] == have[item]
            fewer = sum(count < have[item] for count in counts)
            assert row["item_percentile"] == pytest.approx(100 * fewer / len(counts))
            assert row["neighbours"] == len(others)
            met = [pairs[frozenset((item, other))] for other in others]
            assert row["neighbours_met"] == sum(count > 0 for count in met)
            assert row["times_met"] == sum(met)
            expected = sum(ends[item] * ends[other] / total for other in others)
            assert row["times_expected"] == pytest.approx(expected, rel=1e-5)


def test_neighbours_stand_within_the_window() -> None:
    users = [[1, 2, 3, 4], [2, 1, 4, 3], [1, 3, 2, 4], [4, 3, 2, 1]]
    train = tiny_sequences(*users)
    config = replace(NoiseRecogniser.usual(train, seed=0).config, window=1)
    with pytest.raises(RuntimeError, match="nothing is learned yet: call fit first"):
        NoiseRecogniser(config).evidence()
    recogniser = NoiseRecogniser(config).fit(train)
    assert recogniser.evidence().window == 1
    assert recogniser.evidence().neighbours.tolist() == [1, 2, 2, 1] * 4


SUSPICION = Suspicion(
    rank=1,
    user="u",
    position=3,
    item="i",
    p_noise=0.9,
    is_noise=None,
    from_end=1,
    item_users=1,
    item_percentile=12.4,
    neighbours=1,
    neighbours_met=0,
    times_met=1,
    times_expected=2.5,
    user_share=0.256,
)


def test_reasons_in_words() -> None:
    assert SUSPICION.reason == (
        "item of 1 user, more popular than 12 % of items; elsewhere near 0 of its 1 "
        "neighbour; together 1 time, by chance 2.5 (0.4 x); the user's last; user's expected "
        "noise 26 %"
    )
    other = replace(
        SUSPICION, item_users=1200, times_met=0, times_expected=0.0, from_end=12, user_share=None
    )
    assert other.reason == (
        "item of 1,200 users, more popular than 12 % of items; elsewhere near 0 of its 1 "
        "neighbour; together 0 times, by chance none; 12th from the end"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [(2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (21, "21st"), (112, "112th")],
)
def test_positions_from_the_end_in_words(number: int, text: str) -> None:
    assert f"{text} from the end" in replace(SUSPICION, from_end=number).reason


# ---- ranks ------------------------------------------------------------------------------------


def test_interactions_are_ranked_by_probability(audit: Audit, split: LeaveOneOut) -> None:
    frame = audit.interactions()
    assert frame["rank"].to_list() == list(range(1, split.train.num_interactions + 1))
    p_noise = frame["p_noise"].to_list()
    assert p_noise == sorted(p_noise, reverse=True)
    assert sorted(p_noise) == pytest.approx(sorted(audit.p_noise.tolist()))
    count = sum(p > SUSPICIOUS_ABOVE for p in p_noise)
    assert 0 < count < len(p_noise)
    most = audit.most_suspicious(10**6)
    assert len(most) == count
    for one, row in zip(most, frame.to_dicts(), strict=False):
        assert {name: getattr(one, name) for name in row} == row
    assert [one.rank for one in audit.most_suspicious(3)] == [1, 2, 3]
    truth = dict(zip(zip(*where(split.train), strict=True), split.train.is_noise, strict=True))
    assert all(bool(truth[one.user, one.position]) is one.is_noise for one in most)


def where(sequences: Sequences) -> tuple[list[str], list[int]]:
    """User and position of every interaction."""
    lengths = sequences.lengths.tolist()
    users = [u for u, n in zip(sequences.user_ids, lengths, strict=True) for _ in range(n)]
    return users, [position for n in lengths for position in range(1, n + 1)]


def test_users_are_ranked_by_their_share(audit: Audit, split: LeaveOneOut) -> None:
    train = split.train
    frame = audit.users()
    shares = frame["noise_share"].to_list()
    assert shares == sorted(shares, reverse=True)
    by_user = {row["user"]: row for row in frame.to_dicts()}
    for user, items in enumerate(lists(train)):
        row = by_user[train.user_ids[user]]
        own = slice(int(train.offsets[user]), int(train.offsets[user + 1]))
        assert row["length"] == len(items)
        assert row["suspicious"] == int((audit.p_noise[own] > SUSPICIOUS_ABOVE).sum())
        assert train.is_noise is not None
        assert row["noise_share_true"] == pytest.approx(float(train.is_noise[own].float().mean()))
        assert row["noise_share"] == pytest.approx(float(audit.p_noise[own].mean()))


def test_without_the_truth_nothing_is_said_about_it(split: LeaveOneOut) -> None:
    blind = audit_sequences(replace(split.train, is_noise=None))
    assert "is_noise" not in blind.interactions().columns
    assert "noise_share_true" not in blind.users().columns
    assert (blind.detection(), blind.calibration(), blind.truth_summary()) == ({}, [], None)
    assert all(one.is_noise is None for one in blind.most_suspicious(3))


def made(p_noise: list[float], logits: list[float]) -> Audit:
    """An audit of two users with three interactions each."""
    zeros = np.zeros(6, np.int64)
    return Audit(
        sequences=tiny_sequences([1, 2, 3], [1, 1, 4]),
        judge="nobody",
        noise_logits=torch.tensor(logits),
        p_noise=torch.tensor(p_noise),
        evidence=Evidence(5, zeros, zeros, zeros, zeros.astype(np.float64)),
        held_out_auc=0.51,
    )


def test_the_truth_is_summed_up_though_nothing_is_judged() -> None:
    """A side figure may be unknown; it refuses no data."""
    audit = made([math.nan] * 6, [math.nan] * 6)
    sequences = replace(audit.sequences, is_noise=torch.tensor([True] + [False] * 5))
    audit = replace(audit, sequences=sequences)
    said = audit.truth_summary()
    assert said is not None
    assert said.startswith("1 interactions of 1 users are planted noise: AUC of interactions -, ")
    assert said.endswith("calibration error -")
    assert (audit.calibration(), audit.most_suspicious(3)) == ([], [])
    assert "no interaction is suspicious" in audit.summary()


def test_a_judge_that_knows_nothing_suspects_nobody() -> None:
    audit = made([0.0] * 6, [3.0, -1.0, 2.0, 0.0, 1.0, -2.0])
    assert audit.most_suspicious(9) == []
    assert "too little is known of the noise (held-out AUC on artificial noise: 0.510)" in (
        audit.summary()
    )
    # Equal probabilities go by the logits.
    assert (audit.order + 1).tolist() == [1, 3, 5, 4, 2, 6]


def test_what_is_not_believed_ranks_below_what_is() -> None:
    # The last three belong to a fold that learned nothing: it has logits, but P(noise) is 0.
    audit = made([0.4, 0.1, 0.2, 0.0, 0.0, 0.0], [-0.4, -2.2, -1.4, 5.0, 7.0, 6.0])
    assert (audit.order + 1).tolist() == [1, 3, 2, 5, 6, 4]


def test_of_users_that_are_not_believed_to_be_noisy_no_share_is_given(split: LeaveOneOut) -> None:
    closed = audit_sequences(split.train, RecognitionConfig(gate_auc=1.0))
    assert closed.p_noise.eq(0).all()
    assert closed.user_noise.eq(0).all()
    open_ = audit_sequences(split.train, RecognitionConfig(gate_auc=0.0))
    assert open_.user_noise.gt(0).all()


def test_calibration_is_of_what_is_judged() -> None:
    nan = math.nan
    audit = made([0.92, 0.28, 0.97, nan, nan, nan], [2.0, -1.0, 3.0, nan, nan, nan])
    truth = torch.tensor([True, False, False, True, True, True])
    audit = replace(audit, sequences=replace(audit.sequences, is_noise=truth))
    low, high = audit.calibration()
    assert (low.count, low.predicted, low.observed) == (1, pytest.approx(0.28), 0.0)
    assert (high.count, high.predicted, high.observed) == (2, pytest.approx(0.945), 0.5)


def test_what_is_not_judged_goes_last_and_is_null() -> None:
    nan = math.nan
    audit = made([0.9, 0.2, 0.7, nan, nan, nan], [2.0, -1.0, 1.0, nan, nan, nan])
    frame = audit.interactions()
    assert frame["position"].to_list() == [1, 3, 2, 1, 2, 3]
    assert frame["p_noise"].null_count() == 3
    assert audit.users()["noise_share"].to_list() == [pytest.approx(0.6), None]
    # A user who repeats an item counts once.
    assert audit.item_users.tolist() == [2, 1, 1, 1, 0, 0, 0, 0, 0]
    assert "2 of 6 interactions are more likely noise than not" in audit.summary()
    assert "share of noise 60.0 %" in audit.summary()
    assert audit.typical() == "no interaction has a neighbour"


# ---- whose judgement it is --------------------------------------------------------------------


def test_a_file_is_judged_by_co_occurrence(audit: Audit, split: LeaveOneOut) -> None:
    found = NoiseRecogniser(seed=0).fit(split.train).found
    assert torch.equal(audit.noise_logits, found.noise_logits)
    assert torch.equal(audit.p_noise, 1 - found.weights)
    assert audit.detection() == detection_auc(split.train, found.noise_logits)
    said = audit.truth_summary()
    assert said is not None
    assert f"AUC of interactions {audit.detection()['interaction_AUC']:.3f}" in said


def test_a_run_is_audited_by_what_it_trained_with(trained_run: Run) -> None:
    audit = audit_run(trained_run)
    noise = trained_run.metrics()["noise"]
    assert audit.detection() == {
        name: pytest.approx(noise[name]) for name in ("interaction_AUC", "sequence_AUC")
    }
    assert audit.held_out_auc == pytest.approx(noise["held_out_AUC"])
    assert audit.judge == "the run's own co-occurrence recogniser"
    # weights.parquet holds the users' mean weights.
    weights = pl.read_parquet(trained_run.weights_path)["weight"].to_numpy()
    lengths = audit.sequences.lengths.numpy()
    owner = np.repeat(np.arange(len(lengths)), lengths)
    means = np.bincount(owner, 1 - audit.p_noise.numpy()) / lengths
    assert means == pytest.approx(weights, abs=1e-6)


def test_a_run_with_equal_weights_is_judged_anew(trained_run: Run) -> None:
    equal, own = audit_run(Run(trained_run.folder / "equal_weights")), audit_run(trained_run)
    assert equal.judge.startswith("co-occurrence, judged anew: weighting=equal")
    assert torch.equal(equal.p_noise, own.p_noise)


def test_a_run_with_noise_models_is_judged_by_them(tmp_path: Path) -> None:
    run = small_run(tmp_path / "joint", "joint", baseline=False)
    sequences = run.sequences()
    train = leave_one_out(sequences).train
    models = load_models(run, sequences)
    audit = audit_trained(models, train)
    assert audit.judge.startswith("the run's own noise models (weighting=calibrated)")
    assert torch.equal(audit.noise_logits, models.interaction_noise_logits(train))
    assert torch.equal(audit.p_noise, 1 - models.interaction_weights(train))
    for user in (0, 9):
        own = audit.p_noise[train.offsets[user] : train.offsets[user + 1]]
        assert float(audit.user_noise[user]) == pytest.approx(float(own.mean()))
    assert audit.detection()["interaction_AUC"] == pytest.approx(
        run.metrics()["noise"]["interaction_AUC"]
    )


def test_sequences_read_twice_are_learned_from_once(trained_run: Run) -> None:
    sequences = trained_run.sequences()
    beliefs = load_models(trained_run, sequences).beliefs
    train = leave_one_out(sequences).train
    assert beliefs.recogniser(train) is beliefs.recogniser(leave_one_out(sequences).train)
    items = train.items.clone()
    items[0] = items[0] % train.num_items + 1
    before = beliefs.recogniser(train)
    assert beliefs.recogniser(replace(train, items=items)) is not before


def test_items_with_other_features_are_learned_from_anew(trained_run: Run) -> None:
    sequences = trained_run.sequences()
    beliefs = load_models(trained_run, sequences).beliefs
    train = leave_one_out(sequences).train
    before = beliefs.recogniser(train)
    codes = torch.arange(train.num_items) % 2 + 1
    offsets = torch.arange(-1, train.num_items + 1).clamp(min=0)
    halves = {"half": ItemFeature(["a", "b"], offsets, codes)}
    described = beliefs.recogniser(replace(train, item_features=halves))
    assert described is not before
    turned = {"half": ItemFeature(["a", "b"], offsets, 3 - codes)}
    assert beliefs.recogniser(replace(train, item_features=turned)) is not described


# ---- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_both_tables_are_written_and_read_back(audit: Audit, tmp_path: Path, kind: str) -> None:
    paths = audit.write(tmp_path / "new" / "folder", kind=kind)
    assert [path.name for path in paths] == [f"interactions.{kind}", f"sequences.{kind}"]
    read = pl.read_parquet if kind == "parquet" else pl.read_csv
    for path, frame in zip(paths, (audit.interactions(), audit.users()), strict=True):
        back = read(path)
        assert back.columns == frame.columns
        assert back.height == frame.height
        assert back["user"].to_list() == frame["user"].to_list()
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        path.name for path in paths
    }


def test_another_kind_of_file_is_refused(audit: Audit, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kind must be parquet or csv, got 'xlsx'"):
        audit.write(tmp_path, kind="xlsx")
