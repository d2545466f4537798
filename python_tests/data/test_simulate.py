"""Simulated interactions: noise where and as much as asked, and an order worth learning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atjt_ext.data import (
    Interactions,
    PlantedNoise,
    leave_one_out,
    read_csv,
    simulate_interactions,
    to_sequences,
)

SIZE = {"num_users": 500, "num_items": 300}


def _simulate(seed: int = 0, **kwargs: object) -> Interactions:
    return simulate_interactions(seed=seed, **{**SIZE, **kwargs})  # type: ignore[arg-type]


def test_ids_are_strings_of_one_width_and_times_rise() -> None:
    got = _simulate(num_users=30, num_items=120)
    assert got.frame.columns == ["user", "item", "time", "is_noise"]
    assert got.frame["user"].unique(maintain_order=True).to_list()[:2] == ["u00", "u01"]
    assert got.frame["item"].str.contains(r"^i\d{3}$").all()
    rising = got.frame.select((pl.col("time").diff() > 0).fill_null(True).over("user").all())
    assert rising.item()


def test_nobody_has_an_item_twice() -> None:
    got = _simulate(noise=PlantedNoise(diffuse_share=0.5, noisy_user_share=0.3), mean_length=30)
    assert got.frame.select(pl.struct("user", "item").is_duplicated().any()).item() is False


def test_popularity_power_draws_noise_from_the_popular() -> None:
    def mean_popularity(power: float) -> float:
        noise = PlantedNoise(diffuse_share=0.3, popularity_power=power)
        frame = _simulate(noise=noise, popularity_skew=1.0).frame
        counts = _simulate(popularity_skew=1.0).frame["item"].value_counts()
        joined = frame.filter("is_noise").join(counts, on="item", how="left")
        return float(joined["count"].fill_null(0).to_numpy().mean())

    assert mean_popularity(1.0) > 1.5 * mean_popularity(0.0)


def test_popularity_is_skewed_as_asked() -> None:
    def share_of_top_tenth(skew: float) -> float:
        counts = _simulate(popularity_skew=skew).frame["item"].value_counts(sort=True)["count"]
        return float(counts.head(30).sum() / counts.sum())

    assert share_of_top_tenth(0.0) < 0.3 < share_of_top_tenth(1.2)


def _next_item_hits(interactions: Interactions) -> float:
    """Share of test targets among the four items that most often follow the item before."""
    sequences = to_sequences(interactions)
    split = leave_one_out(sequences)
    follows = np.zeros((sequences.num_items + 1, sequences.num_items + 1))
    for user in range(sequences.num_users):
        items = split.train.items_of(user).numpy()
        np.add.at(follows, (items[:-1], items[1:]), 1)
    last = split.valid.targets.numpy()
    guesses = np.argsort(-follows[last], axis=1)[:, :4]
    return float((guesses == split.test.targets.numpy()[:, None]).any(1).mean())


def test_the_order_can_be_learned_where_it_was_put_and_only_there() -> None:
    with_order = _next_item_hits(_simulate(num_users=1500, order_strength=0.8))
    without = _next_item_hits(_simulate(num_users=1500, order_strength=0.0))
    assert with_order > 0.4
    assert without < 0.2


def test_lengths_keep_their_bounds_and_their_mean() -> None:
    lengths = to_sequences(
        _simulate(num_users=4000, min_length=4, mean_length=10, max_length=60)
    ).lengths
    assert int(lengths.min()) == 4
    assert int(lengths.max()) <= 60
    # Geometric with mean 10 above 4: standard error sqrt(6 * 7 / 4000) = 0.10.
    assert abs(float(lengths.float().mean()) - 10) < 0.5


def test_smallest_catalogue_and_single_user() -> None:
    got = simulate_interactions(
        num_users=1, num_items=6, seed=0, min_length=3, mean_length=3, max_length=3
    )
    assert len(got) == 3
    assert got.num_items == 3


def test_truth_survives_a_csv_file(tmp_path: Path) -> None:
    got = _simulate(noise=PlantedNoise(diffuse_share=0.2))
    got.frame.write_csv(tmp_path / "simulated.csv")
    assert read_csv(tmp_path / "simulated.csv").frame.equals(got.frame)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"num_users": 0}, "num_users must be at least 1, got 0"),
        ({"num_items": 99}, "num_items must be at least 100, got 99"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"min_length": 2}, "min_length must be at least 3, got 2"),
        ({"mean_length": 4.0}, "mean_length must be at least 5, got 4.0"),
        ({"max_length": 4}, "max_length must be at least 5, got 4"),
        ({"order_strength": 1.5}, r"order_strength must be in \[0, 1\], got 1.5"),
        ({"order_strength": float("nan")}, r"order_strength must be in \[0, 1\], got nan"),
    ],
)
def test_arguments_out_of_range_are_refused(bad: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _simulate(**{"seed": 0, **bad})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad", [{"diffuse_share": 1.1}, {"noisy_user_share": -0.1}, {"popularity_power": -1.0}]
)
def test_noise_out_of_range_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        PlantedNoise(**bad)
