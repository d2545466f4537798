"""Checks of what config.json and metrics.json of a run hold."""

from __future__ import annotations

from typing import Any

from ..evaluation.metrics import RANKING_METRICS
from ..models.options import fits, require
from ..ops._native import build_info

__all__ = ["FORMAT", "require_format", "require_metrics", "version", "written_by"]

FORMAT = 2
"""The format of a run folder, in its config.json. Since format 2 a run has a manifest."""

_METRICS: dict[str, Any] = {
    "test": dict[str, float],
    "valid": dict[str, float],
    "sampled_test": dict[str, float | None] | None,
    "seen_items_excluded": bool,
    "noise": dict[str, float | None],
    "weights": dict[str, float],
    "kept_epoch": int,
    "epochs": int,
}


def version() -> str:
    """The version of this package."""
    return str(build_info()["version"])


def require_format(config: Any) -> None:
    """Raises ValueError if a newer version wrote the values of config.json."""
    found = config.get("format", 1) if isinstance(config, dict) else 1
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        raise ValueError(f"run format 1 to {FORMAT} wanted, found {found!r}")


def written_by(config: Any) -> str:
    """The end of a message about config.json, if another version of the package wrote it."""
    theirs, ours = config.get("atjt_ext") if isinstance(config, dict) else None, version()
    if theirs in (None, ours):
        return ""
    return f"; written by atjt_ext {theirs}, this is {ours}"


def require_metrics(metrics: Any) -> None:
    """Raises an error that names the entry of metrics.json that does not fit."""
    if not isinstance(metrics, dict):
        raise TypeError(f"an object with metrics wanted, got {type(metrics).__name__}")
    for name, hint in _METRICS.items():
        if not fits(metrics[name], hint):
            wanted = hint.__name__ if hint in (bool, int) else hint
            raise TypeError(f"{name} must be {wanted}, got {metrics[name]!r:.60}")
    for part in ("test", "valid", "sampled_test"):
        for name, value in (metrics[part] or {}).items():
            require(f"{part}.{name}", value, "in [0, 1]", value is None or 0 <= value <= 1)
    for part in ("test", "valid"):
        if lacking := [name for name in RANKING_METRICS if name not in metrics[part]]:
            raise ValueError(f"{part} lacks {', '.join(lacking)}")
    kept, epochs = metrics["kept_epoch"], metrics["epochs"]
    require("kept_epoch", kept, f"in 1..{epochs} (epochs)", 1 <= kept <= epochs)
