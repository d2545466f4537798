"""Cells of format 3, the one before noise models had a config of their own. Frozen."""

from __future__ import annotations

from typing import Any

from ..runs.config import RunConfig

__all__ = ["upgraded"]


def upgraded(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings in a cell of format 3 as a cell of format 4 has them.

    Format 3 left ``min_steps`` out at 0, kept options without effect, and kept what the package
    decides about ``weights_act_on`` beside the config.

    Raises:
        TypeError, ValueError: an option or a value that is no longer offered.
    """
    values = dict(settings)
    trainer = {"min_steps": 0, **values["config"]["trainer"]}
    if values["config"]["recipe"].endswith("-drop"):
        values["drop_below"] = trainer["drop_below"]
    config = RunConfig.from_dict({**values["config"], "trainer": trainer})
    if acts_on := values.pop("weights_act_on", None):
        config = config.under(weights_act_on=acts_on)
    return {**values, "config": config.as_dict()}
