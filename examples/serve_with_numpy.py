"""Train once, serve with numpy: top-k lists without torch or this package there.
Shows: two arrays written after training, a top-k in numpy, and that it gives the trainer's lists.
Simulated data with planted noise, < 60 s on one core: python examples/serve_with_numpy.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from atjt_ext import JointTrainer, JointTrainerConfig, SASRec
from atjt_ext.data import PlantedNoise, leave_one_out, simulate_interactions, to_sequences
from atjt_ext.models.inference import inference


def top_k(
    state: npt.NDArray[np.float32], table: npt.NDArray[np.float32], seen: list[int], k: int = 5
) -> list[int]:
    """The k best item codes for a user's state ``[D]``, padding and what is seen left out."""
    scores = table @ state
    scores[[0, *seen]] = -np.inf
    best = np.argpartition(-scores, k)[:k]
    return best[np.argsort(-scores[best], kind="stable")].tolist()


def main(*, num_users: int = 1000, num_items: int = 400, epochs: int = 8) -> None:
    noise = PlantedNoise(diffuse_share=0.2)
    sequences = to_sequences(
        simulate_interactions(num_users=num_users, num_items=num_items, seed=0, noise=noise)
    )
    split = leave_one_out(sequences)
    torch.manual_seed(0)
    config = JointTrainerConfig(epochs=epochs)
    trainer = JointTrainer(SASRec(sequences.num_items, embedding_dim=32), config=config)
    trainer.fit(split.train, split.valid, progress=False)

    # Where it was trained: every user's state, read as in training (under P(clean)), and the items.
    histories = trainer.as_read(split.test)
    (batch,) = histories.batches(len(histories), config.max_length)
    with inference(trainer.recommender):
        states = trainer.recommender.encode(batch.inputs, batch.weights)[:, -1]
        table = trainer.recommender.item_table().detach()
    file = Path(tempfile.mkdtemp()) / "model.npz"
    np.savez(file, states=states.numpy(), table=table.numpy())

    # Where it is served: numpy alone.
    served = np.load(file)
    wanted, _ = trainer.recommend(split.test, k=5)
    same = 0
    for row in range(len(histories)):
        user = int(batch.users[row])
        seen = split.test.histories.items_of(user).tolist()
        same += top_k(served["states"][row], served["table"], seen) == wanted[row].tolist()
    seen = split.test.histories.items_of(int(batch.users[0])).tolist()
    best = top_k(served["states"][0], served["table"], seen)
    print(f"for {sequences.user_ids[int(batch.users[0])]}: {sequences.decode_items(best)}")
    print(f"{file.stat().st_size / 1e3:.0f} kB served; {same} of {len(histories)} lists as trained")


if __name__ == "__main__":
    main()
