"""Your own recommender in JointTrainer: any nn.Module with encode and item_table.
Shows: what is asked of it, and training under equal weights, cleaned, and with a noise model.
Simulated data with planted noise, < 60 s on one core: python examples/your_own_recommender.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from atjt_ext import JointTrainer, JointTrainerConfig, TargetAttentionNoiseModel
from atjt_ext.data import PlantedNoise, leave_one_out, simulate_interactions, to_sequences


class Convolutions(nn.Module):
    """Causal convolutions over a history: the state at t has seen nothing after t."""

    def __init__(self, num_items: int, dim: int = 32, width: int = 4) -> None:
        super().__init__()
        self.num_items = num_items
        self.items = nn.Embedding(num_items + 1, dim, padding_idx=0)
        self.pad = nn.ConstantPad1d((width - 1, 0), 0.0)
        self.convolution = nn.Conv1d(dim, dim, width)

    def encode(self, sequences: Tensor) -> Tensor:  # [B, L] -> [B, L, D]
        read = self.items(sequences)
        mixed = self.convolution(self.pad(read.transpose(1, 2))).transpose(1, 2)
        return read + mixed.relu()

    def item_table(self) -> Tensor:  # [num_items + 1, D]
        return self.items.weight


def main(*, num_users: int = 1500, num_items: int = 400, epochs: int = 15) -> None:
    noise = PlantedNoise(noisy_user_share=0.3)
    sequences = to_sequences(
        simulate_interactions(num_users=num_users, num_items=num_items, seed=0, noise=noise)
    )
    split = leave_one_out(sequences)
    for recipe in ("equal_weights", "default", "joint"):
        torch.manual_seed(0)
        trainer = JointTrainer(
            Convolutions(sequences.num_items),
            TargetAttentionNoiseModel(sequences.num_items) if recipe == "joint" else None,
            config=JointTrainerConfig.from_recipe(recipe, epochs=epochs, learning_rate=5e-3),
        )
        trainer.fit(split.train, split.valid, progress=False)
        metrics = trainer.evaluate(split.test)
        print(f"{recipe:>13}: HR@10 {metrics['HR@10']:.4f}, NDCG@10 {metrics['NDCG@10']:.4f}")


if __name__ == "__main__":
    main()
