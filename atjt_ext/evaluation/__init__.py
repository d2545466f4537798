"""Measures of recommenders and noise recognition; public names load on first use.

==============  =========================================================================
``ranking``     Every user's target against the whole catalogue, and the best items.
``sampled``     The paper's protocol: the target against sampled negatives.
``metrics``     HR, NDCG and MRR as functions of ranks; the names of all metrics.
``auc``         Area under the ROC curve, also within strata.
``detection``   How well noise logits find planted noise; calibration.
``statistics``  Paired tests and intervals over seeds and users.
==============  =========================================================================
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .metrics import RANKING_KS as RANKING_KS
    from .metrics import RANKING_METRICS as RANKING_METRICS
    from .metrics import ranking_metrics as ranking_metrics
    from .ranking import evaluate as evaluate
    from .ranking import full_ranks as full_ranks
    from .ranking import top_items as top_items
    from .ranking import top_items as top_k  # noqa: F401  # its former name
    from .sampled import sampled_evaluate as sampled_evaluate

# Without this, the names of the metrics would load torch (training options are parsed before it).
_HOMES = {
    "RANKING_KS": "metrics",
    "RANKING_METRICS": "metrics",
    "evaluate": "ranking",
    "full_ranks": "ranking",
    "ranking_metrics": "metrics",
    "sampled_evaluate": "sampled",
    "top_items": "ranking",
}
_FORMER = {"top_k": "top_items"}

__all__ = [*_HOMES, *_FORMER]


def __getattr__(name: str) -> Any:
    name = _FORMER.get(name, name)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
