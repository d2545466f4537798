"""Figures of a run."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atjt_ext.recognition.weighting import WeightSummary
from atjt_ext.training.history import EpochRecord

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from atjt_ext.cli.plots import plot_noise, plot_training

PNG = b"\x89PNG\r\n\x1a\n"


def _record(epoch: int, value: float, *, weighing: bool = True) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        recommender_loss=1.0,
        noise_loss=0.5 if weighing else None,
        noise_auc=None if epoch == 1 or not weighing else 0.5 + epoch / 10,
        weights=WeightSummary(mean=0.9 - epoch / 10, std=0.05, min=0.0, max=1.0),
        weights_used="all",
        valid={"NDCG@10": value, "HR@5": value / 2},
    )


ATJT = [_record(1, 0.1), _record(2, 0.2), _record(3, 0.15)]
BASE = [_record(1, 0.05, weighing=False), _record(2, 0.25, weighing=False)]
LOGITS = torch.tensor([2.0, 1.0, 1.0, -1.0, -2.0])
WEIGHTS = torch.tensor([0.1, 0.4, 0.4, 0.9, 1.0])
NOISY = torch.tensor([True, True, False, False, False])


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures as they are when they are saved."""
    figures: list[Figure] = []
    original = Figure.savefig

    def savefig(self: Figure, *args: Any, **options: Any) -> None:
        figures.append(self)
        original(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def _points(line: Any) -> list[tuple[float, float]]:
    return [(float(x), round(float(y), 6)) for x, y in zip(*line.get_data(), strict=True)]


def _assert_png(path: Path, *, columns: int) -> None:
    content = path.read_bytes()
    assert content.startswith(PNG)
    width, height = np.frombuffer(content[16:24], dtype=">u4")
    assert (width, height) == (round(5.2 * 150 * columns), round(3.9 * 150))
    assert len(content) > 5000


def test_training_figure_is_written_and_shows_every_series(
    tmp_path: Path, saved: list[Figure]
) -> None:
    plot_training(tmp_path / "a.png", {"ATJT": ATJT, "equal": BASE})
    _assert_png(tmp_path / "a.png", columns=3)
    metric, areas, weights = saved[0].axes
    assert [(line.get_label(), _points(line)) for line in metric.lines] == [
        ("ATJT", [(1, 0.1), (2, 0.2), (3, 0.15)]),
        ("equal", [(1, 0.05), (2, 0.25)]),
    ]
    assert metric.get_title() == "validation NDCG@10"
    legend = metric.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["ATJT", "equal"]
    # Told apart without colour.
    assert len({line.get_linestyle() for line in metric.lines}) == 2
    first, *rest = _points(areas.lines[0])
    assert math.isnan(first[1])
    assert rest == [(2, 0.7), (3, 0.8)]
    assert len(areas.lines) == 2  # the one run that weighs, and guessing
    assert [_points(line) for line in weights.lines] == [[(1, 0.8), (2, 0.7), (3, 0.6)]]
    (band,) = weights.collections
    edges = band.get_paths()[0].vertices
    assert edges[:, 1].min() == pytest.approx(0.55)
    assert edges[:, 1].max() == pytest.approx(0.85)


def test_series_keep_their_style_in_every_panel(tmp_path: Path, saved: list[Figure]) -> None:
    plot_training(tmp_path / "a.png", {"equal": BASE, "ATJT": ATJT})
    metric, areas, weights = saved[0].axes
    style = metric.lines[1].get_linestyle()
    assert style != metric.lines[0].get_linestyle()
    assert areas.lines[0].get_linestyle() == weights.lines[0].get_linestyle() == style


def test_without_noise_models_only_the_metric_is_shown(tmp_path: Path, saved: list[Figure]) -> None:
    plot_training(tmp_path / "a.png", {"equal": BASE}, metric="HR@5")
    _assert_png(tmp_path / "a.png", columns=1)
    (metric,) = saved[0].axes
    assert _points(metric.lines[0]) == [(1, 0.025), (2, 0.125)]
    assert metric.get_title() == "validation HR@5"


@pytest.mark.parametrize("count", [0, 3])
def test_no_run_is_left_out_silently(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match=rf"histories must hold 1\.\.2 runs, got {count}"):
        plot_training(tmp_path / "a.png", {str(run): BASE for run in range(count)})
    assert not (tmp_path / "a.png").exists()


def test_noise_figure_shows_both_histograms_and_the_roc_curve(
    tmp_path: Path, saved: list[Figure]
) -> None:
    plot_noise(tmp_path / "b.png", LOGITS, WEIGHTS, NOISY)
    _assert_png(tmp_path / "b.png", columns=2)
    weights, roc = saved[0].axes
    clean, noisy = weights.containers
    for bars, values in ((clean, WEIGHTS[~NOISY]), (noisy, WEIGHTS[NOISY])):
        heights = np.array([bar.get_height() for bar in bars])
        assert heights.sum() == pytest.approx(1.0)  # shares, not counts
        centres = np.array([bar.get_x() + bar.get_width() / 2 for bar in bars])
        assert (heights * centres).sum() == pytest.approx(float(values.mean()), abs=0.02)
    legend = weights.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == ["clean sequences", "noisy sequences"]
    # One noisy at 2; one noisy and one clean tie at 1; two clean below.
    assert [(round(x, 6), y) for x, y in _points(roc.lines[0])] == [
        (0, 0),
        (0, 0.5),
        (0.333333, 1),
        (0.666667, 1),
        (1, 1),
    ]
    assert "AUC 0.917" in roc.get_title()


def test_noise_figure_without_noisy_sequences_has_no_auc(
    tmp_path: Path, saved: list[Figure]
) -> None:
    plot_noise(tmp_path / "b.png", LOGITS, WEIGHTS, torch.zeros(5, dtype=torch.bool))
    _assert_png(tmp_path / "b.png", columns=2)
    weights, roc = saved[0].axes
    assert len(weights.containers) == 1
    assert "AUC" not in roc.get_title()


def test_the_suffix_decides_the_format(tmp_path: Path) -> None:
    plot_training(tmp_path / "a.svg", {"equal": BASE})
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_without_matplotlib_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        ImportError, match=r"figures need matplotlib: pip install 'atjt_ext\[plots\]'"
    ):
        plot_training(tmp_path / "a.png", {"equal": BASE})
    with pytest.raises(ImportError, match="figures need matplotlib"):
        plot_noise(tmp_path / "b.png", LOGITS, WEIGHTS, NOISY)
