"""What the constructors of several models refuse."""

from __future__ import annotations

from collections.abc import Sequence


def require_positive(**sizes: int | Sequence[int]) -> None:
    """Raises ValueError for a size, or a member of a list of sizes, below 1."""
    for name, size in sizes.items():
        for value in (size,) if isinstance(size, int) else size:
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


def require_share(**shares: float) -> None:
    """Raises ValueError for a share outside of [0, 1)."""
    for name, value in shares.items():
        if not 0.0 <= value < 1.0:
            raise ValueError(f"{name} must be in [0, 1), got {value}")


def require_heads(embedding_dim: int, num_heads: int) -> None:
    """Raises ValueError unless the heads divide the width."""
    if embedding_dim < 1 or num_heads < 1 or embedding_dim % num_heads:
        raise ValueError(
            f"num_heads must divide embedding_dim, got num_heads={num_heads}, "
            f"embedding_dim={embedding_dim}"
        )


def require_length(length: int, max_length: int) -> None:
    """Raises ValueError for sequences longer than a model takes."""
    if length > max_length:
        raise ValueError(f"sequences have length {length}, at most max_length={max_length}")
