"""Corollary 2: the basic version of K-FAC takes the same optimization path in any transform.

Basic means: no damping, no momentum, and learning rates that do not depend on the parameterisation.
Minimising M(delta) over alpha (section 6.4), or over alpha and mu (section 7), gives such rates if
lambda = eta = 0. So the statement must hold for the engine's KFAC, with sampled statistics and
running averages, if it is undamped.
"""

import pytest
import torch
from engine import oracles
from engine.oracles import Architecture, problem

from kfac_cli.engine import KFAC, KFACOptions, NesterovOptions, NesterovSGD, Network

from .helpers import INVERSES, UNDAMPED, model_passes, random_invertible, training_passes
from .transformed import TransformedNetwork, randomly_transformed

RELU = Architecture((3, 3, 2, 2), ("relu", "relu"), "gaussian")
TANH = Architecture((4, 3, 2, 2), ("tanh", "tanh"), "gaussian")
LOGISTIC = TANH._replace(activations=("logistic", "logistic"))
BINARY = Architecture((4, 3, 3), ("tanh",), "bernoulli")
EVERY = pytest.mark.parametrize("architecture", [RELU, TANH, BINARY], ids=str)
EACH_INVERSE = pytest.mark.parametrize("inverse", INVERSES)
CASES, STEPS = 100, 4
ALPHA = 0.04
RATES = {  # none depends on the parameterisation
    "fixed rate": {"rescaling": False, "learning_rate": ALPHA, "momentum": False},
    "alpha": {"momentum": False},
    "alpha and mu": {"momentum": True},
    "three steps of CG": {"momentum": False, "cg_steps": 3},
}
EACH_RATE = pytest.mark.parametrize("rate", RATES)


def start(architecture):
    _, theta, inputs, targets = problem(architecture, CASES)
    return oracles.unvec(theta, architecture.layer_sizes), inputs, targets


def basic_path(network, parameters, inputs, targets, inverse):
    """Predictions along theta <- theta - alpha C^-1 grad h, C from exact expectations each time."""
    path = []
    for _ in range(STEPS):
        factors = model_passes(network, parameters, inputs).factors()
        slope = training_passes(network, parameters, inputs, targets).slope()
        update = INVERSES[inverse](factors, 0.0).multiply(slope)
        parameters = [w - ALPHA * u for w, u in zip(parameters, update, strict=True)]
        path.append(network.forward(parameters, inputs).logits)
    return path


def path_of(optimizer, inputs, targets):
    """Predictions after each full-batch step of an optimizer of the engine."""
    path = []
    for _ in range(STEPS):
        optimizer.step(inputs, targets)
        path.append(optimizer.network.forward(optimizer.parameters, inputs).logits)
    return path


def kfac_path(network, parameters, inputs, targets, inverse, rate, gamma=UNDAMPED):
    options = KFACOptions(
        inverse=inverse,
        l2=0.0,
        lambda_initial=UNDAMPED,
        gamma_initial=gamma,
        tau1=1.0,
        tau2=1.0,
        t2=2,
        t3=2,
        **RATES[rate],
    )
    generator = torch.Generator().manual_seed(0)
    return path_of(KFAC(network, parameters, options, generator), inputs, targets)


def distance(path, other):
    """The largest relative difference of the predictions along two paths."""
    return max(oracles.relative_error(p, o) for p, o in zip(path, other, strict=True))


def assert_same(path, other):
    """The same predictions, which change along the path but do not diverge."""
    assert oracles.relative_error(path[-1], path[0]) > 0.1
    assert path[-1].abs().max() < 100
    assert distance(path, other) < 1e-7


@EVERY
@EACH_INVERSE
@pytest.mark.parametrize("seed", [0, 1])
def test_corollary_2(architecture, inverse, seed):
    theta, inputs, targets = start(architecture)
    transformed = randomly_transformed(architecture, seed)
    assert_same(
        basic_path(Network(*architecture), theta, inputs, targets, inverse),
        basic_path(transformed, transformed.zeta_inverse(theta), inputs, targets, inverse),
    )


@EVERY
@EACH_INVERSE
@EACH_RATE
def test_corollary_2_holds_for_the_engines_optimizer(architecture, inverse, rate):
    theta, *rest = start(architecture)
    transformed = randomly_transformed(architecture, 0)
    assert_same(
        kfac_path(Network(*architecture), theta, *rest, inverse, rate),
        kfac_path(transformed, transformed.zeta_inverse(theta), *rest, inverse, rate),
    )


# --- transforms that give another ordinary network -----------------------------------------------


def identity(size):
    return torch.eye(size, dtype=torch.float64)


def affine(matrix, shift):
    """Omega with which abar' = (matrix a + shift, 1)."""
    size = len(matrix)
    return torch.cat([torch.cat([matrix, shift[:, None]], 1), identity(size + 1)[-1:]])


def tanh_for_logistic():
    """tanh(s) = 2 sigma(2 s) - 1: Phi_i = 2 I and Omega_i = (2 I, -1) in every hidden layer."""
    sizes = LOGISTIC.layer_sizes
    omegas = [affine(2 * identity(d), -torch.ones(d, dtype=torch.float64)) for d in sizes[1:-1]]
    phis = [2 * identity(d) for d in sizes[1:-1]]
    transform = TransformedNetwork(
        LOGISTIC, [identity(sizes[0] + 1), *omegas], [*phis, identity(sizes[-1])]
    )
    return transform, TANH, lambda inputs: inputs


def affine_inputs():
    """x' = C x + c for every case: Omega_0 = (C, c)."""
    sizes = TANH.layer_sizes
    matrix = random_invertible(sizes[0], torch.Generator().manual_seed(3))
    shift = oracles.some_vector(sizes[0])
    omegas = [affine(matrix, shift), *(identity(d + 1) for d in sizes[1:-1])]
    transform = TransformedNetwork(TANH, omegas, [identity(d) for d in sizes[1:]])
    return transform, TANH, lambda inputs: inputs @ matrix.T + shift


def scaled_relus():
    """relu(c s) / c = relu(s) for c > 0: Phi_i = diag(c) and Omega_i its inverse."""
    sizes = RELU.layer_sizes
    scales = [(2 * oracles.some_vector(d)).exp() for d in sizes[1:-1]]
    omegas = [affine(scale.reciprocal().diag(), 0 * scale) for scale in scales]
    phis = [scale.diag() for scale in scales]
    transform = TransformedNetwork(
        RELU, [identity(sizes[0] + 1), *omegas], [*phis, identity(sizes[-1])]
    )
    return transform, RELU, lambda inputs: inputs


EACH_CASE = pytest.mark.parametrize("case", [tanh_for_logistic, affine_inputs, scaled_relus])


def twins(case):
    """A network and its twin, each with its parameters, inputs and targets."""
    transform, twin, twin_inputs = case()
    original = Architecture(transform.layer_sizes, transform.activations, transform.output)
    theta_dagger, inputs, targets = start(twin)
    return (
        (Network(*original), transform.zeta(theta_dagger), inputs, targets),
        (Network(*twin), theta_dagger, twin_inputs(inputs), targets),
    )


@EACH_CASE
def test_twins_predict_the_same(case):
    one, other = twins(case)
    torch.testing.assert_close(
        other[0].forward(*other[1:3]).logits, one[0].forward(*one[1:3]).logits
    )


@EACH_CASE
@EACH_INVERSE
@EACH_RATE
def test_the_optimizer_makes_the_same_predictions_for_twins(case, inverse, rate):
    """Whether units are tanh or logistic, inputs raw or affinely transformed."""
    one, other = twins(case)
    assert_same(kfac_path(*one, inverse, rate), kfac_path(*other, inverse, rate))


@EACH_CASE
@EACH_INVERSE
def test_with_damping_the_predictions_for_twins_differ(case, inverse):
    one, other = twins(case)
    path = kfac_path(*one, inverse, rate="alpha", gamma=0.3)
    assert distance(path, kfac_path(*other, inverse, rate="alpha", gamma=0.3)) > 1e-3


@EACH_CASE
def test_with_nesterovs_gradient_the_predictions_for_twins_differ(case):
    options = NesterovOptions(learning_rate=0.01, l2=0.0)
    one, other = (
        path_of(NesterovSGD(network, theta, options), inputs, targets)
        for network, theta, inputs, targets in twins(case)
    )
    assert distance(one, other) > 1e-3
