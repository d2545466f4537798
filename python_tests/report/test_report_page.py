"""The page of a run: its numbers, its markup, and what it must never load."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import html5lib
import polars as pl
import pytest

import atjt_ext.report
from atjt_ext.report import write_page
from atjt_ext.report.audit import audit_run
from atjt_ext.report.contents import changed_options
from atjt_ext.runs.config import RunConfig
from atjt_ext.runs.folder import Run
from atjt_ext.training.checkpoint import CheckpointError
from helpers.hostile_run import HOSTILE, small_run
from helpers.small_run import without_manifest

MINUS = "\N{MINUS SIGN}"
STYLE = (Path(atjt_ext.report.__file__).parent / "style.css").read_text(encoding="utf-8")


def parsed(text: str) -> ElementTree.Element:
    """The page's tree; raises at the first thing that is not HTML."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def words(node: ElementTree.Element) -> str:
    return " ".join("".join(node.itertext()).split())


def rows(root: ElementTree.Element, section: str, table: int) -> dict[str, list[str]]:
    """Cells by the head of their row."""
    found = root.findall(f".//section[@id='{section}']//table")[table]
    return {words(r.find("th")): [words(c) for c in r.findall("td")]  # type: ignore[arg-type]
            for r in found.findall(".//tbody/tr")}  # fmt: skip


def section(root: ElementTree.Element, name: str) -> str:
    found = root.find(f".//section[@id='{name}']")
    assert found is not None
    return words(found)


@pytest.fixture(scope="module")
def text(trained_run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pages") / "page.html"
    write_page(trained_run, path, top=5)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def root(text: str) -> ElementTree.Element:
    return parsed(text)


@pytest.fixture
def copied(trained_run: Run, tmp_path: Path) -> Run:
    """The run in a folder that may be changed."""
    return Run(Path(shutil.copytree(trained_run.folder, tmp_path / "copy")))


def page(run: Run, tmp_path: Path) -> str:
    write_page(run, tmp_path / "page.html")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


# ---- numbers ----------------------------------------------------------------------------------


def test_results_are_those_that_the_run_wrote_down(
    root: ElementTree.Element, trained_run: Run
) -> None:
    ours, base = trained_run.metrics(), Run(trained_run.folder / "equal_weights").metrics()
    for table, part in ((0, "test"), (1, "sampled_test")):
        shown = rows(root, "result", table)
        assert len(shown) >= 5
        for name, (value, baseline, change, *interval) in shown.items():
            key = name.replace("paper's ", "paper_")
            assert value == f"{ours[part][key]:.4f}"
            assert baseline == f"{base[part][key]:.4f}"
            difference = ours[part][key] / base[part][key] - 1
            assert change == f"{100 * difference:+.1f} %".replace("-", MINUS)
            if part == "test":
                low, high = (float(end.replace(MINUS, "-")) for end in interval[0].split(" to "))
                assert low <= ours[part][key] - base[part][key] + 5e-5
                assert high >= ours[part][key] - base[part][key] - 5e-5
    watched = trained_run.config().trainer.valid_metric
    assert f"{ours['test'][watched]:.4f} {watched} on test data" in section(root, "result")
    assert f"{ours['test'][watched]:.4f}" in rows(root, "result", 0)[watched]


def test_users_are_grouped_by_what_the_headings_say(
    root: ElementTree.Element, trained_run: Run
) -> None:
    sequences = trained_run.sequences()
    users = [sequences.items_of(user).tolist() for user in range(sequences.num_users)]
    # The last item is the test target; the one before it is known then, but not trained on.
    trained_on = Counter(item for items in users for item in set(items[:-2]))
    lengths = [len(items) - 1 for items in users]
    popularity = [trained_on[items[-1]] for items in users]
    for table, values in ((0, lengths), (1, popularity)):
        for label, cells in rows(root, "for-whom", table).items():
            low, _, high = label.partition(" to ")
            inside = [value for value in values if int(low) <= value <= int(high or low)]
            assert int(cells[0]) == len(inside)
            assert {int(low), int(high or low)} <= set(inside)


def test_groups_of_users_make_up_the_whole(root: ElementTree.Element, trained_run: Run) -> None:
    watched = trained_run.config().trainer.valid_metric
    metrics = trained_run.metrics()["test"]
    for table in (0, 1):
        shown = rows(root, "for-whom", table).values()
        users = [int(cells[0]) for cells in shown]
        assert sum(users) == 150
        total = sum(n * float(cells[1]) for n, cells in zip(users, shown, strict=True))
        assert total / 150 == pytest.approx(metrics[watched], abs=1e-4)


def test_curves_show_every_epoch(root: ElementTree.Element, trained_run: Run) -> None:
    watched = trained_run.config().trainer.valid_metric
    shown = rows(root, "training", 0)
    base = Run(trained_run.folder / "equal_weights").history()
    assert shown == {
        str(one.epoch): [f"{one.valid[watched]:.4f}", f"{other.valid[watched]:.4f}"]
        for one, other in zip(trained_run.history(), base, strict=True)
    }


def test_what_is_said_of_the_noise_is_what_the_run_found(
    root: ElementTree.Element, trained_run: Run
) -> None:
    noise, audit = trained_run.metrics()["noise"], audit_run(trained_run)
    said = section(root, "noise")
    for name in ("interaction_AUC", "sequence_AUC"):
        assert said.count(f"{noise[name]:.3f}") >= 2  # in the text and in the figure
    bins = rows(root, "noise", 0)
    assert [(int(c[0].replace(",", "")), c[1], c[2]) for c in bins.values()] == [
        (one.count, f"{one.predicted:.3f}", f"{one.observed:.3f}") for one in audit.calibration()
    ]
    weights = rows(root, "weights-of", 1)
    truth = audit.sequences.is_noise
    assert truth is not None
    for label, chosen in (("clean", ~truth), ("planted noise", truth)):
        values = 1 - audit.p_noise[chosen]
        assert weights[label][:2] == [f"{len(values):,}", f"{float(values.mean()):.3f}"]
    shares = rows(root, "weights-of", 0).values()
    for column in (0, 1):
        total = sum(float(cells[column].removesuffix(" %")) for cells in shares)
        assert total == pytest.approx(100, abs=1)


def test_the_most_suspicious_come_with_their_reasons(
    root: ElementTree.Element, trained_run: Run
) -> None:
    audit = audit_run(trained_run)
    shown = root.findall(".//section[@id='suspicious']//table")[1].findall("tbody")
    assert len(shown) == 5
    for group, one in zip(shown, audit.most_suspicious(5), strict=True):
        first, second = group
        truth = "yes" if one.is_noise else "no"
        expected = [f"{one.p_noise:.3f}", truth, f"{one.user}, {one.item}"]
        assert [words(cell) for cell in first] == expected
        assert [words(reason) for reason in second.iter("li")] == one.reasons
    users = list(rows(root, "suspicious", 0))
    assert users == audit.users()["user"].head(5).to_list()


def test_the_same_run_gives_the_same_page(text: str, trained_run: Run, tmp_path: Path) -> None:
    write_page(trained_run, tmp_path / "again.html", top=5)
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


# ---- markup -----------------------------------------------------------------------------------


def test_ids_are_shown_as_they_are_and_never_obeyed(root: ElementTree.Element) -> None:
    assert HOSTILE in section(root, "suspicious")
    assert "</td><script>" in section(root, "suspicious")
    heading = root.find(".//h1")
    assert heading is not None
    assert words(heading) == "<i>&run"
    assert not {node.tag for node in root.iter()} & {"script", "b", "i"}


def test_nothing_is_loaded_from_anywhere(text: str, root: ElementTree.Element) -> None:
    assert "://" not in text
    assert not re.search(r"@import|url\(|javascript:", text)
    tags = {node.tag for node in root.iter() if isinstance(node.tag, str)}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "audio", "video"}
    for node in root.iter():
        assert not {"src", "srcset", "style", "background"} & node.attrib.keys()
        assert node.get("href", "#").startswith("#")
        assert not [name for name in node.attrib if name.startswith("on")]


def test_ids_of_elements_are_unique_and_references_arrive(root: ElementTree.Element) -> None:
    ids = Counter(node.get("id") for node in root.iter() if node.get("id"))
    assert max(ids.values()) == 1
    asked = [node.get("href", "#")[1:] for node in root.iter("a")]
    for node in root.iter():
        asked += node.get("aria-labelledby", "").split()
    assert len(asked) > 20
    assert set(asked) <= set(ids)


def test_every_figure_has_a_title_a_description_and_a_caption(
    root: ElementTree.Element,
) -> None:
    figures = list(root.iter("figure"))
    # Curves, loss, two groups of users, weights, ROC, calibration.
    assert len(figures) == 7
    for figure in figures:
        heading, caption = figure.find("figcaption/h3"), figure.find("figcaption/p")
        drawing = next(node for node in figure.iter() if node.tag.endswith("svg"))
        texts = {node.tag.rpartition("}")[2]: words(node) for node in drawing}
        assert heading is not None
        assert caption is not None
        assert words(heading) == texts["title"]
        assert len(words(caption)) > 40
        assert len(texts["desc"]) > 10
        assert "nan" not in ElementTree.tostring(drawing, encoding="unicode").lower()


def test_the_page_names_its_language_width_and_title(text: str, root: ElementTree.Element) -> None:
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    names = {node.get("name"): node.get("content") for node in root.iter("meta")}
    assert names["viewport"] == "width=device-width, initial-scale=1"
    title = root.find(".//head/title")
    assert title is not None
    assert words(title) == "<i>&run: report of a run"
    # Every region that scrolls can be reached by keyboard and has a name.
    for node in root.iter("div"):
        if node.get("class") == "scroll":
            assert node.get("tabindex") == "0"
            assert node.get("aria-label")


def test_a_strict_parser_sees_what_browsers_forgive() -> None:
    with pytest.raises(html5lib.html5parser.ParseError):
        parsed("<!DOCTYPE html><html lang=en><title>x</title><p>a</b></p></html>")


# ---- colours ----------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` or ``#rgb``, as WCAG 2 defines it."""
    digits = colour.removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(c * w for c, w in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_text_stands_out_in_light_in_dark_and_on_paper() -> None:
    schemes = [
        dict(re.findall(r"--(\w+): (#\w+)", block))
        for block in re.findall(r":root \{([^}]*)\}", STYLE)
    ]
    assert len(schemes) == 3
    assert luminance(schemes[0]["paper"]) > 0.8 > 0.1 > luminance(schemes[1]["paper"])
    assert "@media (prefers-color-scheme: dark)" in STYLE
    assert "@media print" in STYLE
    for scheme in schemes:
        for name in ("ink", "quiet", "one", "two"):
            pair = sorted((luminance(scheme[name]), luminance(scheme["paper"])))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, name


# ---- other runs -------------------------------------------------------------------------------


def test_without_a_baseline_nothing_is_compared(copied: Run, tmp_path: Path) -> None:
    shutil.rmtree(copied.folder / "equal_weights")
    root = parsed(page(copied, tmp_path))
    assert "no baseline beside this run" in section(root, "result")
    assert {len(cells) for cells in rows(root, "result", 0).values()} == {1}
    assert {len(cells) for cells in rows(root, "for-whom", 0).values()} == {2}
    assert "equal weights" not in words(root)


def test_a_baseline_of_its_own_is_a_page_too(trained_run: Run, tmp_path: Path) -> None:
    root = parsed(page(Run(trained_run.folder / "equal_weights"), tmp_path))
    assert "Every training interaction has weight 1." in section(root, "weights-of")
    assert "judged anew" in section(root, "suspicious")
    heads = root.findall(".//section[@id='result']//thead/tr")[0]
    assert [words(cell) for cell in heads] == ["test", "equal weights"]


def test_without_the_truth_there_is_no_noise_to_be_found(copied: Run, tmp_path: Path) -> None:
    for run in (copied, copied.baseline):
        path = without_manifest(run).data.sequences_path
        pl.read_parquet(path).drop("is_noise").write_parquet(path)
    root = parsed(page(copied, tmp_path))
    assert root.find(".//section[@id='noise']") is None
    assert "planted" not in words(root).lower()
    assert list(rows(root, "weights-of", 1)) == ["all"]


def test_a_run_with_noise_models_shows_how_well_they_learned(tmp_path: Path) -> None:
    run = small_run(tmp_path / "joint", "joint", baseline=False)
    root = parsed(page(run, tmp_path))
    areas = [record.noise_auc for record in run.history()]
    assert [cells[0] for cells in rows(root, "training", 2).values()] == [
        f"{area:.4f}" for area in areas
    ]
    assert "the run's own noise models" in section(root, "suspicious")


def test_metrics_that_do_not_come_out_again_are_said_to(copied: Run, tmp_path: Path) -> None:
    assert "give other metrics" not in page(copied, tmp_path)
    metrics = without_manifest(copied).metrics()
    metrics["test"]["HR@5"] += 0.01
    copied.metrics_path.write_text(json.dumps(metrics))
    assert "give other metrics than the run wrote down" in page(copied, tmp_path)


def test_an_unfinished_run_is_refused(copied: Run, tmp_path: Path) -> None:
    copied.metrics_path.unlink()
    with pytest.raises(CheckpointError, match=r"the run has not finished"):
        write_page(copied, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_baseline_of_other_users_is_refused(copied: Run, tmp_path: Path) -> None:
    path = without_manifest(copied.baseline).data.sequences_path
    frame = pl.read_parquet(path)
    frame.with_columns(user=pl.lit("x") + pl.col("user")).write_parquet(path)
    with pytest.raises(CheckpointError, match="trained on another set of users"):
        write_page(copied, tmp_path / "page.html")


def test_options_that_differ_from_the_recipe_are_named(root: ElementTree.Element) -> None:
    said = section(root, "run")
    assert said.startswith("The run Options that differ from the recipe: ")
    for change in ("embedding_dim = 16", "num_blocks = 1", "epochs = 3", "max_length = 12"):
        assert change in said
    assert "batch_size =" not in said


def test_a_noise_model_that_the_recipe_lacks_is_a_difference() -> None:
    config = RunConfig.from_recipe(weighting="calibrated")
    noise_model = ["noise_model = target_attention", "noise_embedding_dim = 32"]
    assert changed_options(config)[:2] == noise_model
    assert "weighting = calibrated" in changed_options(config)
    assert changed_options(RunConfig.from_recipe("joint")) == []
