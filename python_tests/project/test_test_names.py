"""No two test files share a name: pytest imports each by its bare name and refuses the second."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_two_test_files_share_a_name() -> None:
    counts = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert counts
    assert [name for name, count in counts.items() if count > 1] == []
