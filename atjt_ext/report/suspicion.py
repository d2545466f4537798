"""An interaction that looks like noise, with reasons in words."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Suspicion"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One suspicious interaction, with its evidence.

    Attributes:
        rank: 1 for the most suspicious.
        user: id.
        position: in the user's sequence, from 1.
        item: id.
        p_noise: probability that it is noise.
        is_noise: the truth; None where it is unknown.
        from_end: position from the end, 1 for the last.
        item_users: how many users have the item.
        item_percentile: percentage of the catalogue's items with fewer users.
        neighbours: number of the user's interactions near this one.
        neighbours_met: number of these neighbours whose item is near this item in other sequences.
        times_met: how often this item and its neighbours are near each other in other users'
            sequences.
        times_expected: the same by chance.
        user_share: the user's expected share of noise; None if unknown.
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
        """The evidence in words, each a fact that can be checked."""
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
        """All reasons in one line."""
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
    of_one_digit = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{'th' if number % 100 in (11, 12, 13) else of_one_digit}"
