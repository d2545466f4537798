"""The operations with C++ and CUDA kernels. Each module: schema, native call, autograd, checks."""

from atjt_ext.ops.random_replacement import RandomReplacementOutput, random_replacement
from atjt_ext.ops.reweighted_cross_entropy import Reduction, reweighted_cross_entropy

__all__ = [
    "RandomReplacementOutput",
    "Reduction",
    "random_replacement",
    "reweighted_cross_entropy",
]
