"""How long does the paper's damage take: one item in each of half of the rows?"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch

from atjt_ext.ops import random_replacement
from question import EAGER, LOOP, OURS, Contender, Result
from replacement_question import Replacement, flat


@dataclass(frozen=True)
class PaperCase(Replacement):
    """Exactly half of the rows, one position each, a uniform item other than the original."""

    num_positions = 1

    @property
    def what(self) -> str:
        return "one position of half of the rows"

    @property
    def num_rows(self) -> int:
        return self.rows // 2

    def contenders(self) -> dict[str, Contender | str]:
        return {
            OURS: Contender(self._ours),
            EAGER: Contender(self._eager),
            LOOP: Contender(self._loop, slow=True),
        }

    def _ours(self) -> Result:
        return flat(
            random_replacement(
                self.sequences,
                num_items=self.num_items,
                sequence_fraction=0.5,
                num_replacements=1,
                seed=0,
            )
        )

    def _eager(self) -> Result:
        """As little as can be: it relies on padding being on the left."""
        rows = torch.randperm(self.rows, device=self.device)[: self.num_rows]
        lengths = (self.sequences[rows] != 0).sum(dim=1)
        from_the_end = (torch.rand(self.num_rows, device=self.device) * lengths).long()
        positions = self.length - 1 - from_the_end
        originals = self.sequences[rows, positions]
        items = torch.randint_like(originals, 1, self.num_items)
        items += items >= originals
        noisy, replaced = self.sequences.clone(), torch.zeros_like(self.sequences, dtype=torch.bool)
        noisy[rows, positions] = items
        replaced[rows, positions] = True
        return noisy, replaced, replaced.any(dim=1)

    def _loop(self) -> Result:
        """A row at a time over lists, and a tensor of them, as the paper's code does it."""
        noisy = self.sequences.tolist()
        replaced = [[False] * self.length for _ in noisy]
        for i in random.sample(range(self.rows), self.num_rows):
            row = noisy[i]
            length = sum(item != 0 for item in row)
            position = self.length - 1 - random.randrange(length)
            item = random.randrange(1, self.num_items)
            row[position] = item + (item >= row[position])
            replaced[i][position] = True
        marks_of_all = torch.tensor(replaced, device=self.device)
        return (
            torch.tensor(noisy, dtype=self.dtype, device=self.device),
            marks_of_all,
            marks_of_all.any(dim=1),
        )


def questions(device: str) -> list[PaperCase]:
    """The paper's batch of 256 histories of 19 items, and many long ones."""
    return [PaperCase(rows, length, device=device) for rows, length in ((256, 19), (4096, 200))]


def bench_paper_case(ask: Callable[[], None]) -> None:
    ask()
