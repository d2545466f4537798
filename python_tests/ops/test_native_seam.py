"""The tensors that the native module accepts, and how it refuses others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from atjt_ext import _C
from atjt_ext.ops import random_replacement, reweighted_cross_entropy


def forward(logits: Any, targets: Any, losses: Any) -> None:
    _C.reweighted_cross_entropy(
        logits, targets, row_scale=None, losses=losses, grad_logits=None,
        ignore_index=-100, label_smoothing=0.0, num_threads=1,
    )  # fmt: skip


@pytest.fixture
def arguments() -> list[torch.Tensor]:
    return [torch.randn(3, 4), torch.tensor([0, 1, 2]), torch.empty(3)]


def test_numpy_arrays_are_read_and_written(arguments: list[torch.Tensor]) -> None:
    logits, targets, losses = (tensor.numpy() for tensor in arguments)
    forward(logits, targets, losses)
    wanted = torch.nn.functional.cross_entropy(*arguments[:2], reduction="none")
    np.testing.assert_allclose(losses, wanted.numpy(), rtol=1e-6)


def test_a_tensor_that_requires_a_gradient_is_read(arguments: list[torch.Tensor]) -> None:
    forward(torch.nn.Parameter(arguments[0]), *arguments[1:])
    wanted = torch.nn.functional.cross_entropy(*arguments[:2], reduction="none")
    torch.testing.assert_close(arguments[2], wanted)


class OldTensor:
    """A tensor type without the C exchange API, as torch had it before 2.11."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def detach(self) -> OldTensor:
        return OldTensor(self.tensor.detach())

    def __dlpack__(self) -> Any:
        return self.tensor.__dlpack__()

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


def test_a_tensor_without_the_exchange_api_comes_in_through_dlpack(
    arguments: list[torch.Tensor],
) -> None:
    old = [OldTensor(tensor) for tensor in arguments]
    old[0].tensor.requires_grad_()
    forward(*old)
    wanted = torch.nn.functional.cross_entropy(*arguments[:2], reduction="none")
    torch.testing.assert_close(arguments[2], wanted.detach())


@pytest.mark.parametrize("thing", [None, [1.0, 2.0], "logits", 3])
def test_what_is_no_tensor_is_refused(arguments: list[torch.Tensor], thing: Any) -> None:
    with pytest.raises(TypeError, match="incompatible function arguments"):
        forward(thing, *arguments[1:])


# torch warns, once per process, that there is no data pointer.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_fake_tensor_is_refused_instead_of_read(arguments: list[torch.Tensor]) -> None:
    with FakeTensorMode():
        fake = torch.randn(3, 4)
        with pytest.raises(TypeError, match="logits has no data"):
            forward(fake, *arguments[1:])


def test_a_meta_tensor_is_refused(arguments: list[torch.Tensor]) -> None:
    with pytest.raises((RuntimeError, BufferError)):
        forward(torch.randn(3, 4, device="meta"), *arguments[1:])


@pytest.mark.parametrize(
    ("position", "wrong", "message"),
    [
        (0, torch.zeros(12), "logits must have 2 dimensions"),
        (
            0,
            torch.zeros(3, 4).int(),
            "logits must be float32, float64, float16 or bfloat16, got int32",
        ),
        (0, torch.zeros(4, 3).t(), "logits must be contiguous, got strides"),
        (1, torch.zeros(3), "targets must be int64, got float32"),
        (1, torch.zeros(2).long(), r"targets must be \[3\], got \[2\]"),
        (2, torch.zeros(3).double(), "losses must be float32, got float64"),
        (2, torch.zeros(1).expand(3), "losses must be contiguous"),
    ],
)
def test_a_wrong_tensor_is_refused_by_name(
    arguments: list[torch.Tensor], position: int, wrong: torch.Tensor, message: str
) -> None:
    arguments[position] = wrong
    with pytest.raises(ValueError, match=message):
        forward(*arguments)


def test_the_scale_and_the_gradient_go_together(arguments: list[torch.Tensor]) -> None:
    logits, targets, losses = arguments
    with pytest.raises(ValueError, match="row_scale and grad_logits go together"):
        _C.reweighted_cross_entropy(
            logits, targets, row_scale=None, losses=losses,
            grad_logits=torch.empty(3, 4), ignore_index=-100, label_smoothing=0.0, num_threads=1,
        )  # fmt: skip


def test_a_negative_view_is_resolved_before_the_kernel_reads_it() -> None:
    imaginary = torch.randn(3, 4, dtype=torch.complex64).conj().imag
    assert imaginary.is_neg()
    got = reweighted_cross_entropy(imaginary, torch.tensor([0, 1, 2]))
    wanted = torch.nn.functional.cross_entropy(imaginary.resolve_neg(), torch.tensor([0, 1, 2]))
    torch.testing.assert_close(got, wanted)


def test_meta_tensors_get_shapes_and_dtypes_without_data() -> None:
    sequences = torch.empty(5, 7, dtype=torch.int32, device="meta")
    noisy = random_replacement(sequences, num_items=9, seed=0, replace_ratio=0.5)
    assert noisy.sequences.shape == noisy.replaced.shape == (5, 7)
    assert noisy.sequences.dtype == torch.int32
    assert noisy.noise_labels.shape == (5,)


@pytest.mark.cuda
def test_a_device_without_kernels_is_named() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA tensor")
    if _C.build_facts()["cuda_toolkit"] is not None:
        pytest.skip("this build has CUDA kernels")
    with pytest.raises(RuntimeError, match=r"built without CUDA kernels.*rebuild"):
        reweighted_cross_entropy(torch.zeros(2, 3).cuda(), torch.zeros(2).long().cuda())
