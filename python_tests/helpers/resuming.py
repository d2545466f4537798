"""A fit that is killed and resumed must end like an unbroken one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from atjt_ext import JointTrainer
from atjt_ext.data import LeaveOneOut
from helpers.joint import parameters


class Killed(Exception):
    """Raised in the middle of a fit, in place of a signal."""


def assert_resumes_like_unbroken(
    make: Callable[[], JointTrainer], split: LeaveOneOut, path: Path, *, after: int
) -> JointTrainer:
    """Fits once in one go, and once killed ``after`` epochs and resumed; both must end the same.

    Returns the resumed trainer.
    """
    unbroken = make()
    unbroken.fit(split.train, split.valid, progress=False)

    def kill(history: list[object]) -> None:
        if len(history) == after:
            raise Killed

    with pytest.raises(Killed):
        make().fit(split.train, split.valid, checkpoint=path, progress=False, on_epoch=kill)
    resumed = make()
    torch.manual_seed(99)  # a new process has another random state
    resumed.fit(split.train, split.valid, checkpoint=path, resume=True, progress=False)
    assert torch.equal(parameters(resumed.recommender), parameters(unbroken.recommender))
    for ours, theirs in zip(resumed.state.history, unbroken.state.history, strict=True):
        assert replace(ours, seconds=0) == replace(theirs, seconds=0)
    assert resumed.sequence_weights(split.train).equal(unbroken.sequence_weights(split.train))
    return resumed
