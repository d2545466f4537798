"""How long does it take to replace a fifth of the items of every row?"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch

from atjt_ext.ops import random_replacement
from question import EAGER, LOOP, OURS, Contender, Result
from replacement_question import Replacement, flat


@dataclass(frozen=True)
class ShareOfEveryRow(Replacement):
    """Exact numbers of positions, uniform items other than the original."""

    replace_ratio: float = 0.2

    @property
    def what(self) -> str:
        return f"{self.replace_ratio:.0%} of every row"

    @property
    def num_rows(self) -> int:
        return self.rows

    @property
    def num_positions(self) -> int:
        return int(self.replace_ratio * self.length + 0.5)

    def contenders(self) -> dict[str, Contender | str]:
        return {
            OURS: Contender(self._ours),
            EAGER: Contender(self._eager),
            LOOP: Contender(self._loop, slow=True),
        }

    def _ours(self) -> Result:
        return flat(
            random_replacement(
                self.sequences, num_items=self.num_items, replace_ratio=self.replace_ratio, seed=0
            )
        )

    def _eager(self) -> Result:
        """The smallest of random keys, for rows with padding anywhere; nothing waits for a GPU."""
        valid = self.sequences != 0
        counts = torch.floor(self.replace_ratio * valid.sum(dim=1) + 0.5)
        keys = torch.rand(self.sequences.shape, device=self.device).masked_fill_(~valid, 2.0)
        smallest = keys.topk(self.num_positions, dim=1, largest=False, sorted=True).indices
        chosen = torch.arange(self.num_positions, device=self.device) < counts[:, None]
        replaced = torch.zeros_like(valid).scatter_(1, smallest, chosen)
        items = torch.randint_like(self.sequences, 1, self.num_items)
        items += items >= self.sequences
        return torch.where(replaced, items, self.sequences), replaced, counts > 0

    def _loop(self) -> Result:
        """A row at a time, as data loaders do it."""
        noisy, replaced = [], []
        for row in self.sequences.tolist():
            positions = [i for i, item in enumerate(row) if item != 0]
            count = int(self.replace_ratio * len(positions) + 0.5)
            marks = [False] * len(row)
            for position in random.sample(positions, count):
                item = random.randrange(1, self.num_items)
                row[position] = item + (item >= row[position])
                marks[position] = True
            noisy.append(row)
            replaced.append(marks)
        marks_of_all = torch.tensor(replaced, device=self.device)
        return (
            torch.tensor(noisy, dtype=self.dtype, device=self.device),
            marks_of_all,
            marks_of_all.any(dim=1),
        )


def questions(device: str) -> list[ShareOfEveryRow]:
    """A batch and many; both kinds of ids."""
    shapes = {"cpu": [(256, 200), (4096, 200)]}
    shapes["cuda"] = [(256, 50), (512, 200), (4096, 200), (16_384, 200)]
    return [
        ShareOfEveryRow(rows, length, dtype=dtype, device=device)
        for rows, length in shapes[device]
        for dtype in (torch.int64, torch.int32)
    ]


def bench_share(ask: Callable[[], None]) -> None:
    ask()
