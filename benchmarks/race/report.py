"""The record of a race as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import mean, median, stdev
from typing import Any

from .contenders import OURS, TITLES
from .course import Death, Result
from .curves import (
    Curve,
    Mark,
    best_ndcg,
    mark_of,
    median_reached,
    round_thresholds,
    seconds_per_epoch,
    seconds_to,
    share_of_time,
)


def markdown(
    heading: dict[str, Any],
    results: Sequence[Result],
    deaths: Sequence[Death],
    thresholds: Sequence[float] | None = None,
) -> str:
    """The whole report.

    Args:
        thresholds: NDCG@10 to reach; None takes shares of what the host libraries reach.
    """
    lines = ["# SASRec here and in the host libraries", "", *_about(heading, results), ""]
    lines += contenders_table(results, thresholds or default_thresholds(results))
    seeds = sorted({one.seed for one in results})
    marks = {seed: marks_of(results, seed) for seed in seeds}
    if any(marks.values()):
        lines += ["", "## The best NDCG@10 of the host libraries, and the time to it", ""]
        lines += [*marks_table(marks), "", *shares_table(results, marks)]
    return "\n".join([*lines, "", *(f"* {line}" for line in remarks(results, deaths)), ""])


def _about(heading: dict[str, Any], results: Sequence[Result]) -> list[str]:
    data, sizes, machine = heading["data"], heading["sizes"], heading["machine"]
    versions: dict[str, str] = {}
    for result in results:
        for name, version in result.start["versions"].items():
            if name in ("atjt_ext", "rectools", "replay-rec", "torch"):
                versions[name] = version
    return [
        f"{data['file']}: {data['users']:,} users, {data['items']:,} items, "
        f"{data['interactions']:,} interactions, leave-one-out. Width {sizes['width']}, length "
        f"{sizes['length']}, blocks {sizes['blocks']}, heads {sizes['heads']}, batches of "
        f"{sizes['batch_size']}, Adam at {sizes['learning_rate']:g}, softmax over all items.",
        "",
        f"{machine['processor']}, one thread; "
        + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        + f"; benchmarks at {machine['commit']}; {machine['date']}. Budget: {heading['budget']:g} "
        f"processor seconds of training, in turns of {heading['turn']:g}.",
    ]


def _by_contender(results: Iterable[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda one: one.seed):
        groups.setdefault(result.contender.name, []).append(result)
    return groups


def default_thresholds(results: Sequence[Result]) -> list[float]:
    """Shares of the best mean NDCG@10 of a host library's contender; of ours without any."""
    hosts = [one for one in results if one.contender.library != OURS] or results
    groups = _by_contender(hosts).values()
    return round_thresholds(
        max((mean(best_ndcg(one.curve) for one in group) for group in groups), default=0.0)
    )


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean and, of several values, their standard deviation."""
    text = f"{mean(values):.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {stdev(values):.{digits}f}"


def reached(values: Sequence[float | None], digits: int = 1) -> str:
    """The median of times, with how many seeds reached the value at all if not all did."""
    middle, count = median_reached(values), sum(value is not None for value in values)
    text = "-" if middle is None else f"{middle:.{digits}f}"
    return text if count in (0, len(values)) else f"{text} ({count} of {len(values)})"


def contenders_table(results: Sequence[Result], thresholds: Sequence[float]) -> list[str]:
    """A row per contender; times are processor seconds of training, medians over the seeds."""
    headings = ["contender", "seeds", "s/epoch", "targets/epoch", "µs/target"]
    headings += [f"s to {value:g}" for value in thresholds]
    headings += ["best NDCG@10", "last NDCG@10", "peak MB", "top-10 s"]
    rows = []
    for name, group in _by_contender(results).items():
        epoch = median(seconds_per_epoch(one.curve) for one in group)
        targets = group[0].start["targets_per_epoch"]
        rows.append(
            [
                name,
                str(len(group)),
                f"{epoch:.2f}",
                f"{targets:,}",
                f"{epoch / targets * 1e6:.1f}",
                *(reached([seconds_to(one.curve, value) for one in group]) for value in thresholds),
                spread([best_ndcg(one.curve) for one in group]),
                spread([one.curve[-1].ndcg for one in group]),
                f"{max(one.peak_mb for one in group):.0f}",
                f"{median(second for one in group for second in one.end['top10_cpu']):.2f}",
            ]
        )
    return _table(headings, rows)


def marks_of(results: Sequence[Result], seed: int) -> dict[str, Mark]:
    """The mark of each host library with ``seed``, by its title, and of both together."""
    marks: dict[str, Mark] = {}
    hosts: dict[str, Curve] = {}
    for library, title in TITLES.items():
        curves = {
            one.contender.name: one.curve
            for one in results
            if one.seed == seed and one.contender.library == library != OURS
        }
        hosts |= curves
        if curves:
            marks[title] = mark_of(curves)
    if len(marks) > 1:
        marks["the better"] = mark_of(hosts)
    return marks


def marks_table(marks: dict[int, dict[str, Mark]]) -> list[str]:
    """What each host library reached with each seed, by whom, and when first."""
    rows = [
        [str(seed), title, f"{mark.ndcg:.4f}", mark.contender, f"{mark.seconds:.1f}"]
        for seed, of_seed in marks.items()
        for title, mark in of_seed.items()
        if title in TITLES.values()
    ]
    return _table(["seed", "library", "best NDCG@10", "contender", "s"], rows)


def shares_table(results: Sequence[Result], marks: dict[int, dict[str, Mark]]) -> list[str]:
    """Our time to a host library's best NDCG@10, over its own time to it."""
    seeds = list(marks)
    titles = dict.fromkeys(title for of_seed in marks.values() for title in of_seed)
    headings = ["contender", "to the best of", *(f"seed {seed}" for seed in seeds), "median"]
    rows = []
    for name, group in _by_contender(results).items():
        if group[0].contender.library != OURS:
            continue
        curves = {one.seed: one.curve for one in group}
        for title in titles:
            shares = {
                seed: share_of_time(curves[seed], marks[seed][title])
                for seed in seeds
                if seed in curves and title in marks[seed]
            }
            cells = ["" if seed not in shares else reached([shares[seed]], 2) for seed in seeds]
            rows.append([name, title, *cells, reached(list(shares.values()), 2)])
    return _table(headings, rows)


def remarks(results: Sequence[Result], deaths: Sequence[Death]) -> list[str]:
    """What a reader of the tables must know of this run."""
    lines = [
        "Seconds are processor seconds of training alone: no start, no evaluation. A dash: not "
        "reached with half of the seeds.",
        "Peak MB: resident memory of the process while it trains, with its libraries.",
        "top-10 s: from histories to lists of all users, in the library's own way.",
    ]
    if results:
        lines.append(
            f"At least {min(one.agreement for one in results):.2%} of a library's own top-10 lists "
            f"are the judge's, too. Load average at most {max(one.load for one in results):.1f}."
        )
    lines += [
        f"{name}: cannot recommend {group[0].unknown} items, because it trains on none of them."
        for name, group in _by_contender(results).items()
        if group[0].unknown
    ]
    names = {one.contender.name for one in results}
    alone = sorted({one.seed for one in results if {*one.beside, one.contender.name} != names})
    if alone:
        lines.append(f"Not all took turns with one another: seeds {', '.join(map(str, alone))}.")
    for death in deaths:
        reason = " / ".join(line.strip() for line in death.reason.splitlines())
        lines.append(f"NO RESULT: {death.contender.name}, seed {death.seed}: {reason}")
    return lines


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
