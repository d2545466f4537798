"""The definition of every operation in plain torch: slow, obvious, and the truth for the kernels.

For tests and benchmarks; nothing in the package imports it.
"""

from .corruption import alias_masses as alias_masses
from .corruption import alias_table as alias_table
from .corruption import keyed_draws as keyed_draws
from .corruption import philox4x32_10 as philox4x32_10
from .corruption import random_replacement as random_replacement
from .dropout import dropout_bits as dropout_bits
from .dropout import keyed_dropout as keyed_dropout
from .losses import candidate_scores as candidate_scores
from .losses import linear_reweighted_cross_entropy as linear_reweighted_cross_entropy
from .losses import reweighted_binary_cross_entropy as reweighted_binary_cross_entropy
from .losses import reweighted_cross_entropy as reweighted_cross_entropy
from .losses import sampled_binary_cross_entropy as sampled_binary_cross_entropy
from .losses import sampled_cross_entropy as sampled_cross_entropy
from .ranks import target_ranks as target_ranks
from .ranks import top_k as top_k
