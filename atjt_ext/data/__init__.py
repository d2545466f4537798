"""From files to batches: interactions, sequences, splits, training windows, simulated data."""

from .batches import Batch, TrainingRows
from .errors import DataError
from .features import ItemFeature, item_feature_table, shared_features
from .interactions import Interactions, drop_short_users, k_core, to_sequences
from .noise_injection import inject_noise
from .readers import (
    interactions_from_frame,
    read_amazon,
    read_csv,
    read_interactions,
    read_items,
    read_json_lines,
    read_movielens,
    read_parquet,
    read_recbole,
    read_sequences,
    read_yelp,
    with_items,
)
from .row_weights import row_weights, weights_from_table, weights_table
from .sequences import Sequences
from .simulate import PlantedNoise, simulate_interactions
from .splits import EvaluationBatch, EvaluationSet, LeaveOneOut, leave_one_out, user_folds

__all__ = [
    "Batch",
    "DataError",
    "EvaluationBatch",
    "EvaluationSet",
    "Interactions",
    "ItemFeature",
    "LeaveOneOut",
    "PlantedNoise",
    "Sequences",
    "TrainingRows",
    "drop_short_users",
    "inject_noise",
    "interactions_from_frame",
    "item_feature_table",
    "k_core",
    "leave_one_out",
    "read_amazon",
    "read_csv",
    "read_interactions",
    "read_items",
    "read_json_lines",
    "read_movielens",
    "read_parquet",
    "read_recbole",
    "read_sequences",
    "read_yelp",
    "row_weights",
    "shared_features",
    "simulate_interactions",
    "to_sequences",
    "user_folds",
    "weights_from_table",
    "weights_table",
    "with_items",
]
