"""The block emulator itself: it accepts right kernels and finds each planted mistake."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import emulator
from atjt_ext.ops import (
    candidate_scores,
    keyed_dropout,
    linear_reweighted_cross_entropy,
    random_replacement,
    reweighted_binary_cross_entropy,
    reweighted_cross_entropy,
    target_ranks,
    top_k,
)
from atjt_ext.ops.keyed_draws import Purpose, keyed_draws
from emulator.build import build_module, build_program, require_cuda_sources
from emulator.translate import translate

pytestmark = pytest.mark.emulator

PLANTED = Path(emulator.__file__).parent / "programs" / "planted.cu"


class Program:
    """planted.cu, compiled with the search for races or with sanitizers."""

    def __init__(self, *, sanitize: bool) -> None:
        self.path = build_program(PLANTED, sanitize=sanitize)

    def run(self, case: str, order: str = "ascending") -> subprocess.CompletedProcess[str]:
        arguments = [str(self.path), case, str(emulator.ORDERS.index(order))]
        environment = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"}
        return subprocess.run(
            arguments, capture_output=True, text=True, env=environment, timeout=60
        )


@pytest.fixture(scope="module")
def planted() -> Program:
    return Program(sanitize=False)


@pytest.fixture(scope="module")
def sanitized() -> Program:
    return Program(sanitize=True)


def line_of(text: str, after: str) -> str:
    """The line of ``text`` in planted.cu, first below ``after``, as messages write it."""
    lines = PLANTED.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if after in line)
    return f"planted.cu:{1 + next(i for i in range(start, len(lines)) if text in lines[i])}"


RIGHT = [
    *("exchange", "exchange_in_warp", "exchange_in_half_warps", "exchange_through_dynamic"),
    *("instructions", "last_block_reads", "shared_in_templates", "ballot"),
    *("read_uninitialized", "shared_allowed", "shared_that_no_gpu_has"),
]


@pytest.mark.parametrize("order", emulator.ORDERS)
@pytest.mark.parametrize("case", RIGHT)
def test_right_kernels_are_right_in_every_order(
    planted: Program, sanitized: Program, case: str, order: str
) -> None:
    for program in (planted, sanitized):
        done = program.run(case, order)
        assert (done.stdout, done.stderr) == ("right\n", "")


MISSING_BARRIERS = [
    *("exchange_without_barrier", "exchange_without_second_barrier"),
    *("exchange_across_half_warps", "exchange_through_dynamic_without_barrier"),
]


@pytest.mark.parametrize("order", emulator.ORDERS)
@pytest.mark.parametrize(
    "case",
    [
        *MISSING_BARRIERS,
        "exchange_after_shuffle",
        "two_blocks_write_the_same",
        "add_without_atomic",
    ],
)
def test_a_missing_barrier_is_a_race_in_every_order(
    planted: Program, case: str, order: str
) -> None:
    done = planted.run(case, order)
    assert done.returncode == 1
    assert f"void {{anonymous}}::{case}(int*), block (" in done.stderr
    assert "a race: " in done.stderr
    assert "no barrier between" in done.stderr
    assert "planted.cu:" in done.stderr


def test_a_race_is_reported_with_both_places(planted: Program) -> None:
    error = planted.run("exchange_without_barrier").stderr
    after = "void exchange_without_barrier"
    assert f"shared memory is written in {line_of('values[i] = i', after)}" in error.replace(
        str(PLANTED.parent) + "/", ""
    )
    assert line_of("out[blockIdx.x", after) in error


@pytest.mark.parametrize("case", MISSING_BARRIERS)
def test_a_missing_barrier_gives_wrong_results_in_some_order(sanitized: Program, case: str) -> None:
    # The orders show the mistake without the search for races, too.
    results = {sanitized.run(case, order).stdout for order in emulator.ORDERS}
    assert "wrong\n" in results


@pytest.mark.parametrize("order", emulator.ORDERS)
@pytest.mark.parametrize(
    ("case", "messages"),
    [
        ("barrier_in_two_places", ["waits at __syncthreads", ", but thread (32, 0, 0) waits at"]),
        ("barrier_after_return", ["waits at __syncthreads", "but thread (5, 0, 0) has finished"]),
        ("barrier_beside_shuffle", ["waits at __syncthreads", "waits at __syncwarp"]),
        ("shuffle_after_return", ["waits at a shuffle in", "for lane 5, which has finished"]),
        ("shuffle_without_caller", ["a shuffle with a mask that leaves out the caller, in"]),
        ("shuffle_from_outside_the_mask", ["reads lane 16, which its mask does not name"]),
        ("ballot_with_two_masks", ["__ballot_sync"]),
        ("ballot_in_part_of_a_warp", ["for lane 8, which the block does not have"]),
        ("too_much_static", ["more than 48 KiB of static shared memory"]),
        ("beyond_launch_bounds", ["256 threads, and __launch_bounds__ of 128"]),
    ],
)
def test_a_wrong_barrier_or_shuffle_is_refused(
    planted: Program, case: str, messages: list[str], order: str
) -> None:
    done = planted.run(case, order)
    assert done.returncode == 1
    assert f"{order} order: " in done.stderr
    for message in messages:
        assert message in done.stderr


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no_threads", "an empty block"),
        ("too_many_threads", "more than 1024 threads in a block"),
        ("no_blocks", "an empty grid"),
        ("too_many_blocks", "more blocks than a grid may have"),
        ("shared_not_allowed", "more dynamic shared memory"),
    ],
)
def test_a_launch_that_a_gpu_refuses_is_refused(planted: Program, case: str, message: str) -> None:
    done = planted.run(case)
    assert done.returncode == 1
    assert f"invalid configuration argument ({message}" in done.stderr


@pytest.mark.parametrize("case", ["store_beyond_static", "store_beyond_dynamic"])
def test_a_store_beyond_shared_memory_is_found_without_sanitizers(
    planted: Program, case: str
) -> None:
    assert "a write outside of every variable in shared memory" in planted.run(case).stderr


@pytest.mark.parametrize(
    ("case", "text", "message"),
    [
        ("store_beyond_static", "+ 1] = 7", "AddressSanitizer: use-after-poison"),
        ("store_beyond_dynamic", "+ 1] = 7", "AddressSanitizer: use-after-poison"),
        ("store_beyond_global", "out[", "AddressSanitizer: heap-buffer-overflow"),
        ("misaligned_vector", "int4", "store to misaligned address"),
        ("overflow", "0x7FFFFF00", "signed integer overflow"),
    ],
)
def test_the_sanitizers_find_it_with_its_line(
    sanitized: Program, case: str, text: str, message: str
) -> None:
    done = sanitized.run(case)
    assert done.returncode != 0
    assert message in done.stderr
    assert line_of(text, f"void {case}(") in done.stderr


def test_half_precision_is_converted_as_torch_does(planted: Program) -> None:
    lines = [line.split() for line in planted.run("conversions").stdout.splitlines()]

    def column(rows: list[list[str]], index: int, dtype: torch.dtype) -> Tensor:
        bits = torch.tensor([int(row[index], 16) for row in rows])
        narrow = {torch.float32: torch.int32}.get(dtype, torch.int16)
        return bits.to(narrow).view(dtype)

    expanded, narrowed = ([row for row in lines if len(row[0]) == size] for size in (4, 8))
    assert (len(expanded), len(narrowed)) == (2**16, 8 * -(-(2**16) // 7))
    for index, dtype in ((1, torch.float16), (2, torch.bfloat16)):
        for got, wanted in (
            (column(expanded, index, torch.float32), column(expanded, 0, dtype).float()),
            (column(narrowed, index, dtype), column(narrowed, 0, torch.float32).to(dtype)),
        ):
            assert torch.equal(got.isnan(), wanted.isnan())
            kept = ~wanted.isnan()
            assert torch.equal(got[kept], wanted[kept])
            assert torch.equal(got[kept].signbit(), wanted[kept].signbit())


def test_declarations_of_shared_memory_are_translated_in_place() -> None:
    source = (
        "__global__ void\n__launch_bounds__(f(2), 3) k(int (*g)(int),\n  int n) {\n"
        "  __shared__ alignas(16) T tile[4][kWidth + 1];\n"
        "  __shared__ pair<int, int> a[2], b;\n"
        "  extern __shared__ __align__(16) unsigned char bytes[];\n}\n__global__ void k();\n"
    )
    assert translate(source) == (
        "__global__ void\n__launch_bounds__(f(2), 3) k(int (*g)(int),\n  int n) {"
        " ::emulator::enter_kernel(__PRETTY_FUNCTION__, f(2), 3);\n"
        "  auto& tile = ::emulator::shared<T[4][kWidth + 1], 16>([] {});\n"
        "  auto& a = ::emulator::shared<pair<int, int>[2], 1>([] {});"
        " auto& b = ::emulator::shared<pair<int, int>, 1>([] {});\n"
        "  auto* const bytes = static_cast<unsigned char*>(::emulator::dynamic_shared());\n}\n"
        "__global__ void k();\n"
    )


class _Launches(TorchDispatchMode):
    """Counts the kernels that each operator launches."""

    def __init__(self) -> None:
        super().__init__()
        self.by_operator: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = emulator.launches()
        result = func(*args, **(kwargs or {}))
        if func.name().startswith("atjt_ext::"):
            self.by_operator[func.name()] = emulator.launches() - before
        return result


def _call_every_operator() -> dict[str, int]:
    sequences = torch.ones(4, 6, dtype=torch.int64)
    with _Launches() as launches:
        random_replacement(sequences, num_items=3, seed=0, num_replacements=1)
        keyed_draws(sequences[0], 3, purpose=Purpose(15), seed=0)
        rows = torch.arange(4)
        keyed_dropout(torch.randn(4, 3), 0.5, rows, rows, layer=0, seed=0)
        target_ranks(torch.randn(3, 5), torch.randn(7, 5), torch.tensor([0, 1, 6]))
        top_k(torch.randn(3, 5), torch.randn(7, 5), 2)
        leaves = [torch.randn(3, 5, requires_grad=True) for _ in range(2)]
        candidate_scores(*leaves, torch.tensor([[0, 2], [1, 1], [2, 0]])).sum().backward()
        for loss, targets in (
            (reweighted_cross_entropy, torch.tensor([0, 1, 4])),
            (reweighted_binary_cross_entropy, torch.rand(3, 5)),
        ):
            for options in ({}, {"reduction": "none"}, {"inplace_gradient": True}):
                leaf = torch.randn(3, 5).requires_grad_()
                loss(leaf * 1, targets, **options).sum().backward()
        hidden, table = torch.randn(3, 4).requires_grad_(), torch.randn(5, 4).requires_grad_()
        linear_reweighted_cross_entropy(hidden, table, torch.tensor([0, 1, 4])).backward()
    return launches.by_operator


def test_every_operator_launches_a_kernel_there_and_nowhere_else() -> None:
    with emulator.emulated_cuda():
        launches = _call_every_operator()
        assert emulator.runs_cuda_kernels(torch.device("cpu"))
    names = torch._C._dispatch_get_all_op_names()
    # The CPU's way to the reduced loss over a catalogue; CUDA takes two passes.
    only_cpu = {"atjt_ext::_linear_reweighted_cross_entropy_with_gradients"}
    ours = {name for name in names if name.startswith("atjt_ext::")}
    assert set(launches) == ours - only_cpu
    assert launches.pop("atjt_ext::_top_k") == 0  # made of torch's operators
    whole_catalogue = {name for name in launches if "linear" in name}  # may take several
    assert {launches[name] for name in set(launches) - whole_catalogue} == {1}
    assert min(launches[name] for name in whole_catalogue) >= 1
    calls = _call_every_operator()
    assert set(calls.values()) == {0}
    assert only_cpu < set(calls)
    assert not emulator.runs_cuda_kernels(torch.device("cpu"))


@pytest.mark.parametrize("multiprocessors", [1, 5])
def test_results_depend_neither_on_the_order_nor_on_the_device(multiprocessors: int) -> None:
    logits, targets = torch.randn(9, 300), torch.arange(9)
    sequences = torch.randint(1, 30, (70, 45))

    def results() -> list[Tensor]:
        leaf = logits.clone().requires_grad_()
        loss = reweighted_cross_entropy(leaf, targets)
        loss.backward()
        assert leaf.grad is not None
        options = dict(num_items=30, seed=1, sequence_fraction=0.5, replace_ratio=0.4)
        return [loss.detach(), leaf.grad, *random_replacement(sequences, **options)[:3]]

    with emulator.emulated_cuda():
        emulator.set_multiprocessors(multiprocessors)
        wanted = results()
        for order in emulator.ORDERS:
            for seed in range(3 if order == "random" else 1):
                emulator.set_order(order, seed)
                for a, b in zip(results(), wanted, strict=True):
                    assert torch.equal(a, b)


def test_launches_of_two_threads_take_turns() -> None:
    sequences = torch.randint(1, 30, (40, 30))
    got: dict[int, Tensor] = {}

    def corrupt(seed: int) -> None:
        for _ in range(5):
            noisy = random_replacement(sequences, num_items=30, seed=seed, replace_ratio=0.5)
            got[seed] = noisy.sequences

    with emulator.emulated_cuda():
        threads = [threading.Thread(target=corrupt, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for seed in range(2):
        wanted = random_replacement(sequences, num_items=30, seed=seed, replace_ratio=0.5)
        assert torch.equal(got[seed], wanted.sequences)


def test_a_declared_cuda_function_without_a_source_names_the_missing_file(tmp_path: Path) -> None:
    header, source = tmp_path / "csrc/doubled/doubled.h", tmp_path / "csrc/doubled/cuda/doubled.cu"
    source.parent.mkdir(parents=True)
    header.write_text("namespace atjt {\nnamespace cuda {\nvoid doubled();\n}\n}\n")
    message = "doubled/doubled.h declares functions in namespace cuda, .*add .*cuda/doubled.cu"
    with pytest.raises(FileNotFoundError, match=message):
        require_cuda_sources(tmp_path / "csrc")
    source.touch()
    require_cuda_sources(tmp_path / "csrc")
    source.unlink()
    header.write_text("namespace atjt::cpu {\nvoid doubled();  // no namespace cuda\n}\n")
    require_cuda_sources(tmp_path / "csrc")


def test_what_is_built_is_used_again() -> None:
    code = f"import sys; sys.path.insert(0, {str(PLANTED.parents[2])!r})\n"
    code += "import emulator; print(emulator.build.build_module(sanitize=emulator.SANITIZE))"
    path = build_module(sanitize=emulator.SANITIZE)
    before = path.stat().st_mtime_ns
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(path)
    assert path.stat().st_mtime_ns == before
