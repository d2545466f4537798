"""The operations with C++ and CUDA kernels. Each module: schema, native call, autograd, checks."""

from atjt_ext.ops._row_losses import Reduction
from atjt_ext.ops.alias_table import alias_table
from atjt_ext.ops.candidate_scores import candidate_scores
from atjt_ext.ops.keyed_draws import Purpose, keyed_draws, uniform_integers
from atjt_ext.ops.linear_reweighted_cross_entropy import linear_reweighted_cross_entropy
from atjt_ext.ops.random_replacement import RandomReplacementOutput, random_replacement
from atjt_ext.ops.reweighted_binary_cross_entropy import reweighted_binary_cross_entropy
from atjt_ext.ops.reweighted_cross_entropy import reweighted_cross_entropy
from atjt_ext.ops.sampled_binary_cross_entropy import gbce_beta, sampled_binary_cross_entropy
from atjt_ext.ops.sampled_cross_entropy import sampled_cross_entropy
from atjt_ext.ops.sampled_negatives import SampledNegatives, uniform_negatives
from atjt_ext.ops.target_ranks import target_ranks
from atjt_ext.ops.top_k import top_k

__all__ = [
    "Purpose",
    "RandomReplacementOutput",
    "Reduction",
    "SampledNegatives",
    "alias_table",
    "candidate_scores",
    "gbce_beta",
    "keyed_draws",
    "linear_reweighted_cross_entropy",
    "random_replacement",
    "reweighted_binary_cross_entropy",
    "reweighted_cross_entropy",
    "sampled_binary_cross_entropy",
    "sampled_cross_entropy",
    "target_ranks",
    "top_k",
    "uniform_integers",
    "uniform_negatives",
]
