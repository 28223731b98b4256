"""Lemma 4 and appendix A: the error of approximating E[a a g g] by E[a a] E[g g].

Lemma 4: E[u Dv] = 0 for a scalar u that is independent of y given the network's output, and any
intermediate quantity v. Then (eqn 3), for any pair of weights,

    F - F-tilde = kappa(a1, a2, g1, g2) + E[a1] kappa(a2, g1, g2) + E[a2] kappa(a1, g1, g2).

Expectations are exact: they are at most quadratic in y, where Gaussian sigma points are exact.
"""

import math

import pytest
import torch
from engine import oracles
from engine.oracles import OUTPUTS, Architecture, problem

from kfac_cli.engine import Network

from .helpers import exact_fisher, model_passes, training_passes

ARCHITECTURES = [
    Architecture((3, 2, 3, 2), hidden, output)
    for hidden in [("tanh", "logistic"), ("relu", "linear")]
    for output in OUTPUTS
]
EVERY = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
SMALL = [Architecture((2, 2, 2), ("tanh",), output) for output in OUTPUTS]
EACH_SMALL = pytest.mark.parametrize("architecture", SMALL, ids=str)


def passes_of(architecture, distribution="model"):
    _, theta, inputs, targets = problem(architecture)
    parameters = oracles.unvec(theta, architecture.layer_sizes)
    if distribution == "model":
        return model_passes(Network(*architecture), parameters, inputs)
    return training_passes(Network(*architecture), parameters, inputs, targets)


def assert_zero(values):
    torch.testing.assert_close(values, torch.zeros_like(values))


# --- lemma 4 -------------------------------------------------------------------------------------


@EVERY
def test_lemma_4_with_u_from_the_activities(architecture):
    """u = abar_i, centred abar_i, and products abar_i abar_j; v = s_k, for every i, j, k."""
    passes = passes_of(architecture)
    for g in passes.gradients:
        for a in passes.units:
            assert_zero(passes.mean(a[:, :, None] * g[:, None, :]))
            centred = a - passes.mean(a)
            assert_zero(passes.mean(centred[:, :, None] * g[:, None, :]))
            for b in passes.units:
                assert_zero(torch.einsum("k,ka,kb,kg->abg", passes.weights, a, b, g))


@EVERY
def test_lemma_4_with_any_u_that_depends_on_the_input_alone(architecture):
    """u = a random number for each input; v = every s_i and every weight."""
    passes = passes_of(architecture)
    inputs, which = passes.units[0].unique(dim=0, return_inverse=True)
    u = oracles.some_vector(len(inputs))[which, None]
    for derivative in [*passes.gradients, passes.parameter_gradients()]:
        assert_zero(passes.mean(u * derivative))


@EVERY
def test_d_theta_has_mean_zero_so_the_fisher_is_its_covariance(architecture):
    """E[D theta] = 0 (section 4.1)."""
    assert_zero(passes_of(architecture).mean(passes_of(architecture).parameter_gradients()))


@EVERY
def test_lemma_4_does_not_hold_under_the_training_distribution(architecture):
    """This is why the empirical Fisher is different (section 5, the note)."""
    passes = passes_of(architecture, "training")
    assert passes.mean(passes.parameter_gradients()).norm() > 0.1
    a, g = passes.units[0], passes.gradients[0]
    assert passes.mean(a[:, :, None] * g[:, None, :]).norm() > 0.1


@EVERY
def test_u_must_not_depend_on_the_derivatives(architecture):
    """u = g: E[g g^T] = G is not 0."""
    passes = passes_of(architecture)
    for g in passes.gradients:
        assert passes.mean(g[:, :, None] * g[:, None, :]).norm() > 1e-3


# --- appendix A ----------------------------------------------------------------------------------

VARIABLES = ("a1", "a2", "g1", "g2")


def partitions(items):
    """All ways to split a sequence into non-empty groups."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for smaller in partitions(rest):
        for i, group in enumerate(smaller):
            yield [*smaller[:i], (first, *group), *smaller[i + 1 :]]
        yield [(first,), *smaller]


class PairsOfWeights:
    """a1, a2, g1, g2 of every pair of weights of a network, as functions of (x, y).

    D[W]_{k1,k2} = a1 g1 and D[W]_{k3,k4} = a2 g2; everything is an (n, n) matrix over the pairs.
    """

    def __init__(self, architecture):
        passes = passes_of(architecture)
        sizes = architecture.layer_sizes
        activities, derivatives = [], []
        for a, g in zip(passes.units, passes.gradients, strict=True):
            activities.append(a.repeat_interleave(g.shape[1], 1))  # vec stacks columns
            derivatives.append(g.repeat(1, a.shape[1]))
        a, g = torch.cat(activities, 1), torch.cat(derivatives, 1)
        assert a.shape[1] == oracles.blocks(sizes)[-1].stop
        self.weights = passes.weights
        self.values = {
            "a1": a[:, :, None],
            "a2": a[:, None, :],
            "g1": g[:, :, None],
            "g2": g[:, None, :],
        }
        self.size = a.shape[1]

    def moment(self, group):
        """E[product], over the pairs."""
        product = math.prod(self.values[name] for name in group)
        mean = torch.tensordot(self.weights, product, 1)
        return mean.expand(self.size, self.size)

    def cumulant(self, group):
        """kappa(group): sum over partitions of (-1)^(k-1) (k-1)! times the moments of k groups."""
        return sum(
            (-1) ** (len(parts) - 1)
            * math.factorial(len(parts) - 1)
            * math.prod(self.moment(part) for part in parts)
            for parts in partitions(group)
        )

    def term(self, parts):
        """The product of the cumulants of a partition's groups."""
        return math.prod(self.cumulant(part) for part in parts)


def vanishes_by_lemma_4(parts):
    """A group of one g, or of one a with one g."""
    return any("".join(sorted(name[0] for name in part)) in ("g", "ag") for part in parts)


@EACH_SMALL
def test_first_cumulants_are_means_and_second_ones_covariances(architecture):
    pairs = PairsOfWeights(architecture)
    torch.testing.assert_close(pairs.cumulant(("a1",)), pairs.moment(("a1",)))
    covariance = pairs.moment(("a1", "a2")) - pairs.moment(("a1",)) * pairs.moment(("a2",))
    torch.testing.assert_close(pairs.cumulant(("a1", "a2")), covariance)


@EACH_SMALL
def test_lemma_4_makes_cumulants_vanish(architecture):
    """kappa(g) = 0 and kappa(a, g) = 0."""
    pairs = PairsOfWeights(architecture)
    for g in ("g1", "g2"):
        assert_zero(pairs.cumulant((g,)))
        for a in ("a1", "a2"):
            assert_zero(pairs.cumulant((a, g)))


@EACH_SMALL
def test_the_fourth_moment_is_a_sum_of_15_terms_of_which_10_vanish(architecture):
    pairs = PairsOfWeights(architecture)
    every = list(partitions(VARIABLES))
    zero = [parts for parts in every if vanishes_by_lemma_4(parts)]
    assert (len(every), len(zero)) == (15, 10)
    for parts in zero:
        assert_zero(pairs.term(parts))
    others = [parts for parts in every if not vanishes_by_lemma_4(parts)]
    assert all(pairs.term(parts).norm() > 1e-6 for parts in others)
    torch.testing.assert_close(pairs.moment(VARIABLES), sum(pairs.term(parts) for parts in others))


@EACH_SMALL
def test_the_approximation_error_in_cumulants(architecture):
    """Eqn 3, for the engine's exact F and F-tilde from the statistics."""
    pairs = PairsOfWeights(architecture)
    tilde = pairs.moment(("a1", "a2")) * pairs.moment(("g1", "g2"))
    small = problem(architecture)
    exact = oracles.exact_cases(*small[:3])
    stats = oracles.statistics(architecture, small.theta, *exact)
    torch.testing.assert_close(tilde, oracles.f_tilde(stats))

    error = exact_fisher(small) - tilde
    assert error.norm() > 0.01
    terms = [
        pairs.cumulant(VARIABLES),
        pairs.moment(("a1",)) * pairs.cumulant(("a2", "g1", "g2")),
        pairs.moment(("a2",)) * pairs.cumulant(("a1", "g1", "g2")),
    ]
    torch.testing.assert_close(error, sum(terms))
    bound = sum(term.abs() for term in terms)  # eqn 4
    assert bool((error.abs() <= bound + 1e-12).all())
    assert error.abs().sum() < bound.sum()
