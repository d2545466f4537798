"""An interaction that looks like noise, and why, in words."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Suspicion"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One interaction, and what speaks against it.

    Attributes:
        rank: 1 for the most suspicious.
        user: id.
        position: in the user's sequence, from 1.
        item: id.
        p_noise: probability that it is noise.
        is_noise: the truth; None where it is unknown.
        from_end: position from the end, 1 for the last.
        item_users: how many users have the item.
        item_percentile: per cent of the catalogue that fewer users have.
        neighbours: interactions of the user near this one.
        neighbours_met: how many of those have an item seen near this one in other sequences.
        times_met: how often these items stand near each other in other users' sequences.
        times_expected: how often they would by chance.
        user_share: the user's expected share of noise.
    """

    rank: int
    user: str
    position: int
    item: str
    p_noise: float
    is_noise: bool | None
    from_end: int
    item_users: int
    item_percentile: float
    neighbours: int
    neighbours_met: int
    times_met: int
    times_expected: float
    user_share: float | None

    @property
    def reasons(self) -> list[str]:
        """What can be checked, in words."""
        said = [
            f"item of {_counted(self.item_users, 'user')}, "
            f"more popular than {self.item_percentile:.0f} % of items",
            f"elsewhere near {self.neighbours_met} of its {_counted(self.neighbours, 'neighbour')}",
            self._against_chance,
            "the user's last" if self.from_end == 1 else f"{_ordinal(self.from_end)} from the end",
        ]
        if self.user_share is not None:
            said.append(f"user's expected noise {100 * self.user_share:.0f} %")
        return said

    @property
    def reason(self) -> str:
        """All of them as one line."""
        return "; ".join(self.reasons)

    @property
    def _against_chance(self) -> str:
        met = f"together {_counted(self.times_met, 'time')}"
        if self.times_expected < 0.05:
            return f"{met}, by chance none"
        ratio = self.times_met / self.times_expected
        return f"{met}, by chance {self.times_expected:.1f} ({ratio:.1f} x)"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _ordinal(number: int) -> str:
    ending = (
        "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number:,}{ending}"
