"""The predictive distributions R(y|z) against torch.distributions, autograd and enumeration."""

import math

import pytest
import torch
from torch.func import grad, vmap

from engine import oracles
from engine.oracles import OUTPUTS
from kfac_cli.engine import Network

EACH = pytest.mark.parametrize("output", OUTPUTS)
WIDTH = 3
MANY = 200_000


def distribution(output):
    return Network((1, WIDTH), (), output).distribution


def some_logits(cases=5):
    generator = torch.Generator().manual_seed(2)
    return 2 * torch.randn(cases, WIDTH, generator=generator, dtype=torch.float64)


def drawn(output, natural, cases, seed=0):
    """`cases` targets for one row of natural parameters, and the repeated row."""
    r, rows = distribution(output), natural.expand(cases, -1)
    generator = torch.Generator().manual_seed(seed)
    return r.sample(rows, r.noise(cases, WIDTH, generator, rows)), rows


def targets_for(output, cases=5):
    """Real-valued targets: pixel intensities, class probabilities."""
    noise = some_logits(cases).flip(0)
    return {"bernoulli": noise.sigmoid(), "gaussian": noise, "categorical": noise.softmax(1)}[
        output
    ]


@EACH
def test_loss_is_the_negative_log_probability_summed_over_outputs(output):
    natural = some_logits()
    targets, _ = oracles.exact_targets(output, natural[0])
    rows = natural[:1].expand(len(targets), -1)
    # Half the squared error omits the Gaussian's constant.
    constant = 0.5 * WIDTH * math.log(2 * math.pi) if output == "gaussian" else 0.0
    log_probability = oracles.predictive(output, rows).log_prob(targets)
    torch.testing.assert_close(
        distribution(output).loss(rows, targets), -log_probability - constant
    )


def test_losses_for_real_valued_targets_in_closed_form():
    z = some_logits()
    y = targets_for("bernoulli")
    cross_entropy = -(y * z.sigmoid().log() + (1 - y) * (-z).sigmoid().log()).sum(1)
    torch.testing.assert_close(distribution("bernoulli").loss(z, y), cross_entropy)
    y = targets_for("gaussian")
    torch.testing.assert_close(distribution("gaussian").loss(z, y), 0.5 * (y - z).norm(dim=1) ** 2)
    y = targets_for("categorical")
    expected = -(y * z.softmax(1).log()).sum(1)
    torch.testing.assert_close(distribution("categorical").loss(z, y), expected)


@EACH
def test_gradient_is_the_derivative_of_the_loss(output):
    natural, targets = some_logits(), targets_for(output)
    r = distribution(output)
    total = grad(lambda z: r.loss(z, targets).sum())(natural)
    torch.testing.assert_close(r.gradient(natural, targets), total)
    independent = vmap(grad(lambda z, y: oracles.loss(output, z, y)))(natural, targets)
    torch.testing.assert_close(r.gradient(natural, targets), independent)


@EACH
def test_fisher_root_squares_to_the_covariance_of_the_score(output):
    """<root(e_a), root(e_b)> = [F_R]_ab, with F_R enumerated over targets."""
    natural = some_logits()
    units = torch.eye(WIDTH, dtype=torch.float64)[:, None, :].expand(-1, len(natural), -1)
    roots = distribution(output).fisher_root(natural, units)
    expected = torch.stack([oracles.output_fisher(output, row) for row in natural])
    torch.testing.assert_close(torch.einsum("amd,bmd->mab", roots, roots), expected)


@EACH
def test_fisher_root_takes_a_single_direction(output):
    natural, tangent = some_logits(), some_logits().flip(0)
    r = distribution(output)
    torch.testing.assert_close(
        r.fisher_root(natural, tangent), r.fisher_root(natural, tangent[None])[0]
    )


@EACH
def test_mean_is_the_expectation_of_the_targets(output):
    natural = some_logits()
    for row, mean in zip(natural, distribution(output).mean(natural), strict=True):
        targets, probabilities = oracles.exact_targets(output, row)
        torch.testing.assert_close(mean, probabilities @ targets)


@pytest.mark.parametrize("output", ["bernoulli", "gaussian"])
def test_error_is_the_squared_error_of_the_mean_summed_over_outputs(output):
    natural, targets = some_logits(), targets_for(output)
    r = distribution(output)
    expected = (r.mean(natural) - targets).square().sum(1)
    torch.testing.assert_close(r.error(natural, targets), expected)


def test_error_of_a_classification_is_zero_or_one():
    natural = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]], dtype=torch.float64)
    targets = torch.eye(3, dtype=torch.float64)[[1, 2]]
    assert distribution("categorical").error(natural, targets).tolist() == [0.0, 1.0]


def test_samples_lie_in_the_support():
    natural = some_logits(1)[0]
    bits, _ = drawn("bernoulli", natural, 100)
    assert set(bits.flatten().tolist()) == {0.0, 1.0}
    rows, _ = drawn("categorical", natural, 100)
    assert set(rows.flatten().tolist()) == {0.0, 1.0}
    assert rows.sum(1).tolist() == [1.0] * 100


@EACH
def test_samples_have_the_distributions_mean_and_covariance(output):
    """Within 5 standard errors; for the Gaussian the variance is 1, not 1/2."""
    natural = some_logits(1)[0]
    sampled, rows = drawn(output, natural, MANY)
    deviations = sampled - distribution(output).mean(rows)
    targets, probabilities = oracles.exact_targets(output, natural)
    centred = targets - probabilities @ targets
    covariance = torch.einsum("k,ka,kb->ab", probabilities, centred, centred)
    products = torch.einsum("ma,mb->mab", deviations, deviations)
    for values, expected in ((deviations, torch.zeros(WIDTH)), (products, covariance)):
        error = (values.mean(0) - expected).abs()
        assert (error <= 5 * values.std(0) / math.sqrt(MANY) + 1e-12).all()


@pytest.mark.parametrize("output", ["bernoulli", "categorical"])
def test_every_target_is_drawn_with_its_probability(output):
    natural = some_logits(1)[0]
    sampled, _ = drawn(output, natural, MANY)
    targets, probabilities = oracles.exact_targets(output, natural)
    for target, p in zip(targets, probabilities.tolist(), strict=True):
        frequency = (sampled == target).all(1).double().mean().item()
        assert abs(frequency - p) <= 5 * math.sqrt(p * (1 - p) / MANY)


@EACH
def test_samples_are_a_function_of_their_own_row_of_noise(output):
    natural, r = some_logits(), distribution(output)
    noise = r.noise(5, WIDTH, torch.Generator().manual_seed(3), natural)
    at_once = r.sample(natural, noise)
    parts = [r.sample(natural[i : i + 2], noise[i : i + 2]) for i in (0, 2, 4)]
    assert torch.equal(at_once, torch.cat(parts))
    again = r.noise(5, WIDTH, torch.Generator().manual_seed(3), natural)
    assert torch.equal(noise, again)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_class_of_probability_zero_is_never_drawn(dtype):
    natural = torch.tensor([[-1e4, 0.0, -1e4]], dtype=dtype).expand(3, -1)
    noise = torch.tensor([[0.0], [0.5], [1 - torch.finfo(dtype).eps]], dtype=dtype)
    rows = distribution("categorical").sample(natural, noise)
    assert rows.tolist() == [[0.0, 1.0, 0.0]] * 3


@EACH
def test_extreme_logits_stay_finite(output):
    natural = torch.tensor([[1e4, -1e4, 0.0]], dtype=torch.float32)
    targets = torch.tensor([[0.0, 1.0, 0.0]])
    r = distribution(output)
    values = [r.loss(natural, targets), r.gradient(natural, targets)]
    values += [r.error(natural, targets), r.fisher_root(natural, natural)]
    assert all(torch.isfinite(value).all() for value in values)
