"""Forms for issues ask for what an answer needs; the page about security names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
FORMS = REPOSITORY / ".github" / "ISSUE_TEMPLATE"
SECURITY = REPOSITORY / "docs" / "security.md"

in_repository = pytest.mark.skipif(not FORMS.is_dir(), reason="not part of a source distribution")


def fields(name: str) -> dict[str, dict]:
    """The fields of a form by their id."""
    form = yaml.safe_load((FORMS / name).read_text("utf-8"))
    assert form["name"]
    assert form["description"]
    return {one["id"]: one for one in form["body"] if one["type"] != "markdown"}


@in_repository
@pytest.mark.parametrize("name", ["bug.yml", "feature.yml", "question.yml"])
def test_a_form_is_valid(name: str) -> None:
    for field in fields(name).values():
        assert field["type"] in {"textarea", "input", "dropdown", "checkboxes"}
        assert field["attributes"]["label"]
        assert isinstance(field["validations"]["required"], bool)


@in_repository
def test_a_bug_comes_with_what_an_answer_needs() -> None:
    form = fields("bug.yml")
    assert "`atjt info`" in form["info"]["attributes"]["label"]
    assert {name for name, one in form.items() if one["validations"]["required"]} == {
        *("info", "command", "error")
    }
    assert "sample" in form["data"]["attributes"]["label"]


def test_tests_named_by_the_page_about_security_exist() -> None:
    named = re.findall(r"`(python_tests/[\w/.]+)`", SECURITY.read_text("utf-8"))
    assert len(named) > 15
    assert [one for one in named if not (REPOSITORY / one).exists()] == []


def test_the_page_about_security_covers_every_part() -> None:
    headings = re.findall(r"^## (.*)", SECURITY.read_text("utf-8"), re.M)
    for part in ("Data files", "Run folders", "Checkpoints", "Report pages", "Terminals", "native"):
        assert any(part in heading for heading in headings)


@pytest.mark.parametrize("name", ["SECURITY.md", "CONTRIBUTING.md"])
def test_a_link_leads_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)\)", (REPOSITORY / name).read_text("utf-8"))
    assert targets
    for target in targets:
        assert target.startswith("http") or (REPOSITORY / target).exists(), target


def test_contributing_names_targets_that_exist() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    for target in re.findall(r"^make (\w+)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
