"""The operations with C++ and CUDA kernels. Imports nothing of the package outside ``ops``.

A module per operation holds its schema, kernel call, autograd and checks; ``reference`` holds its
definition in plain torch. A new operation needs one line here.
"""

from types import ModuleType as _ModuleType

from ._row_losses import Reduction as Reduction
from .alias_table import alias_table as alias_table
from .candidate_scores import candidate_scores as candidate_scores
from .keyed_draws import Purpose as Purpose
from .keyed_draws import keyed_draws as keyed_draws
from .keyed_draws import uniform_integers as uniform_integers
from .keyed_dropout import keyed_dropout as keyed_dropout
from .linear_reweighted_cross_entropy import (
    linear_reweighted_cross_entropy as linear_reweighted_cross_entropy,
)
from .random_replacement import RandomReplacementOutput as RandomReplacementOutput
from .random_replacement import random_replacement as random_replacement
from .reweighted_binary_cross_entropy import (
    reweighted_binary_cross_entropy as reweighted_binary_cross_entropy,
)
from .reweighted_cross_entropy import reweighted_cross_entropy as reweighted_cross_entropy
from .sampled_binary_cross_entropy import gbce_beta as gbce_beta
from .sampled_binary_cross_entropy import (
    sampled_binary_cross_entropy as sampled_binary_cross_entropy,
)
from .sampled_cross_entropy import sampled_cross_entropy as sampled_cross_entropy
from .sampled_negatives import SampledNegatives as SampledNegatives
from .sampled_negatives import uniform_negatives as uniform_negatives
from .target_ranks import target_ranks as target_ranks
from .top_k import top_k as top_k

__all__ = sorted(
    name
    for name, value in globals().items()
    if not name.startswith("_") and not isinstance(value, _ModuleType)
)
