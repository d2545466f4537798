"""From files to batches: interactions, sequences, splits, training windows, simulated data.

Public names load on first use, so that ``formats`` and ``files`` need neither torch nor polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .batches import Batch as Batch
    from .batches import TrainingRows as TrainingRows
    from .errors import DataError as DataError
    from .feature_lookup import item_feature_table as item_feature_table
    from .feature_lookup import shared_features as shared_features
    from .features import ItemFeature as ItemFeature
    from .interactions import Interactions as Interactions
    from .interactions import drop_short_users as drop_short_users
    from .interactions import k_core as k_core
    from .interactions import to_sequences as to_sequences
    from .noise_injection import inject_noise as inject_noise
    from .readers import interactions_from_frame as interactions_from_frame
    from .readers import read_amazon as read_amazon
    from .readers import read_csv as read_csv
    from .readers import read_interactions as read_interactions
    from .readers import read_items as read_items
    from .readers import read_json_lines as read_json_lines
    from .readers import read_movielens as read_movielens
    from .readers import read_parquet as read_parquet
    from .readers import read_recbole as read_recbole
    from .readers import read_sequences as read_sequences
    from .readers import read_yelp as read_yelp
    from .readers import with_items as with_items
    from .sequences import Sequences as Sequences
    from .simulate import PlantedNoise as PlantedNoise
    from .simulate import simulate_interactions as simulate_interactions
    from .splits import EvaluationBatch as EvaluationBatch
    from .splits import EvaluationSet as EvaluationSet
    from .splits import LeaveOneOut as LeaveOneOut
    from .splits import leave_one_out as leave_one_out
    from .splits import user_folds as user_folds
    from .weight_tables import row_weights as row_weights
    from .weight_tables import weights_from_table as weights_from_table
    from .weight_tables import weights_table as weights_table

# No name here may be a module's: importing that module would replace the name.
_HOMES = {
    "batches": "Batch TrainingRows",
    "errors": "DataError",
    "feature_lookup": "item_feature_table shared_features",
    "features": "ItemFeature",
    "interactions": "Interactions drop_short_users k_core to_sequences",
    "noise_injection": "inject_noise",
    "readers": "interactions_from_frame read_amazon read_csv read_interactions read_items "
    "read_json_lines read_movielens read_parquet read_recbole read_sequences read_yelp with_items",
    "sequences": "Sequences",
    "simulate": "PlantedNoise simulate_interactions",
    "splits": "EvaluationBatch EvaluationSet LeaveOneOut leave_one_out user_folds",
    "weight_tables": "row_weights weights_from_table weights_table",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


if not TYPE_CHECKING:  # a type checker would take every name for Any

    def __getattr__(name):
        if name in _HOME_OF:
            value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
        elif name in _HOMES:
            value = import_module(f".{name}", __name__)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
