"""atjt_ext inside Lightning: its page."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("lightning", reason="Lightning is not installed (integrations/run makes it)")

from atjt_ext.training.joint_loss import JointLoss
from host_pages import run_page


@pytest.mark.usefixtures("in_folder")
def test_the_page_runs_trains_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    names = run_page("lightning", tmp_path)
    assert names["weights"].min() < 0.9
    joint = names["joint"].joint
    fresh = JointLoss(joint.num_items, joint.num_users)
    for mine, new in zip(joint.parameters(), fresh.parameters(), strict=True):
        assert not torch.equal(mine, new)
    assert joint.steps == 8
    assert joint.metrics()["noise_loss"] > 0.0

    state = torch.load("joint.ckpt", weights_only=True)["state_dict"]
    again = names["JointRecommender"](joint.num_items, joint.num_users)
    again.load_state_dict(state)
    assert again.joint.steps == 8
    # The host's trainer goes on, too.
    trainer = names["lightning"].Trainer(max_epochs=3, logger=False, enable_checkpointing=False)
    data = torch.utils.data.TensorDataset(
        names["padded"](names["train"].items), torch.arange(joint.num_users)
    )
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    trainer.fit(again, loader, ckpt_path="joint.ckpt")
    assert again.joint.steps == 12
