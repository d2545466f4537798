"""RECOGNISE, beyond the paper: which interactions do not go with the rest of their sequence?"""

from .detector import RecognisedNoise, RecognitionConfig, recognise_noise

__all__ = ["RecognisedNoise", "RecognitionConfig", "recognise_noise"]
