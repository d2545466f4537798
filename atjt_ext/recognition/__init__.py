"""RECOGNISE, beyond the paper: which interactions do not go with the rest of their sequence?"""

from .co_occurrence.evidence import Evidence
from .co_occurrence.recogniser import (
    NoiseRecogniser,
    RecognisedNoise,
    RecognitionConfig,
    recognise_noise,
)

__all__ = ["Evidence", "NoiseRecogniser", "RecognisedNoise", "RecognitionConfig", "recognise_noise"]
