"""RECOGNISE, beyond the paper: which interactions do not go with the rest of their sequence?"""

from .detector import NoiseRecogniser, RecognisedNoise, RecognitionConfig, recognise_noise

__all__ = ["NoiseRecogniser", "RecognisedNoise", "RecognitionConfig", "recognise_noise"]
