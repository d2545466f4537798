"""RECOGNISE, beyond the paper: which interactions do not go with the rest of their sequence?"""

from .detector import NoiseRecogniser, RecognisedNoise, RecognitionConfig, recognise_noise
from .evidence import Evidence

__all__ = ["Evidence", "NoiseRecogniser", "RecognisedNoise", "RecognitionConfig", "recognise_noise"]
