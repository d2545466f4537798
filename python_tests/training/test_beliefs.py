"""Beliefs: the four sources answer one interface."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from atjt_ext import SASRec, TargetAttentionNoiseModel
from atjt_ext.data import LeaveOneOut, leave_one_out
from atjt_ext.training.joint_models import JointModels
from helpers.joint import config
from helpers.tiny import tiny_sequences

SOURCES = ["equal", "given", "co_occurrence", "calibrated", "clean_probability"]


def models_of(weighting: str, num_items: int, **changes: object) -> JointModels:
    learns = weighting in ("calibrated", "clean_probability")
    return JointModels(
        SASRec(num_items, max_length=12, embedding_dim=8, num_blocks=1),
        TargetAttentionNoiseModel(num_items, embedding_dim=4) if learns else None,
        config=config(recipe="default", weighting=weighting, **changes),
    )


@pytest.mark.parametrize("weighting", SOURCES)
def test_every_source_answers_the_same_questions(split: LeaveOneOut, weighting: str) -> None:
    train = replace(split.train, weights=torch.rand(split.train.num_interactions))
    models = models_of(weighting, train.num_items)
    beliefs = models.beliefs
    learned_from = beliefs.to_learn_from(train)
    models.begin(train.num_users)
    assert (learned_from.weights is not None) or weighting == "equal"
    weights, logits = beliefs.weights(train), beliefs.noise_logits(train)
    assert weights.shape == logits.shape == train.items.shape
    known = weights[~weights.isnan()]
    assert bool(((known >= 0) & (known <= 1)).all())
    judges = weighting not in ("equal", "given")
    assert beliefs.judges_noise is judges
    assert bool(logits.isnan().all()) is not judges
    assert (beliefs.noise_models is not None) is weighting.startswith(("cal", "clean"))
    stored = beliefs.to_store(train)
    assert (stored is None) is (weighting == "equal")
    if stored is not None:
        assert torch.equal(stored.weights.nan_to_num(), weights.nan_to_num())
    assert beliefs.folds_weighed([0], 0) == (
        "all" if weighting in ("given", "co_occurrence") else "none"
    )
    assert (beliefs.summary(0) is not None) is (weighting == "co_occurrence")
    read = beliefs.as_read(split.test).read
    assert (read is not None) is (weighting == "co_occurrence") is beliefs.reading_needs_training


@pytest.mark.parametrize("weighting", SOURCES)
def test_only_folds_that_are_dealt_need_users(weighting: str) -> None:
    few = leave_one_out(tiny_sequences(*[[1 + (u + k) % 9 for k in range(6)] for u in range(6)]))
    train = replace(few.train, weights=torch.ones(few.train.num_interactions))
    folds = {} if weighting in ("equal", "given") else {"num_folds": 10}
    models = models_of(weighting, 9, **folds)
    if folds:
        with pytest.raises(ValueError, match="10"):
            models.beliefs.to_learn_from(train)
    else:
        assert models.beliefs.to_learn_from(train).num_users == 6
