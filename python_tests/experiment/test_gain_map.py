"""The map of the gain over shares of noisy users and of their items."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_experiment_results import result

from atjt_ext.experiment import write_report
from atjt_ext.experiment.comparison import compare
from atjt_ext.experiment.gain_map import gain_maps, map_table
from atjt_ext.experiment.plots import plot_gain_maps
from atjt_ext.experiment.store import CellResult

GOOD, BAD = [1] * 50, [1] * 40 + [99] * 10


def grid(*noises: str, recipe: str = "oracle-both", seeds: int = 5) -> list[CellResult]:
    """A recipe that gains a quarter under every noise, from the same 10 of 50 users."""
    return [
        result(name, seed, ranks, noise=noise)
        for noise in noises
        for seed in range(seeds)
        for name, ranks in (("equal_weights", BAD), (recipe, GOOD))
    ]


FOUR = tuple(f"concentrated:{users}:{items}" for users in (0.3, 0.1) for items in (0.5, 0.2))


def test_a_recipe_has_a_map_where_both_shares_vary() -> None:
    (found,) = gain_maps(compare(grid(*FOUR), "HR@10"))
    assert (found.user_shares, found.item_shares) == ((0.1, 0.3), (0.2, 0.5))
    gains = [gain for row in found.gains for gain in row if gain is not None]
    assert [gain.percent for gain in gains] == pytest.approx([25.0] * 4)  # 0.2 of 0.8
    for fewer in (FOUR[:1], FOUR[:2], FOUR[::2], ("diffuse:0.2", "none")):
        assert gain_maps(compare(grid(*fewer), "HR@10")) == []


@pytest.mark.parametrize("other", ["concentrated:0.3:0.5:1", "shared:0.3:0.5"])
def test_other_noise_is_not_mixed_in(other: str) -> None:
    results = grid(*FOUR[1:], other)
    (found,) = gain_maps(compare(results, "HR@10"))
    assert found.gains[1][1] is None
    assert [row.count(None) for row in found.gains] == [0, 1]


def test_the_table_is_in_per_cent_of_the_baseline() -> None:
    (found,) = gain_maps(compare(grid(*FOUR[:3]), "HR@10"))
    # The error over users is sqrt(0.2 * 0.8 / 49). 10 users differ: 9 degrees, so 2.262 errors.
    gain = "+25.0 % [+8.8, +41.2]"
    assert map_table(found) == [
        "**a.csv, sasrec, oracle-both**",
        "",
        "| noisy users | 20% of their items | 50% of their items |",
        "|---|---|---|",
        f"| 10% | - | {gain} |",
        f"| 30% | {gain} | {gain} |",
    ]
    (one_seed,) = gain_maps(compare(grid(*FOUR, seeds=1), "HR@10"))
    assert map_table(one_seed)[-1] == "| 30% | +25.0 % | +25.0 % |"


def test_the_report_holds_maps_and_their_figure(tmp_path: Path) -> None:
    results = [*grid(*FOUR), *grid(*FOUR, recipe="default")]
    write_report(list({str(r.cell): r for r in results}.values()), tmp_path, metric="HR@10")
    text = (tmp_path / "results.md").read_text()
    assert "## Where the gain is" in text
    assert text.count("| noisy users |") == 2
    assert (tmp_path / "gain_map.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="maps must not be empty"):
        plot_gain_maps(tmp_path / "x.png", [], metric="HR@10")


def test_a_grid_without_a_map_has_none(tmp_path: Path) -> None:
    write_report(grid("none", "diffuse:0.2"), tmp_path, metric="HR@10")
    assert not (tmp_path / "gain_map.png").exists()
    assert "Where the gain is" not in (tmp_path / "results.md").read_text()


def test_holes_and_losses_are_drawn(tmp_path: Path) -> None:
    worse = [
        result(name, seed, ranks, noise=FOUR[0])
        for seed in range(5)
        for name, ranks in (("equal_weights", GOOD), ("oracle-both", BAD))
    ]
    hopeless = [
        result(name, seed, [99], noise=FOUR[3])
        for seed in range(2)
        for name in ("equal_weights", "oracle-both")
    ]
    (found,) = gain_maps(compare([*worse, *hopeless, *grid(*FOUR[1:3])], "HR@10"))
    assert map_table(found)[-1].endswith("-20.0 % [-32.9, -7.1] |")
    assert map_table(found)[-2].startswith("| 10% | - |")  # nothing to divide by
    plot_gain_maps(tmp_path / "map.svg", [found], metric="HR@10")
    drawn = (tmp_path / "map.svg").read_text()
    assert "<!-- -20.0 % -->" in drawn
    assert "nan" not in drawn
