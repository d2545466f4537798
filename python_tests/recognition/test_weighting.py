"""From noise logits to sample weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atjt_ext.recognition.weighting import (
    COLLAPSED_RELATIVE_STD,
    calibrated_weights,
    clean_probability,
    estimate_noise_rate,
    summarise_weights,
)

CLEAN_AT, NOISE_AT = 0.0, 2.0


def _mixture(noise_rate: float, *, artificial_rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """One-dimensional data, clean N(0, 1) and noise N(2, 1), as the best possible noise model
    trained on artificial noise of the second kind sees them.

    Returns its logits ``[N]``, P(clean) ``[N]`` and the truth ``[N]`` bool.
    """
    generator = torch.Generator().manual_seed(0)
    is_noise = torch.rand(200_000, generator=generator) < noise_rate
    x = torch.randn(200_000, generator=generator, dtype=torch.float64)
    x = x + torch.where(is_noise, NOISE_AT, CLEAN_AT)
    clean = torch.exp(-0.5 * (x - CLEAN_AT) ** 2)
    noise = torch.exp(-0.5 * (x - NOISE_AT) ** 2)
    data = (1 - noise_rate) * clean + noise_rate * noise
    logits = (artificial_rate * noise / ((1 - artificial_rate) * data)).log()
    return logits, (1 - noise_rate) * clean / data, is_noise


@pytest.mark.parametrize("artificial_rate", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("noise_rate", [0.05, 0.2, 0.4])
def test_calibration_recovers_noise_rate_and_clean_probability(
    noise_rate: float, artificial_rate: float
) -> None:
    logits, clean, is_noise = _mixture(noise_rate, artificial_rate=artificial_rate)
    estimate = estimate_noise_rate(logits, artificial_rate=artificial_rate)
    # An upper bound: the data's density is nowhere below noise_rate times the noise's density.
    assert noise_rate <= estimate <= noise_rate + 0.02
    weights = calibrated_weights(logits, artificial_rate=artificial_rate, noise_rate=estimate)
    # Where nearly all is noise, P(clean) is what 0.02 too much noise can take away.
    assert float((weights - clean).abs().max()) <= 0.02 / noise_rate
    assert float(weights.mean()) == pytest.approx(1 - noise_rate, abs=0.02)
    assert float(weights[is_noise].mean()) < float(weights[~is_noise].mean()) - 0.2


def test_true_noise_rate_gives_exactly_the_clean_probability() -> None:
    logits, clean, _ = _mixture(0.3, artificial_rate=0.5)
    weights = calibrated_weights(logits, artificial_rate=0.5, noise_rate=0.3)
    assert torch.allclose(weights, clean, rtol=0, atol=1e-12)


def test_clean_data_keep_weights_near_one() -> None:
    logits, _, _ = _mixture(0.0, artificial_rate=0.5)
    estimate = estimate_noise_rate(logits, artificial_rate=0.5)
    weights = calibrated_weights(logits, artificial_rate=0.5, noise_rate=estimate)
    assert estimate < 0.08
    assert float(weights.mean()) > 0.92
    # The paper's weight is much lower for the odd clean items.
    assert float(weights.mean()) > float(clean_probability(logits).mean()) + 0.1


def test_estimated_noise_rate_is_the_quantile_of_the_clean_odds() -> None:
    # artificial_rate 0.5: odds are exp(-logit) = 0.01, 0.02, ..., 1.
    odds = torch.arange(1, 101, dtype=torch.float64) / 100
    shuffled = -odds.log()[torch.randperm(100, generator=torch.Generator().manual_seed(0))]
    for quantile, wanted in ((0.0, 0.01), (0.01, 0.02), (0.25, 0.26), (0.4, 0.41)):
        got = estimate_noise_rate(shuffled, artificial_rate=0.5, quantile=quantile)
        assert got == pytest.approx(wanted, abs=1e-12)
    # Odds are scaled by the odds of the artificial noise.
    got = estimate_noise_rate(shuffled, artificial_rate=0.2, quantile=0.0)
    assert got == pytest.approx(0.01 / 4, abs=1e-12)


def test_noise_rate_is_capped_at_one_half() -> None:
    assert estimate_noise_rate(torch.full((10,), -10.0), artificial_rate=0.5) == 0.5


def test_model_that_knows_nothing_gives_equal_weights() -> None:
    logits = torch.zeros(100)
    rate = estimate_noise_rate(logits, artificial_rate=0.5)
    weights = calibrated_weights(logits, artificial_rate=0.5, noise_rate=rate)
    assert summarise_weights(weights).collapsed
    assert torch.equal(weights, weights[:1].expand(100))


def test_one_overconfident_logit_does_not_decide_the_noise_rate() -> None:
    logits = torch.zeros(1000)
    logits[0] = 50.0
    assert estimate_noise_rate(logits, artificial_rate=0.5) == 0.5


def test_no_noise_means_weights_of_exactly_one() -> None:
    logits = torch.tensor([-1000.0, 0.0, 1000.0])
    weights = calibrated_weights(logits, artificial_rate=0.5, noise_rate=0.0)
    assert torch.equal(weights, torch.ones(3))


def test_extreme_logits_give_finite_weights_and_gradients() -> None:
    logits = torch.tensor([-1000.0, -0.1, 1000.0], requires_grad=True)
    weights = calibrated_weights(logits, artificial_rate=0.5, noise_rate=0.3)
    assert weights.detach().tolist() == pytest.approx([1.0, 1 - 0.3 * 2.718281828**-0.1, 0.0])
    weights.sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == pytest.approx([0.0, -0.3 * 2.718281828**-0.1, 0.0])


@pytest.mark.parametrize("shape", [(5,), (5, 3)])
def test_weights_have_the_shape_of_the_logits(shape: tuple[int, ...]) -> None:
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    paper = clean_probability(logits)
    assert torch.allclose(paper, 1 - torch.sigmoid(logits))
    calibrated = calibrated_weights(logits, artificial_rate=0.5, noise_rate=0.1)
    assert paper.shape == calibrated.shape == shape
    flat = calibrated_weights(logits.flatten(), artificial_rate=0.5, noise_rate=0.1)
    assert torch.equal(calibrated.flatten(), flat)
    assert estimate_noise_rate(logits, artificial_rate=0.5) == estimate_noise_rate(
        logits.flatten(), artificial_rate=0.5
    )


@pytest.mark.parametrize("artificial_rate", [0.0, 1.0, -0.1])
def test_artificial_rate_out_of_range_is_refused(artificial_rate: float) -> None:
    with pytest.raises(ValueError, match="artificial_rate must be in"):
        estimate_noise_rate(torch.zeros(3), artificial_rate=artificial_rate)
    with pytest.raises(ValueError, match="artificial_rate must be in"):
        calibrated_weights(torch.zeros(3), artificial_rate=artificial_rate, noise_rate=0.1)


@pytest.mark.parametrize("noise_rate", [-0.1, 1.1, float("nan")])
def test_noise_rate_out_of_range_is_refused(noise_rate: float) -> None:
    with pytest.raises(ValueError, match="noise_rate must be in"):
        calibrated_weights(torch.zeros(3), artificial_rate=0.5, noise_rate=noise_rate)


def test_noise_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="noise_logits must not be empty"):
        estimate_noise_rate(torch.empty(0), artificial_rate=0.5)


def test_summary_by_hand() -> None:
    summary = summarise_weights(torch.tensor([[0.0, 0.5], [0.5, 1.0]]))
    assert summary.as_dict() == pytest.approx(
        {"mean": 0.5, "std": 0.125**0.5, "min": 0.0, "max": 1.0}
    )
    assert not summary.collapsed


@pytest.mark.parametrize(("share", "collapsed"), [(0.9, True), (1.1, False)])
@pytest.mark.parametrize("mean", [0.1, 1.0])
def test_weights_that_are_all_alike_are_collapsed(
    share: float, collapsed: bool, mean: float
) -> None:
    spread = share * COLLAPSED_RELATIVE_STD
    weights = mean * torch.tensor([1 - spread, 1 + spread])
    assert summarise_weights(weights).collapsed is collapsed


def test_weights_that_are_all_zero_are_collapsed() -> None:
    assert summarise_weights(torch.zeros(3)).collapsed
