"""Options of recognition by co-occurrence."""

from __future__ import annotations

from dataclasses import dataclass

from ...models.options import between_0_and_1, check_options, from_0_to_1, in_range, part, size

__all__ = ["RecognitionConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionConfig:
    """Options of :func:`~atjt_ext.recognition.recognise_noise`.

    Attributes:
        num_folds: folds of users, at least 2. The counts that judge a user leave out the user's
            fold, and the classifier of a fold never saw the fold's damaged copies.
        window: largest distance of two neighbours in a sequence.
        max_pairs: approximate limit of counted pairs; larger data get a smaller window. 50 million
            pairs take about 3 GB.
        dimension: dimension of the low-rank item vectors.
        attributes: also compare the attributes that items share (genres, categories), see
            :func:`atjt_ext.data.shared_features`.
        artificial_rate: share of interactions replaced in the damaged copy that the classifiers
            learn from. It is small, because a replaced item also disturbs its neighbours' features.
        uniform_share: share of the replacing items that are drawn uniformly; the others are drawn
            by popularity. A larger share makes rarity more suspicious: 1 detects uniform noise
            best, 0 detects noise that is as popular as the rest.
        evidence: in (0, 1], the weight of one interaction in the estimate of a user's share of
            noise.
        largest_ratio: approximate limit of the factor by which an interaction's features raise its
            odds of being noise. The most unusual interactions are often a clean user's single odd
            item: without a limit, with half of the items of 30 % of the users replaced, only 25 %
            of the interactions with P(noise) > 0.9 were noise (MovieLens-100K; Beauty: 44 %).
        gate_auc: weights stay 1 if the AUC for artificial noise among interactions of similar
            popularity, averaged over folds, is lower. A model that knows only popularity mistakes
            rare items for noise: on simulated data without other structure, that cost a sixth of
            NDCG@10.
    """

    num_folds: int = in_range(5, "at least 2", lambda value: value >= 2)
    window: int = size(50)
    max_pairs: int = size(50_000_000)
    dimension: int = size(64)
    attributes: bool = True
    artificial_rate: float = between_0_and_1(0.1)
    uniform_share: float = from_0_to_1(0.8)
    evidence: float = part(0.3)
    largest_ratio: float = in_range(20.0, "above 1", lambda value: value > 1.0)
    gate_auc: float = from_0_to_1(0.6)

    def __post_init__(self) -> None:
        check_options(self)
