"""Section 12: Heskes' D(theta', theta) has F-breve as its curvature.

D(theta', theta) = 1/2 sum_i E[(s_i - s_i')^T G_{i,i} (s_i - s_i')], where s_i' = W_i' abar_{i-1},
and everything else is at theta.
"""

import pytest
import torch
from engine import oracles
from engine.oracles import OUTPUTS, Architecture, problem
from torch.autograd.functional import hessian
from torch.distributions import kl_divergence
from torch.func import grad, jacrev

from kfac_cli.engine import BlockDiagonalInverse, Network

from .helpers import exact_fisher, model_passes

SHAPES = [
    ((3, 2), ()),
    ((3, 2, 2), ("tanh",)),
    ((3, 2, 3, 2), ("logistic", "relu")),
]
ARCHITECTURES = [Architecture(*shape, output) for shape in SHAPES for output in OUTPUTS]
EVERY = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)


class Model:
    """A network at theta and the quantities of section 12."""

    def __init__(self, architecture, cases=8):
        self.problem = problem(architecture, cases)
        self.architecture, self.theta, self.inputs, _ = self.problem
        self.sizes = architecture.layer_sizes
        self.parameters = oracles.unvec(self.theta, self.sizes)
        network = Network(*architecture)
        self.factors = model_passes(network, self.parameters, self.inputs).factors()
        self.units = network.forward(self.parameters, self.inputs).homogeneous  # of each case

    def sums(self, theta):
        """s_i' = W_i' abar_{i-1} of each case, layer by layer; s_i at theta itself."""
        return [a @ w.T for a, w in zip(self.units, oracles.unvec(theta, self.sizes), strict=True)]

    def above(self, layer, total):
        """The natural parameters as a function of s_i, i = layer + 1, of one case."""
        names = (*self.architecture.activations, "linear")
        for name, weights in zip(names[layer:], self.parameters[layer + 1 :], strict=False):
            units = oracles.FUNCTIONS[name](total)
            total = weights @ torch.cat([units, units.new_ones(1)])
        return total

    def fisher_at(self, layer, total):
        """The Fisher of P(y|s_i), parameterised by s_i."""
        jacobian = jacrev(lambda s: self.above(layer, s))(total)
        natural = self.above(layer, total)
        return jacobian.T @ oracles.output_fisher(self.architecture.output, natural) @ jacobian

    def fishers(self):
        """The same for each case, layer by layer: (cases, d_i, d_i)."""
        return [
            torch.stack([self.fisher_at(layer, s) for s in sums])
            for layer, sums in enumerate(self.sums(self.theta))
        ]

    def reweighted_change(self, theta, weights):
        """1/2 sum_i E[(s_i - s_i')^T M_i (s_i - s_i')], each M_i (cases, d_i, d_i)."""
        changes = [s - t for s, t in zip(self.sums(self.theta), self.sums(theta), strict=True)]
        return 0.5 * sum(
            torch.einsum("ma,mab,mb->m", c, m, c).mean()
            for c, m in zip(changes, weights, strict=True)
        )

    def heskes(self, theta):
        """D(theta', theta)."""
        return self.reweighted_change(
            theta, [g.expand(len(self.inputs), *g.shape) for g in self.factors.gradient]
        )

    def divergence(self, theta, forward):
        """sum_i E[KL(P(y|s_i) || P(y|s_i'))], or with the two exchanged."""
        total = torch.zeros((), dtype=torch.float64)
        for layer, (old, new) in enumerate(
            zip(self.sums(self.theta), self.sums(theta), strict=True)
        ):
            for s, t in zip(old, new, strict=True):
                pair = [
                    oracles.predictive(self.architecture.output, self.above(layer, each))
                    for each in ((s, t) if forward else (t, s))
                ]
                total = total + kl_divergence(*pair) / len(self.inputs)
        return total

    def blocks_of(self, matrix):
        """Its diagonal blocks, one per layer."""
        return torch.block_diag(*(matrix[b, b] for b in oracles.blocks(self.sizes)))


@EVERY
def test_d_is_a_distance_from_theta_with_curvature_f_breve(architecture):
    """D and its gradient vanish at theta' = theta; its Hessian is diag(Abar (x) G) everywhere."""
    model = Model(architecture)
    assert model.heskes(model.theta) == 0
    torch.testing.assert_close(grad(model.heskes)(model.theta), 0 * model.theta)
    f_breve = torch.block_diag(
        *(
            torch.kron(a, g)
            for a, g in zip(model.factors.activation, model.factors.gradient, strict=True)
        )
    )
    for elsewhere in (model.theta, oracles.some_vector(len(model.theta))):
        torch.testing.assert_close(hessian(model.heskes, elsewhere), f_breve)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli"),
        Architecture((4, 3, 2), ("relu",), "gaussian"),
    ],
    ids=str,
)
def test_the_engines_update_minimises_the_gradient_plus_d(architecture):
    """-F-breve^-1 grad h is where grad h^T (theta' - theta) + D(theta', theta) is stationary."""
    model = Model(architecture, cases=40)  # enough for F-breve to have an inverse
    slope = oracles.some_vector(len(model.theta))
    update = BlockDiagonalInverse(model.factors, 0.0).multiply(oracles.unvec(slope, model.sizes))
    stationary = model.theta - oracles.vec(update)
    assert oracles.relative_error(grad(model.heskes)(stationary), -slope) < 1e-8


@EVERY
def test_g_is_the_expected_fisher_of_the_predictions_given_the_sums(architecture):
    """G_{i,i} = E[F of P(y|s_i)]."""
    model = Model(architecture)
    for fisher, g in zip(model.fishers(), model.factors.gradient, strict=True):
        torch.testing.assert_close(g, fisher.mean(0))


@EVERY
def test_with_the_specific_fishers_d_has_the_exact_diagonal_blocks(architecture):
    """F of P(y|s_i) in place of its mean G_{i,i}: no Kronecker factorisation remains."""
    model = Model(architecture)
    fishers = model.fishers()
    curvature = hessian(lambda theta: model.reweighted_change(theta, fishers), model.theta)
    torch.testing.assert_close(curvature, model.blocks_of(exact_fisher(model.problem)))


@EVERY
@pytest.mark.parametrize("forward", [True, False], ids=["KL(P, P')", "KL(P', P)"])
def test_the_sum_of_divergences_has_the_exact_diagonal_blocks_too(architecture, forward):
    """The Hessian at theta' = theta of sum_i E[KL(P(y|s_i) || P(y|s_i'))], in either direction."""
    model = Model(architecture)
    curvature = hessian(lambda theta: model.divergence(theta, forward), model.theta)
    torch.testing.assert_close(curvature, model.blocks_of(exact_fisher(model.problem)))
