"""Trained recommenders for use without this package: tensors, ids, and an encoder in ONNX."""

from .onnx_encoder import export_onnx
from .tensors import export_safetensors

__all__ = ["export_onnx", "export_safetensors"]
