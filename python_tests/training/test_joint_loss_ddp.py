"""The joint loss in several processes: each damages its own rows in its own places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from atjt_ext import JointLoss, JointTrainerConfig
from atjt_ext.corruption import RandomReplacement
from atjt_ext.data import user_folds

NUM_ITEMS, NUM_USERS, ROWS = 40, 12, 16

pytestmark = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(),
    reason="torch was built without gloo",
)


class Recording:
    """Damage that is kept, each row with the same chance in any batch."""

    def __init__(self) -> None:
        self.damage = RandomReplacement(
            num_items=NUM_ITEMS, sequence_probability=0.5, replace_ratio=0.5
        )
        self.seen: list[Tensor] = []

    def __call__(self, sequences: Tensor, **keys: Any) -> Any:
        noisy = self.damage(sequences, **keys)
        self.seen.append(noisy.sequences)
        return noisy


class Host(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        config = JointTrainerConfig.from_recipe("joint")
        self.corruption = Recording()
        self.joint = JointLoss(
            NUM_ITEMS,
            NUM_USERS,
            corruption=self.corruption,
            config=config,
            warmup_steps=3,
            calibrate_every=1,
        )
        torch.manual_seed(0)
        self.items = nn.Embedding(NUM_ITEMS + 1, 8)

    def forward(self, sequences: Tensor, users: Tensor, **options: Any) -> Tensor:
        scores = self.items(sequences[:, :-1]).mean(1) @ self.items.weight.T
        losses = F.cross_entropy(scores, sequences[:, -1], reduction="none")
        return self.joint(sequences, users, losses, **options)


def batch() -> tuple[Tensor, Tensor]:
    start = torch.arange(ROWS)[:, None]
    return (start + torch.arange(6)) % NUM_ITEMS + 1, torch.arange(ROWS) % NUM_USERS


def steps(host: Host, model: nn.Module, rank: int, world: int) -> list[Tensor]:
    """The damage of three steps and of the calibration that follows."""
    sequences, users = batch()
    model(sequences, users).backward()
    own = slice(rank * ROWS // world, (rank + 1) * ROWS // world)
    model(sequences[own], users[own], row_keys=torch.arange(ROWS)[own]).backward()
    # Process 0 has a batch of users of one fold.
    folds = user_folds(NUM_USERS, 2, seed=0)
    only = (folds == 0).nonzero().flatten()
    chosen = only if rank == 0 else torch.arange(len(only))
    model(sequences[: len(only)], chosen).backward()
    model.zero_grad()
    model(sequences, users).backward()
    return host.corruption.seen


def trained(rank: int, world: int, folder: Path) -> tuple[Host, list[Tensor]]:
    """Process ``rank`` of ``world``; the first one leaves the processes' file in ``folder``."""
    store = f"file://{folder}/store-{world}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    try:
        host = Host()
        return host, steps(host, DistributedDataParallel(host), rank, world)
    finally:
        distributed.destroy_process_group()


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.save(trained(rank, 2, folder)[1], folder / f"{rank}.pt")


def test_every_process_draws_damage_of_its_own(tmp_path: Path) -> None:
    alone = Host()
    wanted = steps(alone, alone, 0, 1)
    torch.multiprocessing.spawn(process, (tmp_path,), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    # 4 steps, and after the third and the fourth a calibration of 2 folds.
    assert len(first) == len(second) == len(wanted) == 8
    # Process 0 draws what one process draws.
    for step in (0, 5):
        assert torch.equal(first[step], wanted[step])
        assert not torch.equal(first[step], second[step])
    # Keys given by the caller: together the processes have the damage of the whole batch.
    assert torch.equal(torch.cat([first[1], second[1]]), wanted[1])


def test_a_group_of_one_process_trains_as_without_a_group(tmp_path: Path) -> None:
    alone = Host()
    wanted = steps(alone, alone, 0, 1)
    host, seen = trained(0, 1, tmp_path)
    assert all(map(torch.equal, seen, wanted))
    for ours, theirs in zip(host.parameters(), alone.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)


def test_keys_that_do_not_fit_are_refused() -> None:
    sequences, users = batch()
    for keys in (torch.arange(3), torch.arange(ROWS).float()):
        with pytest.raises(
            ValueError, match=r"row_keys must be \[16\] torch.int64 like users, got"
        ):
            Host()(sequences, users, row_keys=keys)
