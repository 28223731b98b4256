"""Section 4.1: the inverse of a covariance matrix contains the optimal linear predictors.

B_{i,j} is the coefficient of variable j in the optimal linear predictor of variable i from all the
others, B_{i,i} = 0, and D_{i,i} the variance of its error. Then Sigma^-1 = D^-1 (I - B). Here for
the derivatives D theta, whose covariance is F, and for the engine's two approximations of it.
"""

import pytest
import torch
from engine import oracles
from engine.oracles import Architecture, problem

from kfac_cli.engine import Network

from .helpers import INVERSES, dense, exact_fisher, model_passes

# No softmax: its F has no inverse. Enough cases for D theta to have no exact linear dependence.
ARCHITECTURES = [
    Architecture((2, 2), (), "bernoulli"),
    Architecture((2, 2, 2), ("tanh",), "gaussian"),
    Architecture((2, 2, 2), ("logistic",), "bernoulli"),
]
EVERY = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
EACH_INVERSE = pytest.mark.parametrize("inverse", INVERSES)
CASES = 40


def predictors_from_samples(samples, weights):
    """B and D by weighted least squares, one variable after the other."""
    scaled = weights.sqrt()[:, None] * samples
    size = samples.shape[1]
    coefficients, variances = torch.zeros(size, size, dtype=samples.dtype), []
    for i in range(size):
        others = [j for j in range(size) if j != i]
        solution = torch.linalg.lstsq(scaled[:, others], scaled[:, i : i + 1]).solution
        coefficients[i, others] = solution[:, 0]
        residual = scaled[:, i] - scaled[:, others] @ solution[:, 0]
        variances.append(residual.square().sum())
    return coefficients, torch.stack(variances)


def predictors_from_covariance(covariance):
    """B and D by the normal equations, one variable after the other."""
    size = len(covariance)
    coefficients, variances = torch.zeros_like(covariance), []
    for i in range(size):
        others = [j for j in range(size) if j != i]
        solution = torch.linalg.solve(covariance[others][:, others], covariance[others, i])
        coefficients[i, others] = solution
        variances.append(covariance[i, i] - solution @ covariance[others, i])
    return coefficients, torch.stack(variances)


def precision_from(coefficients, variances):
    """D^-1 (I - B)."""
    identity = torch.eye(len(variances), dtype=variances.dtype)
    return (identity - coefficients) / variances[:, None]


def passes_of(architecture):
    small = problem(architecture, CASES)
    parameters = oracles.unvec(small.theta, architecture.layer_sizes)
    return small, model_passes(Network(*architecture), parameters, small.inputs)


@EVERY
def test_the_inverse_fisher_consists_of_predictors_of_d_theta(architecture):
    """F^-1 = D^-1 (I - B), with B and D from all possible D theta of the model."""
    small, passes = passes_of(architecture)
    b, d = predictors_from_samples(passes.parameter_gradients(), passes.weights)
    precision = torch.linalg.inv(exact_fisher(small))
    assert oracles.relative_error(precision_from(b, d), precision) < 1e-8


@EVERY
def test_predictors_follow_from_the_inverse_fisher(architecture):
    """B_{i,j} = -P_{i,j} / P_{i,i} and D_{i,i} = 1 / P_{i,i} for P = F^-1."""
    small, passes = passes_of(architecture)
    b, d = predictors_from_samples(passes.parameter_gradients(), passes.weights)
    precision = torch.linalg.inv(exact_fisher(small))
    diagonal = precision.diagonal()
    assert oracles.relative_error(1 / diagonal, d) < 1e-8
    coefficients = -precision / diagonal[:, None]
    coefficients.fill_diagonal_(0)
    assert oracles.relative_error(coefficients, b) < 1e-8


@EACH_INVERSE
@pytest.mark.parametrize("gamma", [0.0, 0.1])
def test_the_engines_inverses_consist_of_predictors_from_few_layers(inverse, gamma):
    """From its own layer for F-breve; from its own and the adjacent ones for F-hat."""
    architecture = Architecture((3, 3, 2, 2), ("relu", "relu"), "bernoulli")
    _, passes = passes_of(architecture)
    engine = dense(INVERSES[inverse](passes.factors(), gamma), architecture.layer_sizes)
    b, d = predictors_from_covariance(torch.linalg.inv(engine))
    assert oracles.relative_error(precision_from(b, d), engine) < 1e-8
    reach = 1 if inverse == "block_tridiagonal" else 0
    where = oracles.blocks(architecture.layer_sizes)
    for i, predicted in enumerate(where):
        for j, used in enumerate(where):
            if abs(i - j) > reach:
                assert b[predicted, used].abs().max() < 1e-10
            else:
                assert b[predicted, used].abs().max() > 1e-3


@EVERY
def test_for_one_layer_with_independent_g_and_abar_both_inverses_are_exact(architecture):
    """Gaussian outputs, no hidden layer: F = Abar (x) I, and both inverses are F^-1 itself."""
    shallow = Architecture(architecture.layer_sizes[:2], (), "gaussian")
    small, passes = passes_of(shallow)
    for inverse in INVERSES.values():
        engine = dense(inverse(passes.factors(), 0.0), shallow.layer_sizes)
        torch.testing.assert_close(engine, torch.linalg.inv(exact_fisher(small)))


def test_a_correlated_variable_may_not_improve_the_prediction():
    """Variable j is k plus noise: it is correlated with i, but adds nothing to k as a predictor."""
    i, j, k = 0, 1, 2
    covariance = torch.tensor([[2.0, 0.8, 0.8], [0.8, 1.5, 1.0], [0.8, 1.0, 1.0]]).double()
    precision = torch.linalg.inv(covariance)
    b, _ = predictors_from_covariance(covariance)
    assert covariance[i, j] == covariance[i, k] > 0.5
    assert abs(b[i, j]) < 1e-12
    assert abs(precision[i, j]) < 1e-12
    assert b[i, k] == pytest.approx(0.8)
