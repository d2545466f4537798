"""The loss alone, in a plain PyTorch loop over a model of your own.
Shows: noise recognised once, each target weighed by P(clean), exact softmax without logits.
Simulated data with planted noise, < 60 s on one core: python examples/loss_in_your_loop.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from atjt_ext import LinearReweightedCrossEntropyLoss
from atjt_ext.data import PlantedNoise, leave_one_out, simulate_interactions, to_sequences
from atjt_ext.ops import target_ranks
from atjt_ext.recognition import recognise_noise


class Recommender(nn.Module):
    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items + 1, 32, padding_idx=0)
        self.encoder = nn.GRU(32, 32, batch_first=True)

    def forward(self, sequences: Tensor) -> Tensor:
        return self.encoder(self.items(sequences))[0]  # [B, L] -> [B, L, 32]


def main(*, num_users: int = 1500, num_items: int = 400, epochs: int = 15) -> None:
    interactions = simulate_interactions(
        num_users=num_users, num_items=num_items, seed=0, noise=PlantedNoise(diffuse_share=0.2)
    )
    sequences = to_sequences(interactions)
    split = leave_one_out(sequences)
    weights = recognise_noise(split.train).weights  # [N], P(clean) of every training interaction
    print(f"mean P(clean) {float(weights.mean()):.2f}; planted: 80 % clean")

    def padded(values: Tensor) -> Tensor:  # a row per user, on the left 0
        rows = values.split(split.train.lengths.tolist())
        return pad_sequence(list(rows), batch_first=True, padding_side="left")

    items, given = padded(split.train.items), padded(weights)
    for name, on_targets in (("equal weights", torch.ones_like(given)), ("weighed", given)):
        torch.manual_seed(0)
        model = Recommender(sequences.num_items)
        criterion = LinearReweightedCrossEntropyLoss(ignore_index=0)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(epochs):
            for rows in torch.randperm(len(items)).split(128):
                hidden = model(items[rows, :-1])
                loss = criterion(hidden, model.items.weight, items[rows, 1:], on_targets[rows, 1:])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        (test,) = split.test.batches(len(split.test), max_length=50)
        with torch.no_grad():
            ranks = target_ranks(
                model(test.inputs)[:, -1],
                model.items.weight,
                test.targets,
                exclude_rows=test.seen_rows,
                exclude_items=test.seen_items,
            )
        hits = float((ranks <= 10).double().mean())
        print(f"{name:>13}: last training loss {loss.item():.3f}, HR@10 {hits:.4f}")


if __name__ == "__main__":
    main()
