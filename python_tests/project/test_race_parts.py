"""The race of the host libraries: curves, contenders, data, judge, record, report and picture."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atjt_ext import SASRec
from atjt_ext.data import (
    LeaveOneOut,
    TrainingRows,
    leave_one_out,
    simulate_interactions,
    to_sequences,
)
from atjt_ext.evaluation import evaluate
from atjt_ext.evaluation.ranking import top_items
from race.contenders import DEFAULT, OURS, RECTOOLS, REPLAY, Contender, chosen, read_contenders
from race.course import Death, Result
from race.curves import (
    Mark,
    Point,
    mark_of,
    median_reached,
    round_thresholds,
    seconds_per_epoch,
    seconds_to,
    share_of_time,
)
from race.job import Job, RaceData, Sizes
from race.judge import Judge, race_data
from race.record import Record
from race.report import default_thresholds, markdown, marks_of, reached, spread

# ---- curves -------------------------------------------------------------------------------------


def _curve(*points: tuple[float, float], epoch: float = 2.0) -> list[Point]:
    """Points at (seconds, NDCG@10), with ``epoch`` seconds per epoch."""
    return [Point(cpu, cpu, cpu / epoch, ndcg, 2 * ndcg) for cpu, ndcg in points]


def test_a_value_is_reached_at_the_first_point_that_has_it() -> None:
    curve = _curve((1, 0.01), (2, 0.05), (3, 0.04), (4, 0.06))
    assert [seconds_to(curve, value) for value in (0.0, 0.05, 0.055, 0.07)] == [1, 2, 4, None]


def test_seconds_per_epoch_are_the_median_over_turns_of_parts_of_epochs() -> None:
    curve = [Point(cpu, cpu, epochs, 0.0, 0.0) for cpu, epochs in ((6, 0.5), (8, 1.5), (13, 4.0))]
    assert seconds_per_epoch(curve) == 2.0  # of 12 (with the warm-up), 2 and 2


def test_a_mark_is_the_best_value_of_all_and_the_first_who_had_it() -> None:
    curves = {
        "slow": _curve((10, 0.03), (20, 0.09)),
        "fast": _curve((5, 0.09), (9, 0.08)),
        "bad": _curve((1, 0.01)),
    }
    mark = mark_of(curves)
    assert mark == Mark(0.09, "fast", 5)
    assert share_of_time(_curve((1, 0.02), (2, 0.1)), mark) == 0.4
    assert share_of_time(_curve((1, 0.02), (2, 0.08)), mark) is None


@pytest.mark.parametrize(
    ("values", "middle"),
    [([3.0, 1.0, 2.0], 2.0), ([None, 1.0, 2.0], 2.0), ([None, 1.0, None], None), ([None], None)],
)
def test_a_value_that_was_not_reached_counts_as_later(
    values: list[float | None], middle: float | None
) -> None:
    assert median_reached(values) == middle


def test_thresholds_are_round_and_differ() -> None:
    assert round_thresholds(0.1134) == [0.057, 0.085, 0.102]
    assert round_thresholds(0.0011) == [0.001]


# ---- contenders and data ------------------------------------------------------------------------


def test_the_default_contenders_cover_the_three_libraries_whole_and_in_windows() -> None:
    assert len({one.name for one in DEFAULT}) == len(DEFAULT)
    assert {(one.library, one.windows) for one in DEFAULT} == {
        (OURS, False),
        *((host, windows) for host in (RECTOOLS, REPLAY) for windows in (False, True)),
    }


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "a list of objects wanted"),
        ([], "names must be there and differ"),
        ([{"name": "a", "library": "recbole"}], "one of atjt_ext, rectools, replay, got 'recbole'"),
        ([{"name": "a", "library": "atjt_ext", "windows": True}], "windows have no effect"),
        ([{"name": "a", "library": "replay", "training": {"seed": 1}}], "are for atjt_ext"),
        ([{"name": "a", "library": "replay", "epochs": 3}], "epochs"),
        ([{"name": "a", "library": "replay"}] * 2, "differ, got a, a"),
    ],
)
def test_contenders_without_sense_are_refused_with_their_file(
    tmp_path: Path, entries: Any, message: str
) -> None:
    file = tmp_path / "contenders.json"
    file.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=message) as caught:
        read_contenders(file)
    assert str(caught.value).startswith(str(file))


def test_contenders_are_chosen_by_name(tmp_path: Path) -> None:
    assert chosen(None, None) == DEFAULT
    assert [one.name for one in chosen(None, ["RePlay", "atjt_ext"])] == ["RePlay", "atjt_ext"]
    with pytest.raises(ValueError, match="no contender 'Spotlight'; there are: atjt_ext; "):
        chosen(None, ["RePlay", "Spotlight"])
    file = tmp_path / "contenders.json"
    file.write_text('[{"name": "a", "library": "replay"}, {"name": "b", "library": "atjt_ext"}]')
    assert chosen(file, ["b"]) == (Contender("b", OURS),)


@pytest.fixture(scope="module")
def split() -> LeaveOneOut:
    return leave_one_out(to_sequences(simulate_interactions(num_users=60, num_items=100, seed=1)))


def test_host_libraries_get_the_windows_and_histories_that_we_use(
    split: LeaveOneOut, tmp_path: Path
) -> None:
    race_data(split, 5).write(tmp_path / "data.npz")
    data = RaceData.read(str(tmp_path / "data.npz"))
    rows = TrainingRows(split.train, max_length=5)
    gathered = rows.gather(torch.arange(len(rows))).sequences
    assert [row.tolist() for row in data.rows(windows=True)] == [
        [item for item in row if item] for row in gathered.tolist()
    ]
    ends = split.train.offsets.tolist()
    whole = [split.train.items[a:b].tolist() for a, b in pairwise(ends)]
    assert [row.tolist() for row in data.rows(windows=False)] == whole
    assert data.histories.tolist() == [([0] * 5 + items)[-5:] for items in whole]
    assert data.num_items == split.train.num_items


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    job = Job(DEFAULT[1].as_dict(), 3, Sizes(heads=2), "a.inter", "data.npz", "exports")
    job.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == job
    assert Contender(**job.contender) == DEFAULT[1]


# ---- judge --------------------------------------------------------------------------------------


def _exported(split: LeaveOneOut, path: Path, **changes: Any) -> SASRec:
    """Writes what a worker would write of a new SASRec, with ``changes``."""
    torch.manual_seed(0)
    model = SASRec(split.train.num_items, max_length=5, embedding_dim=8).eval()
    lists, _ = top_items(model, split.valid, k=10, max_length=5)
    with torch.no_grad():
        hidden = model.encode(torch.from_numpy(race_data(split, 5).histories))[:, -1].numpy()
        items = model.item_table()[1:].numpy()
    known = np.ones(len(items), bool)
    arrays = {"hidden": hidden, "items": items, "known": known, "lists": lists.numpy()}
    np.savez(path, **arrays | changes)
    return model


def test_the_judge_agrees_with_evaluate_and_with_our_lists(
    split: LeaveOneOut, tmp_path: Path
) -> None:
    path = tmp_path / "export.npz"
    metrics = evaluate(_exported(split, path), split.valid, max_length=5)
    judge = Judge(split, 5)
    verdict = judge.verdict(path)
    assert verdict.ndcg == pytest.approx(metrics["NDCG@10"], abs=1e-12)
    assert verdict.hit_rate == pytest.approx(metrics["HR@10"], abs=1e-12)
    assert (verdict.unknown, judge.agreement(path)) == (0, 1.0)
    _exported(split, path, lists=np.ones((60, 10), np.int64) * -1)
    assert judge.agreement(path) == 0.0


def test_items_that_a_library_does_not_know_are_neither_hit_nor_recommended(
    split: LeaveOneOut, tmp_path: Path
) -> None:
    path = tmp_path / "export.npz"
    _exported(split, path, known=np.zeros(split.train.num_items, bool))
    verdict = Judge(split, 5).verdict(path)
    assert (verdict.ndcg, verdict.hit_rate, verdict.unknown) == (0.0, 0.0, split.train.num_items)
    only_target = np.zeros(split.train.num_items, bool)
    only_target[split.valid.targets.numpy() - 1] = True
    _exported(split, path, known=only_target)
    assert Judge(split, 5).verdict(path).ndcg > 0


def test_an_export_for_other_users_is_refused(split: LeaveOneOut, tmp_path: Path) -> None:
    path = tmp_path / "export.npz"
    _exported(split, path, hidden=np.zeros((59, 8), np.float32))
    with pytest.raises(ValueError, match=r"must hold hidden \[60, D\].*got \[59, 8\]"):
        Judge(split, 5).verdict(path)


# ---- record -------------------------------------------------------------------------------------

HEADING = {
    "data": {"file": "a.inter", "sha256": "0", "users": 1000, "items": 50, "interactions": 20_000},
    "sizes": asdict(Sizes()),
    "budget": 10.0,
    "turn": 2.0,
    "wheel": "abc",
    "processor": "some CPU",
    "machine": {"processor": "some CPU", "commit": "123", "date": "today"},
}
MINE, RIVAL, OTHER = (
    Contender("mine", OURS),
    Contender("Rec", RECTOOLS),
    Contender("Rep", REPLAY, {"dropout": 0.2}, windows=True),
)


def _result(contender: Contender, seed: int, *points: tuple[float, float]) -> Result:
    names = {MINE.name, RIVAL.name, OTHER.name} - {contender.name}
    return Result(
        contender,
        seed,
        _curve(*points),
        peak_mb=500.0 + seed,
        start={"targets_per_epoch": 1_000_000, "versions": {"torch": "2.13.0", "numpy": "2.0"}},
        end={"top10_cpu": [0.5, 0.25, 0.75]},
        agreement=0.999,
        beside=sorted(names),
        load=1.5,
    )


RESULTS = [
    _result(MINE, 0, (2, 0.05), (4, 0.08), (10, 0.10)),
    _result(RIVAL, 0, (2, 0.01), (10, 0.04)),
    _result(OTHER, 0, (2, 0.04), (8, 0.08)),
    _result(MINE, 1, (2, 0.05), (4, 0.09), (10, 0.11)),
    _result(RIVAL, 1, (2, 0.02), (10, 0.12)),
    _result(OTHER, 1, (2, 0.04), (8, 0.06)),
]


def test_a_race_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "race.jsonl"
    first = Record(path, HEADING)
    assert first.missing([MINE, RIVAL], 0) == [MINE, RIVAL]
    first.add(RESULTS[:1], [Death(RIVAL, 0, "out of luck")])
    path.write_text(path.read_text() + '{"result": {"conten')  # a kill while writing
    later = {**HEADING, "machine": {**HEADING["machine"], "date": "tomorrow"}}  # type: ignore[dict-item]
    second = Record(path, later)
    assert second.results == RESULTS[:1]
    assert second.heading == HEADING
    assert second.deaths == []  # a death is tried again
    assert second.missing([MINE, RIVAL], 0) == [RIVAL]
    assert second.missing([MINE, RIVAL], 1) == [MINE, RIVAL]
    second.add(RESULTS[1:2], [])
    assert Record(path, HEADING).results == RESULTS[:2]


@pytest.mark.parametrize("key", ["data", "sizes", "budget", "turn", "wheel", "processor"])
def test_a_race_with_other_settings_needs_another_folder(tmp_path: Path, key: str) -> None:
    path = tmp_path / "race.jsonl"
    Record(path, HEADING)
    with pytest.raises(ValueError, match=f"with {key} = .*now it is other: give another --out"):
        Record(path, HEADING | {key: "other"})


def test_a_name_keeps_its_options(tmp_path: Path) -> None:
    record = Record(tmp_path / "race.jsonl", HEADING)
    record.add(RESULTS[:1], [])
    with pytest.raises(ValueError, match="'mine' with other options"):
        record.missing([replace(MINE, model={"dropout": 0.1})], 0)


def test_a_damaged_record_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "race.jsonl"
    Record(path, HEADING)
    path.write_text(path.read_text() + '{"result": {"seed": 1}}\n')
    with pytest.raises(ValueError, match=r"race\.jsonl, line 2"):
        Record(path, HEADING)


# ---- report and picture -------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_contender() -> None:
    text = markdown(HEADING, RESULTS, [], [0.05, 0.09])
    lines = text.splitlines()
    assert (
        "| contender | seeds | s/epoch | targets/epoch | µs/target | s to 0.05 | s to 0.09 "
        "| best NDCG@10 | last NDCG@10 | peak MB | top-10 s |" in lines
    )
    assert (
        "| mine | 2 | 2.00 | 1,000,000 | 2.0 | 2.0 | 7.0 "
        "| 0.1050 ± 0.0071 | 0.1050 ± 0.0071 | 501 | 0.50 |" in lines
    )
    assert (
        "| Rec | 2 | 2.00 | 1,000,000 | 2.0 | - (1 of 2) | - (1 of 2) "
        "| 0.0800 ± 0.0566 | 0.0800 ± 0.0566 | 501 | 0.50 |" in lines
    )
    assert "torch 2.13.0" in text
    assert "numpy" not in text


def test_our_time_is_compared_with_the_best_of_each_host_and_of_both() -> None:
    assert marks_of(RESULTS, 0) == {
        "RecTools": Mark(0.04, "Rec", 10),
        "RePlay": Mark(0.08, "Rep", 8),
        "the better": Mark(0.08, "Rep", 8),
    }
    lines = markdown(HEADING, RESULTS, []).splitlines()
    assert "| 1 | RecTools | 0.1200 | Rec | 10.0 |" in lines
    assert "| contender | to the best of | seed 0 | seed 1 | median |" in lines
    assert "| mine | RecTools | 0.20 | - | - (1 of 2) |" in lines
    assert "| mine | RePlay | 0.50 | 0.50 | 0.50 |" in lines
    assert "| mine | the better | 0.50 | - | - (1 of 2) |" in lines


def test_thresholds_follow_the_better_host_or_ourselves() -> None:
    assert default_thresholds(RESULTS) == round_thresholds(0.08)
    assert default_thresholds(RESULTS[:1]) == round_thresholds(0.10)


def test_what_a_reader_must_know_is_said() -> None:
    text = markdown(HEADING, RESULTS, [])
    assert "At least 99.90% of a library's own top-10 lists" in text
    assert "Load average at most 1.5" in text
    assert "Not all took turns" not in text
    partly = [*RESULTS[:1], replace(RESULTS[1], unknown=7, beside=[]), *RESULTS[2:]]
    text = markdown(HEADING, partly, [Death(OTHER, 1, "Rep: ended\n  Error: no")])
    assert "* Not all took turns with one another: seeds 0." in text
    assert "* Rec: cannot recommend 7 items" in text
    assert "* NO RESULT: Rep, seed 1: Rep: ended / Error: no" in text


def test_a_race_without_any_result_has_a_report() -> None:
    text = markdown(HEADING, [], [Death(MINE, 0, "no luck")])
    assert "NO RESULT: mine, seed 0: no luck" in text


@pytest.mark.parametrize(
    ("values", "text"),
    [([1.0, 3.0], "2.0"), ([1.0], "1.0"), ([None], "-"), ([1.0, 3.0, None], "3.0 (2 of 3)")],
)
def test_times_say_how_many_seeds_have_them(values: list[float | None], text: str) -> None:
    assert reached(values) == text


def test_one_seed_has_no_spread() -> None:
    assert (spread([0.25]), spread([0.25, 0.75])) == ("0.2500", "0.5000 ± 0.3536")


def test_the_picture_names_all_contenders_and_is_the_same_each_time(tmp_path: Path) -> None:
    picture = pytest.importorskip("race.picture", reason="matplotlib is not installed")
    for name in ("a.svg", "b.svg"):
        picture.draw(tmp_path / name, RESULTS, "a.inter")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for wanted in ("mine", "Rec", "Rep", "a.inter", "processor seconds of training"):
        assert f">{wanted}" in text
    assert picture.common_grid([[1.0, 2.0, 3.0], [1.5, 2.5]]) == [1.25, 2.25]
