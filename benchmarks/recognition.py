"""How well ``recognise_noise`` finds planted noise: AUCs, calibration error and seconds.

    python benchmarks/recognition.py ml-100k.inter --noises none diffuse:0.2 diffuse:0.2:1

The script plants noise into training interactions and judges it out of fold, without a recommender.
If the file has ratings, it also measures how well P(noise) separates low from other ratings, with
nothing planted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch

from atjt_ext.data import inject_noise, leave_one_out, read_interactions, row_weights, to_sequences
from atjt_ext.evaluation.auc import auc
from atjt_ext.evaluation.detection import (
    calibration,
    calibration_error,
    detection_auc,
    popularity_detection,
)
from atjt_ext.experiment import parse_noise
from atjt_ext.recognition import recognise_noise
from atjt_ext.runs.config import DataConfig, RunConfig
from atjt_ext.runs.data import load_sequences

COLUMNS = {
    "interaction_AUC": "interactions",
    "within_popularity_AUC": "within popularity",
    "popularity_AUC": "rarity alone",
    "sequence_AUC": "users",
    "calibration_error": "calibration error",
    "seconds": "seconds",
}


def recognised(path: Path, noise: str, seed: int, data: DataConfig) -> dict[str, float | None]:
    """The measures of ``COLUMNS`` after one planting of ``noise``."""
    sequences = load_sequences(path, RunConfig(data=data))
    train = leave_one_out(inject_noise(sequences, parse_noise(noise), seed=seed)).train
    started = time.perf_counter()
    found = recognise_noise(train, seed=seed)
    seconds = time.perf_counter() - started
    assert train.is_noise is not None
    bins = calibration(torch.sigmoid(found.noise_logits), train.is_noise)
    return {
        **detection_auc(train, found.noise_logits),
        **popularity_detection(train, found.noise_logits),
        "calibration_error": calibration_error(bins),
        "seconds": seconds,
    }


def low_ratings(path: Path, *, low: float, seed: int) -> float | None:
    """AUC of P(noise) for ratings up to ``low`` against all others, with nothing planted."""
    interactions = read_interactions(path)
    if "rating" not in interactions.frame.columns:
        return None
    train = leave_one_out(to_sequences(interactions)).train
    noise = torch.sigmoid(recognise_noise(train, seed=seed).noise_logits)
    by_row = row_weights(interactions, train, noise, otherwise=-1.0)
    judged = by_row >= 0
    ratings = torch.from_numpy(interactions.frame["rating"].to_numpy(writable=True))
    return auc(by_row[judged], ratings[judged] <= low)


def row_of(name: str, noise: str, found: Sequence[dict[str, float | None]]) -> str:
    """A row of the table: means over seeds, or ``-`` where a seed has no value."""
    cells = [name, noise, str(len(found))]
    for column in COLUMNS:
        values = [one[column] for one in found]
        known = [value for value in values if value is not None]
        digits = 1 if column == "seconds" else 3
        cells.append(f"{fmean(known):.{digits}f}" if len(known) == len(values) else "-")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--noises", nargs="+", default=["diffuse:0.2", "diffuse:0.2:1"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--item_file", help="a table of the items' attributes")
    parser.add_argument(
        "--latest",
        type=int,
        default=0,
        help="keep this many of each user's latest interactions; 0 keeps all",
    )
    parser.add_argument("--low", type=float, default=2.0, help="the highest of the low ratings")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = DataConfig(item_file=options.item_file, latest=options.latest)
    head = ["data", "noise", "seeds", *COLUMNS.values()]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for noise in options.noises:
        found = [recognised(options.file, noise, seed, data) for seed in options.seeds]
        print(row_of(options.file.name, noise, found), flush=True)
    area = low_ratings(options.file, low=options.low, seed=options.seeds[0])
    if area is not None:
        print(f"\nratings up to {options.low:g} against others, nothing planted: AUC {area:.3f}")


if __name__ == "__main__":
    main()
