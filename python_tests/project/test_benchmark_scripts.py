"""The benchmark scripts beside the questions: RecBole's epochs, recognition of planted noise."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from atjt_ext.data import PlantedNoise, simulate_interactions
from atjt_ext.runs.config import DataConfig
from recbole_epoch import Turn, summary
from recognition import COLUMNS, low_ratings, recognised, row_of


@pytest.mark.parametrize(
    ("ours_last", "end"), [(0.06, "here reached within 6.0 s."), (0.04, "not reached here.")]
)
def test_the_summary_has_the_seconds_to_the_same_quality(ours_last: float, end: str) -> None:
    turns = [
        Turn(60.0, 60.0, 0.05, 3.0, 3.0, 0.03),
        Turn(50.0, 110.0, 0.02, 2.0, 6.0, ours_last),
        Turn(40.0, 150.0, 0.04, 1.0, 9.0, 0.01),
    ]
    assert summary(turns).splitlines() == [
        "Epoch, medians: RecBole 50.00 s, here 2.000 s; ratio 25.0.",
        f"RecBole's best NDCG@10 of these turns, 0.0500, took it 60.0 s; {end}",
    ]


def _written(folder: Path, frame: pl.DataFrame) -> Path:
    frame.write_csv(folder / "ratings.csv")
    return folder / "ratings.csv"


def test_recognition_is_judged_by_planted_noise_and_by_ratings(tmp_path: Path) -> None:
    frame = simulate_interactions(
        num_users=150, num_items=128, seed=2, noise=PlantedNoise(diffuse_share=0.2)
    ).frame
    # The simulator's own noise gets low ratings, so recognition finds them.
    rated = frame.select("user", "item", "time", rating=5 - 4 * pl.col("is_noise").cast(pl.Int8))
    found = recognised(_written(tmp_path, rated), "diffuse:0.3", 0, DataConfig())
    assert set(found) == set(COLUMNS)
    assert found["interaction_AUC"] is not None
    assert 0.55 < found["interaction_AUC"] < 1.0
    area = low_ratings(tmp_path / "ratings.csv", low=2.0, seed=0)
    assert area is not None
    assert area > 0.55
    upside_down = rated.with_columns(rating=6 - pl.col("rating"))
    other = low_ratings(_written(tmp_path, upside_down), low=2.0, seed=0)
    assert other == pytest.approx(1.0 - area)
    assert low_ratings(_written(tmp_path, rated.drop("rating")), low=2.0, seed=0) is None


def test_rows_are_means_over_seeds_or_a_dash_where_one_is_missing() -> None:
    one: dict[str, float | None] = {**dict.fromkeys(COLUMNS, 0.5), "seconds": 2.0}
    other = {**one, "interaction_AUC": 1.0, "sequence_AUC": None}
    row = row_of("a.csv", "none", [one, other])
    assert row == "| a.csv | none | 2 | 0.750 | 0.500 | 0.500 | - | 0.500 | 2.0 |"
