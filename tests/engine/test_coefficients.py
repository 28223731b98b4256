"""The option `coefficients`: α and μ for all layers (section 7) or for each half of them."""

import pytest
import torch

from kfac_cli.engine import KFAC, KFACOptions, Network, sparse_initialization
from kfac_cli.engine.direction import best_update, layer_groups
from kfac_cli.engine.linearization import Linearization
from kfac_cli.engine.model.minibatch import MiniBatch
from kfac_cli.engine.products import BLAS, Products

from . import oracles
from .oracles import ODD_ARCHITECTURES, Architecture, every_architecture, problem
from .quadratic_setting import Fixed, Setting

EVERY = pytest.mark.parametrize("architecture", every_architecture() + ODD_ARCHITECTURES, ids=str)
CHAIN = Architecture((3, 2, 3, 2, 3, 2), ("logistic", "tanh", "relu", "linear"), "bernoulli")
DAMPING, L2 = 0.3, 0.1


class Halves(Setting):
    """A small problem with two proposals and a previous update, in halves of the layers."""

    def __init__(self, architecture):
        super().__init__(problem(architecture), DAMPING, L2, chunk_size=4)
        self.proposals = [oracles.some_vector(self.length, seed) for seed in (3, 4)]
        self.previous = oracles.some_vector(self.length, 5)

    def update(self, proposals, previous, **options):
        """The engine's update; the γ of proposal number i is i."""
        candidates = [(float(i), Fixed(self.unvec(p))) for i, p in enumerate(proposals)]
        previous = None if previous is None else self.unvec(previous)
        given = KFACOptions(l2=L2, tau2=1, coefficients="halves", **options)
        return best_update(self.here, candidates, previous, DAMPING, given)

    def halves(self, vector):
        """Its parts in the layers 1 … ⌊ℓ/2⌋ and in the others, padded with zeros."""
        layers = self.unvec(vector)
        first = [w * (i < len(layers) // 2) for i, w in enumerate(layers)]
        upper = oracles.vec(layers) - oracles.vec(first)
        parts = [oracles.vec(first), upper]
        return [part for part in parts if part.any()]

    def minimum(self, *vectors):
        """The minimiser of M over the span of the halves of the vectors, and their coefficients."""
        directions = [part for vector in vectors for part in self.halves(vector)]
        coefficients = oracles.best_coefficients(self.curvature, self.slope, directions)
        return torch.stack(directions, dim=1) @ coefficients, coefficients


@EVERY
@pytest.mark.parametrize("momentum", [True, False])
def test_halves_minimise_the_model_over_the_halves_of_the_layers(architecture, momentum):
    setting = Halves(architecture)
    proposal, previous = setting.proposals[0], setting.previous if momentum else None
    update = setting.update([proposal], previous)
    expected, coefficients = setting.minimum(proposal, *([previous] if momentum else []))
    torch.testing.assert_close(oracles.vec(update.delta), expected)
    assert update.change == pytest.approx(setting.change(expected), rel=1e-9)
    assert update.finite
    count = len(setting.halves(proposal))
    assert update.alpha == pytest.approx(coefficients[:count].mean().item())
    if momentum:
        assert update.mu == pytest.approx(coefficients[count:].mean().item())
    else:
        assert update.mu is None


def test_the_candidate_with_the_lowest_model_is_chosen():
    setting = Halves(CHAIN)
    updates = [setting.update([p], setting.previous) for p in setting.proposals]
    both = setting.update(setting.proposals, setting.previous)
    assert both.change == pytest.approx(min(u.change for u in updates), rel=1e-9)
    best = updates[int(both.gamma)]
    torch.testing.assert_close(both.delta, best.delta)


def test_a_half_that_is_parallel_to_the_last_update_does_not_disturb_the_other():
    """The system is singular in one half only."""
    setting = Halves(CHAIN)
    first, upper = setting.halves(setting.proposals[0])
    old_first, old_upper = setting.halves(setting.previous)
    update = setting.update([-2 * old_first + upper], setting.previous)
    directions = [old_first, upper, old_upper]
    coefficients = oracles.best_coefficients(setting.curvature, setting.slope, directions)
    expected = torch.stack(directions, dim=1) @ coefficients
    torch.testing.assert_close(oracles.vec(update.delta), expected)
    assert first.norm() > 0


def test_more_cg_steps_decrease_the_model_further():
    setting = Halves(CHAIN)

    class Identity(Fixed):
        def multiply(self, residual, products):
            return residual

    candidates = [(1.0, Identity(setting.unvec(setting.proposals[0])))]
    changes = []
    for steps in (1, 2, 5):
        options = KFACOptions(l2=L2, tau2=1, coefficients="halves", cg_steps=steps)
        update = best_update(setting.here, candidates, None, DAMPING, options)
        assert update.change == pytest.approx(setting.change(oracles.vec(update.delta)), rel=1e-9)
        changes.append(update.change)
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] < changes[0]


@pytest.mark.parametrize(
    ("layers", "expected"), [(1, [1]), (2, [1, 1]), (5, [2, 3]), (8, [4, 4]), (12, [6, 6])]
)
def test_the_groups_are_halves_of_the_layers(layers, expected):
    everything = list(range(layers))
    assert [len(everything[g]) for g in layer_groups("halves", layers)] == expected
    assert [layer for g in layer_groups("halves", layers) for layer in everything[g]] == everything
    assert [everything[g] for g in layer_groups("one", layers)] == [everything]


class Counted(Products):
    """torch's products, and the multiply-adds of those that products J·v make."""

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


def test_products_with_the_halves_pass_only_through_the_layers_that_they_reach():
    """A direction's products Wᵢ Rā and Vᵢ ā begin at its own first layer."""
    setting, products = Halves(CHAIN), Counted()
    batch = setting.here.batch
    network = Network(*CHAIN, products=products)
    counted = Linearization.of(
        MiniBatch(network, batch.parameters, batch.inputs, batch.targets, 9), L2
    )
    setting.here = counted
    setting.update(setting.proposals[:1], setting.previous)
    own = [w.numel() for w in batch.parameters]
    through = [w[:, :-1].numel() for w in batch.parameters]
    first = 2 * (sum(own[:2]) + sum(through[1:]))
    upper = 2 * (sum(own[2:]) + sum(through[3:]))
    assert products.multiply_adds == batch.cases * (first + upper)


def test_a_direction_out_of_order_is_refused():
    setting = Halves(CHAIN)
    layers = setting.unvec(setting.previous)
    late = [None, *layers[1:]]
    with pytest.raises(ValueError, match="order"):
        setting.here.fisher_gram([late, layers], 6)
    with pytest.raises(ValueError, match="without a layer"):
        setting.here.fisher_gram([layers, [None] * len(layers)], 6)


def run(steps=6, **options):
    generator = torch.Generator().manual_seed(2)
    network = Network([5, 4, 3, 4], ["logistic", "tanh"], "bernoulli")
    parameters = sparse_initialization(network, generator)
    inputs = torch.rand(40, 5, generator=generator, dtype=torch.float64)
    targets = torch.rand(40, 4, generator=generator, dtype=torch.float64)
    given = KFACOptions(**{"lambda_initial": 1.0, "t2": 2, "t3": 2, **options})
    optimizer = KFAC(network, parameters, given, torch.Generator().manual_seed(0))
    return [optimizer.step(inputs, targets) for _ in range(steps)], optimizer


def test_the_first_step_decreases_the_model_further_than_with_one_coefficient():
    [one], _ = run(1, coefficients="one")
    [halves], _ = run(1, coefficients="halves")
    assert halves.model_change < one.model_change < 0


def test_a_run_with_halves_resumes_exactly():
    records, whole = run(6, coefficients="halves")
    _, half = run(3, coefficients="halves")
    _, resumed = run(0, coefficients="halves")
    resumed.load_state_dict(half.state_dict())
    generator = torch.Generator().manual_seed(2)
    sparse_initialization(resumed.network, generator)
    inputs = torch.rand(40, 5, generator=generator, dtype=torch.float64)
    targets = torch.rand(40, 4, generator=generator, dtype=torch.float64)
    rest = [resumed.step(inputs, targets) for _ in range(3)]
    assert rest == records[3:]
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters, whole.parameters, strict=True))


def test_without_rescaling_there_is_no_coefficient_to_choose():
    with pytest.raises(ValueError, match=r"^coefficients=halves: must be one with rescaling=false"):
        KFACOptions(rescaling=False, momentum=False, coefficients="halves")
