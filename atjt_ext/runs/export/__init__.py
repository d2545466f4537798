"""Trained recommenders for other programs: tensors and ids, or an encoder in ONNX."""

from .onnx_encoder import export_onnx
from .tensors import export_safetensors

__all__ = ["export_onnx", "export_safetensors"]
