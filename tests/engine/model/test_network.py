"""Section 2.1, algorithm 1 and appendix C against autograd."""

import pytest
import torch
from torch.func import vmap

from engine import oracles
from engine.oracles import ODD_ARCHITECTURES, Architecture, every_architecture, problem
from kfac_cli.engine import Network
from kfac_cli.engine.products import BLAS, Products

EVERY = pytest.mark.parametrize("architecture", every_architecture() + ODD_ARCHITECTURES, ids=str)


def engine_side(case):
    """The engine's network, parameters and forward pass for a problem."""
    network = Network(*case.architecture)
    parameters = oracles.unvec(case.theta, case.architecture.layer_sizes)
    return network, parameters, network.forward(parameters, case.inputs)


def directions_for(theta, count):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, len(theta), generator=generator, dtype=torch.float64)


@EVERY
def test_forward(architecture):
    case = problem(architecture)
    _, _, activations = engine_side(case)
    homogeneous, sums = vmap(lambda x: oracles.forward(architecture, case.theta, x))(case.inputs)
    torch.testing.assert_close(activations.homogeneous, homogeneous)
    torch.testing.assert_close(activations.logits, sums[-1])


@EVERY
def test_backward_gives_the_derivative_with_respect_to_every_s(architecture):
    case = problem(architecture)
    network, parameters, activations = engine_side(case)
    output_gradient = network.distribution.gradient(activations.logits, case.targets)
    expected = vmap(lambda x, y: oracles.unit_gradients(architecture, case.theta, x, y))(
        case.inputs, case.targets
    )
    actual = network.backward(parameters, activations, output_gradient)
    torch.testing.assert_close(actual, expected)


@EVERY
def test_gradient_is_the_mean_of_g_times_abar(architecture):
    """DW_i = g_i abar_{i-1}^T, its mean over cases the gradient of the mean loss."""
    case = problem(architecture)
    network, parameters, activations = engine_side(case)
    output_gradient = network.distribution.gradient(activations.logits, case.targets)
    backward = network.backward(parameters, activations, output_gradient)
    means = [
        g.T @ a / len(case.inputs) for g, a in zip(backward, activations.homogeneous, strict=True)
    ]
    expected = oracles.gradient(*case, l2=0.0)
    torch.testing.assert_close(oracles.vec(means), expected)


@EVERY
@pytest.mark.parametrize("count", [1, 2, 3])
def test_jacobian_product_in_several_directions(architecture, count):
    case = problem(architecture)
    network, parameters, activations = engine_side(case)
    vectors = directions_for(case.theta, count)
    directions = [oracles.unvec(v, architecture.layer_sizes) for v in vectors]
    jacobian = oracles.jacobian(architecture, case.theta, case.inputs)
    torch.testing.assert_close(
        network.jacobian_product(parameters, activations, directions),
        torch.einsum("mdn,kn->kmd", jacobian, vectors),
    )


@EVERY
def test_quadratic_form_of_the_exact_fisher(architecture):
    """u^T F v = mean (Ju)^T F_R (Jv) for every pair of directions (appendix C)."""
    case = problem(architecture)
    network, parameters, activations = engine_side(case)
    vectors = directions_for(case.theta, 3)
    directions = [oracles.unvec(v, architecture.layer_sizes) for v in vectors]
    tangents = network.jacobian_product(parameters, activations, directions)
    roots = network.distribution.fisher_root(activations.logits, tangents)
    forms = torch.einsum("umd,vmd->uv", roots, roots) / len(case.inputs)
    fisher = oracles.fisher(architecture, case.theta, case.inputs)
    torch.testing.assert_close(forms, vectors @ fisher @ vectors.T)


@EVERY
def test_passes_do_not_modify_their_arguments(architecture):
    case = problem(architecture)
    network, parameters, activations = engine_side(case)
    output_gradient = network.distribution.gradient(activations.logits, case.targets)
    directions = [oracles.unvec(v, architecture.layer_sizes) for v in directions_for(case.theta, 2)]
    tensors = [*parameters, *activations.homogeneous, activations.logits, output_gradient]
    tensors += [matrix for direction in directions for matrix in direction]
    before = [tensor.clone() for tensor in tensors]
    network.backward(parameters, activations, output_gradient)
    network.jacobian_product(parameters, activations, directions)
    assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


def test_results_have_the_dtype_of_the_parameters():
    case = problem(Architecture((3, 2, 2), ("tanh",), "bernoulli"))
    network = Network(*case.architecture)
    parameters = [w.float() for w in oracles.unvec(case.theta, (3, 2, 2))]
    activations = network.forward(parameters, case.inputs.float())
    assert activations.logits.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (((3,), (), "bernoulli"), "layer_sizes"),
        (((3, 0, 2), ("tanh",), "bernoulli"), "layer_sizes"),
        (((3, 2, 2), (), "bernoulli"), "activations"),
        (((3, 2, 2), ("tanh", "tanh"), "bernoulli"), "activations"),
        (((3, 2, 2), ("sigmoid",), "bernoulli"), "activations"),
        (((3, 2, 2), ("tanh",), "poisson"), "output"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        Network(*arguments)


class Counted(Products):
    """torch's products, and the multiply-adds of those that are written or added."""

    name = "counted"

    def __init__(self):
        self.multiply_adds = 0

    def multiply(self, left, right):
        return BLAS.multiply(left, right)

    def write(self, left, right, out):
        self.multiply_adds += left.shape[0] * left.shape[1] * right.shape[1]
        BLAS.write(left, right, out)

    def add(self, left, right, out):
        self.multiply_adds += left.shape[0] * left.shape[1] * right.shape[1]
        BLAS.add(left, right, out)


def test_a_jacobian_product_multiplies_each_matrix_once_and_none_by_the_inputs_change():
    """V ā in every layer, and W Ra, which is 0 in the first one."""
    case = problem(every_architecture()[0])
    products = Counted()
    _, parameters, activations = engine_side(case)
    counted = Network(*case.architecture, products=products)
    counted.jacobian_product(parameters, activations, [parameters, parameters])
    own = sum(w.numel() for w in parameters)
    through = sum(w[:, :-1].numel() for w in parameters[1:])
    assert products.multiply_adds == 2 * len(case.inputs) * (own + through)
