"""Measures of recommenders and noise recognition; public names load on first use.

==============  =========================================================================
``ranking``     Every user's target against the whole catalogue, and the best items.
``sampled``     The paper's protocol: the target against sampled negatives.
``metrics``     HR, NDCG and MRR as functions of ranks; the names of all metrics.
``auc``         Area under the ROC curve, also within strata.
``detection``   How well noise logits find planted noise; calibration.
``statistics``  A test and intervals over seeds and users.
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
    from .ranking import top_items as top_k  # its former name
    from .sampled import sampled_evaluate as sampled_evaluate

# Without this, the names of the metrics would load torch (training options are parsed before it).
_HOMES = {
    "metrics": "RANKING_KS RANKING_METRICS ranking_metrics",
    "ranking": "evaluate full_ranks top_items",
    "sampled": "sampled_evaluate",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [*_HOME_OF, "top_k"]


def __getattr__(name: str) -> Any:
    name = "top_items" if name == "top_k" else name
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
