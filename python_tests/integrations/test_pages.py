"""The pages of docs/integrations, as far as no host is needed to check them."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest
import torch

from atjt_ext.data import weights_from_table
from atjt_ext.training.joint_loss import JointLoss
from host_pages import CHANGED, DOCS, blocks, changed_lines, run_page

HOSTS = ("recbole", "rectools", "replay", "lightning")
PAGES = (*HOSTS, "plain-pytorch")
ENVIRONMENT = (Path(__file__).parent / "environment").read_text(encoding="utf-8")
CONSTRAINTS = (Path(__file__).parents[2] / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.usefixtures("in_folder")
def test_the_plain_page_runs_and_both_ways_train(tmp_path: Path) -> None:
    names = run_page("plain-pytorch", tmp_path)
    joint = names["joint"]
    assert joint.steps == 9
    fresh = JointLoss(joint.num_items, joint.num_users)
    for mine, new in zip(joint.parameters(), fresh.parameters(), strict=True):
        assert not torch.equal(mine, new)
    fresh.load_state_dict(torch.load("run.pt", weights_only=True)["joint"])
    assert fresh.steps == 8
    again = weights_from_table(names["sequences"], names["table"])
    assert torch.equal(again, names["found"].weights)
    # Rows as the user keeps them: every window beside the weights of its items.
    rows, weights = names["padded"]("item_code"), names["padded"]("weight")
    assert torch.equal(rows == 0, weights == 0)


@pytest.mark.parametrize("page", PAGES)
def test_at_most_twenty_lines_change(page: str) -> None:
    marked = [code for code in blocks(page) if CHANGED in code]
    assert marked
    assert 5 <= sum(map(changed_lines, marked)) <= 20


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_where_it_was_tested_and_what_traps_there_are(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    torch_version = re.search(r"^torch==(\S+)$", CONSTRAINTS, re.M)
    assert torch_version is not None
    assert re.search(rf"[Tt]ested with .*torch {re.escape(torch_version[1])}", text)
    assert "## Traps" in text


@pytest.mark.parametrize("host", HOSTS)
def test_pages_and_tests_install_the_same(host: str) -> None:
    (command,) = blocks(host, "bash")
    wanted = re.search(rf"^ *{host}\) packages=\((.*)\) ;;$", ENVIRONMENT, re.M)
    assert wanted is not None
    assert command.strip() == f"pip install torch {wanted[1]}"


@pytest.mark.parametrize("host", ["recbole", "rectools", "replay"])
def test_without_its_host_a_module_says_what_to_install(host: str) -> None:
    if importlib.util.find_spec(host) is not None:
        pytest.skip(f"{host} is installed")
    (command,) = blocks(host, "bash")
    with pytest.raises(ImportError) as caught:
        importlib.import_module(f"atjt_ext.integrations.{host}")
    assert command.strip().removeprefix("pip install torch ") in str(caught.value)
