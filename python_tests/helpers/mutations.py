"""Deliberate breaks of the kernels, each with the tests that have to notice it.

``run_mutations.py`` runs them.

``test_mutations.py`` holds the list to the sources as they are, so that it cannot rot unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutation:
    """Replace the one occurrence of ``old`` in ``file`` by ``new``; ``tests`` must then fail."""

    name: str
    file: str
    old: str
    new: str
    kernels: Literal["cpu", "cuda"]
    """The built CPU kernels, or the CUDA kernels on the emulator."""
    tests: tuple[str, ...]

    def apply(self, root: Path) -> None:
        path = root / self.file
        source = path.read_text()
        if source.count(self.old) != 1:
            raise ValueError(
                f"{self.name}: {self.file} must hold {self.old!r} once, "
                f"got {source.count(self.old)} times"
            )
        path.write_text(source.replace(self.old, self.new))


_REPLACEMENT = "test_random_replacement.py"
_ITEMS = "test_random_replacement_items.py"
_VALUES = "test_reweighted_cross_entropy_values.py"
_LOSS = "test_reweighted_cross_entropy"
_CATALOGUE = "test_linear_cross_entropy_kernels.py"
_SCORES = "test_catalogue_scores_kernels.py"
_WHOLE_CATALOGUE = "test_linear_cross_entropy_cuda.py"

MUTATIONS = (
    Mutation(
        "bound of the item rank off by one",
        file="csrc/random_replacement.h",
        old="return bounded(word.x, word.y, num_items - 1);",
        new="return bounded(word.x, word.y, num_items);",
        kernels="cpu",
        tests=(f"{_REPLACEMENT}::test_of_two_items_the_other_one_is_taken",),
    ),
    Mutation(
        "key of the row folded to 32 bits",
        file="csrc/keyed_draws.h",
        old="Word{} + uint32_t(row_key >> 32)",
        new="Word{} + uint32_t(row_key)",
        kernels="cuda",
        tests=("test_keyed_draws.py::test_draws_are_the_words_of_philox",),
    ),
    Mutation(
        "later attempts repeat the first",
        file="csrc/cuda/random_replacement_items.cuh",
        old="at_attempt(index, attempt)",
        new="at_attempt(index, 0 * attempt)",
        kernels="cuda",
        tests=("test_random_replacement_golden.py::test_every_device_gives_the_golden_result",),
    ),
    Mutation(
        "ties of positions go to the last",
        file="csrc/cpu/random_replacement_rows.cpp",
        old="if (keys[i] != cutoff.key || in[i] == padding) continue;",
        new="if (keys[length - 1 - i] != cutoff.key || in[i] == padding) continue;",
        kernels="cpu",
        tests=(f"{_REPLACEMENT}::test_equal_draws_of_positions_are_settled_by_the_position",),
    ),
    Mutation(
        "candidates of the row search are trusted when the bracket missed",
        file="csrc/cuda/random_replacement_rows.cuh",
        old="if (left <= 0 || left > listed || listed > kCandidates) {",
        new="if (left <= 0 || left > listed) {",
        kernels="cuda",
        tests=(
            f"{_REPLACEMENT}::test_more_equal_draws_than_the_search_has_room_for_are_settled_too",
        ),
    ),
    Mutation(
        "no barrier before the chosen rows are read",
        file="csrc/cuda/random_replacement_rows.cuh",
        old="  __syncthreads();\n  return shared->found;",
        new="  return shared->found;",
        kernels="cuda",
        tests=(f"{_REPLACEMENT}::test_the_number_of_rows_is_exact",),
    ),
    Mutation(
        "no barrier before the listed positions are read",
        file="csrc/cuda/random_replacement.cu",
        old="  __syncwarp();\n  return listed;",
        new="  return listed;",
        kernels="cuda",
        tests=(f"{_REPLACEMENT}::test_equals_the_reference_to_the_bit",),
    ),
    Mutation(
        "the history is avoided without its target columns",
        file="csrc/cpu/random_replacement_rows.cpp",
        old="return p.avoid_history ? contains(in, p.length, item)",
        new="return p.avoid_history ? contains(in, p.open_length, item)",
        kernels="cpu",
        tests=(f"{_ITEMS}::test_the_history_is_avoided_targets_included",),
    ),
    Mutation(
        "a part of the softmax is not told against the new maximum",
        file="csrc/online_softmax.h",
        old="  part.sum *= exp_nonpositive(part.maximum - maximum);\n",
        new="",
        kernels="cuda",
        tests=(f"{_VALUES}::test_rows_of_any_length_are_read_whole",),
    ),
    Mutation(
        "the weight of the row is dropped from its gradient",
        file="csrc/cpu/reweighted_cross_entropy_rows.cpp",
        old="const Real scale = p.row_scale[row];",
        new="const Real scale = p.row_scale[row] > 0;",
        kernels="cpu",
        tests=(f"{_VALUES}::test_every_reduction_equals_the_reference",),
    ),
    Mutation(
        "the last elements of an unaligned row are left out",
        file="csrc/cuda/row_vectors.cuh",
        old="bool has_edge(int lane) const { return lane < head + tail; }",
        new="bool has_edge(int lane) const { return lane < head; }",
        kernels="cuda",
        tests=(f"{_VALUES}::test_rows_may_begin_anywhere_in_memory",),
    ),
    Mutation(
        "smoothing is left out of the gradient at the target",
        file="csrc/cuda/reweighted_cross_entropy.cu",
        old="scale * (1 - smoothing)}",
        new="scale}",
        kernels="cuda",
        tests=(f"{_VALUES}::test_rows_of_the_gradient_sum_to_zero",),
    ),
    Mutation(
        "no barrier between reading and reusing the parts of a reduction",
        file="csrc/cuda/launch.cuh",
        old="  __syncthreads();  // all have read before the next call writes\n",
        new="",
        kernels="cuda",
        tests=(
            f"{_REPLACEMENT}::test_more_equal_draws_than_the_search_has_room_for_are_settled_too",
        ),
    ),
    Mutation(
        "ties of bfloat16 go up",
        file="csrc/half.h",
        old="bits + 0x7FFFu + (bits >> 16 & 1u)",
        new="bits + 0x8000u",
        kernels="cpu",
        tests=("test_elementary.py::test_floats_are_narrowed_to_the_nearest_half_ties_to_even",),
    ),
    Mutation(
        "threads that see nothing but -inf poison their row",
        file="csrc/online_softmax.h",
        old="part.maximum == -Real(INFINITY) ? Real(0) : part.maximum",
        new="part.maximum",
        kernels="cuda",
        tests=(f"{_LOSS}_edges.py::test_impossible_classes_have_no_probability",),
    ),
    Mutation(
        "the first tile of a row gets no gradient",
        file="csrc/cuda/reweighted_cross_entropy.cu",
        old="for (int i = tiles - 1; i > 0; --i) {",
        new="for (int i = tiles - 1; i > 1; --i) {",
        kernels="cuda",
        tests=(f"{_LOSS}_values.py::test_rows_of_any_length_are_read_whole",),
    ),
    Mutation(
        "no barrier before the gradient overwrites the target's logit",
        file="csrc/cuda/reweighted_cross_entropy.cu",
        old="      __syncwarp();  // the gradient may",
        new="      // the gradient may",
        kernels="cuda",
        tests=(f"{_LOSS}_gradients.py::test_a_gradient_in_place_is_the_gradient",),
    ),
    Mutation(
        "the edges of a gradient are not scaled",
        file="csrc/cuda/reweighted_gradient.cu",
        old="if (thread < kThreads && layout.has_edge(int(thread))) {",
        new="if (thread < 0) {",
        kernels="cuda",
        tests=(f"{_LOSS}_gradients.py::test_an_upstream_gradient_scales_the_gradient",),
    ),
    Mutation(
        "a row of several blocks loses its beginning",
        file="csrc/cpu/reweighted_binary_cross_entropy_rows.cpp",
        old="row_loss += double(sum_of(",
        new="row_loss = double(sum_of(",
        kernels="cpu",
        tests=("test_reweighted_binary_cross_entropy.py::test_float64_equals_the_reference",),
    ),
    Mutation(
        "an item that spans chunks of pairs loses the last one",
        file="csrc/cpu/candidate_scores_rows.cpp",
        old="other <= last; ++other) {",
        new="other < last; ++other) {",
        kernels="cpu",
        tests=("test_candidate_scores.py::test_float64_equals_the_reference",),
    ),
    Mutation(
        "what an item began in the chunk before is overwritten",
        file="csrc/candidate_scores.h",
        old="if (first == chunk.begin && is_joined(chunk, first)) return 2 * chunk.number;",
        new="if (first != chunk.begin && is_joined(chunk, first)) return 2 * chunk.number;",
        kernels="cuda",
        tests=("test_candidate_scores.py::test_float64_equals_the_reference",),
    ),
    Mutation(
        "the estimate of a pair's row is not corrected",
        file="csrc/cuda/candidate_scores.cu",
        old="row + (uint64_t(pair) - row * per_row >= per_row)",
        new="row",
        kernels="cuda",
        tests=("test_candidate_scores.py::test_float64_equals_the_reference",),
    ),
    Mutation(
        "pairs of gradient 0 spoil the sums",
        file="csrc/cpu/candidate_scores_rows.cpp",
        old="    if (factor == 0) return;\n",
        new="",
        kernels="cpu",
        tests=("test_candidate_scores.py::test_what_does_not_count_may_be_nan",),
    ),
    Mutation(
        "nobody is told that the logits were overwritten",
        file="atjt_ext/ops/_row_losses.py",
        old="            torch.autograd.graph.increment_version(logits)\n",
        new="",
        kernels="cpu",
        tests=(f"{_LOSS}_gradients.py::test_whoever_needs_overwritten_logits_fails_loudly",),
    ),
    Mutation(
        "a larger logit leaves what was summed before it as it was",
        file="csrc/cpu/linear_cross_entropy_rows.cpp",
        old="totals[i] *= double(factors[i]);",
        new="totals[i] *= 1;",
        kernels="cpu",
        tests=(f"{_CATALOGUE}::test_both_passes_are_as_defined",),
    ),
    Mutation(
        "a block of nothing but -inf poisons its row",
        file="csrc/cpu/linear_cross_entropy_rows.cpp",
        old="none ? Real(0) : rows.origins[i]",
        new="rows.origins[i]",
        kernels="cpu",
        tests=(f"{_CATALOGUE}::test_logits_that_are_not_finite",),
    ),
    Mutation(
        "parts of the catalogue are added up whatever their origins",
        file="csrc/cpu/linear_cross_entropy.cpp",
        old="return exp_nonpositive(double(origins[part][row]) - double(origin));",
        new="return 1.0 + 0 * double(origins[part][row]);",
        kernels="cpu",
        tests=(f"{_CATALOGUE}::test_every_instruction_set_is_as_defined",),
    ),
    Mutation(
        "only the last block of wide products counts",
        file="csrc/cpu/gemm_tiles.h",
        old="depth, d > 0,",
        new="depth, false,",
        kernels="cpu",
        tests=(f"{_CATALOGUE}::test_both_passes_are_as_defined",),
    ),
    Mutation(
        "a pair is summed up in another order than a table",
        file="csrc/cpu/catalogue_scores_rows.cpp",
        old="Vector<Real> sum = {};",
        new="Vector<Real> sum = score;\n    score -= score;",
        kernels="cpu",
        tests=(f"{_SCORES}::test_counts_are_those_of_the_scores",),
    ),
    Mutation(
        "the target's weight stays in the gradient of the table",
        file="csrc/cuda/linear_cross_entropy_gradient.cuh",
        old="if (row >= rows.count || lane.row(i) == hit)",
        new="if (row >= rows.count)",
        kernels="cuda",
        tests=(f"{_WHOLE_CATALOGUE}::test_every_option_together",),
    ),
    Mutation(
        "sums of a run are told against the reference of the one before",
        file="csrc/cuda/linear_cross_entropy_forward.cuh",
        old="fmaf(to[d], ratio, values[d])",
        new="fmaf(to[d], 1.0f, values[d])",
        kernels="cuda",
        tests=(f"{_WHOLE_CATALOGUE}::test_sums_may_be_taken_off_after_every_tile",),
    ),
    Mutation(
        "what lies behind the last class is counted",
        file="csrc/cuda/catalogue_scores.cu",
        old="counts[i] += exists && !",
        new="counts[i] += !",
        kernels="cuda",
        tests=(f"{_SCORES}::test_counts_are_those_of_the_scores",),
    ),
)
