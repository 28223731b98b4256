"""Options that turn off parts of the algorithm: re-scaling, momentum, rules for λ and γ."""

import math
from itertools import pairwise

import pytest
import torch

from kfac_cli.engine import (
    KFAC,
    BlockDiagonalInverse,
    KFACOptions,
    Network,
    sparse_initialization,
)
from kfac_cli.engine.linearization import Linearization


def optimizer_with(**options):
    generator = torch.Generator().manual_seed(2)
    network = Network([5, 4, 3, 4], ["logistic", "tanh"], "bernoulli")
    parameters = sparse_initialization(network, generator)
    inputs = torch.rand(40, 5, generator=generator, dtype=torch.float64)
    targets = torch.rand(40, 4, generator=generator, dtype=torch.float64)
    options = KFACOptions(**{"lambda_initial": 150.0, **options})
    optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(0))
    return optimizer, lambda: optimizer.step(inputs, targets)


@pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal"])
def test_without_rescaling_the_update_is_the_proposal_times_the_learning_rate(inverse):
    updates = {}
    for rate in (0.25, 0.5):
        options = {"inverse": inverse, "rescaling": False, "momentum": False}
        optimizer, step = optimizer_with(learning_rate=rate, **options)
        start = [p.clone() for p in optimizer.parameters]
        record = step()
        assert record.alpha == rate
        assert record.mu is None
        updates[rate] = [n - p for n, p in zip(optimizer.parameters, start, strict=True)]
    for half, full in zip(updates[0.25], updates[0.5], strict=True):
        torch.testing.assert_close(2 * half, full)
    rescaled, step = optimizer_with(inverse=inverse, momentum=False)
    start = [p.clone() for p in rescaled.parameters]
    alpha = step().alpha
    for raw, p, n in zip(updates[0.25], start, rescaled.parameters, strict=True):
        torch.testing.assert_close(raw * (alpha / 0.25), n - p)


def test_without_rescaling_the_model_change_is_that_of_the_actual_update():
    """At the re-scaled α the parabola has its minimum; elsewhere it is (2r - r²) times that."""
    _, step = optimizer_with(momentum=False)
    minimum = step()
    fixed = {"momentum": False, "rescaling": False, "learning_rate": 0.4 * minimum.alpha}
    _, step = optimizer_with(**fixed, t1=1)
    assert step().model_change == pytest.approx((2 * 0.4 - 0.4**2) * minimum.model_change)


@pytest.mark.parametrize("mu", [None, 0.5])
def test_without_rescaling_the_model_is_computed_only_where_something_needs_it(mu, monkeypatch):
    """The rule for λ at every T₁-th iteration, the search for γ at every T₂-th."""
    products = []
    gram = Linearization.fisher_gram
    monkeypatch.setattr(Linearization, "fisher_gram", lambda *a: products.append(True) or gram(*a))

    def with_model(count, **options):
        fixed = {"rescaling": False, "momentum": mu is not None, "mu": mu, "learning_rate": 0.1}
        optimizer, step = optimizer_with(**fixed, t1=4, t2=6, t3=2, **options)
        found = []
        for _ in range(count):
            products.clear()
            known = step().model_change is not None
            assert known == bool(products)
            found += [optimizer.iteration] if known else []
        return found

    assert with_model(13) == [4, 6, 8, 12]
    assert with_model(13, lambda_rule="fixed", gamma_rule="search") == [6, 12]
    assert with_model(13, lambda_rule="fixed", gamma_rule="fixed") == []


def test_without_rescaling_a_step_is_the_same_with_the_model_and_without_it():
    """T₁ decides which iterations compute M; λ, which depends on it too, is set to the same."""
    fixed = {"rescaling": False, "mu": 0.5, "learning_rate": 0.1, "gamma_rule": "fixed"}
    (with_it, steps), (without, others) = (optimizer_with(**fixed, t1=t1) for t1 in (1, 1000))
    for _ in range(8):
        with_it.load_state_dict(without.state_dict())
        assert steps().model_change is not None
        assert others().model_change is None
        for mine, theirs in zip(with_it.parameters, without.parameters, strict=True):
            torch.testing.assert_close(mine, theirs)


def after_the_first_iterations(**options):
    """An optimizer that no longer makes a new inverse in each iteration, and its step."""
    optimizer, step = optimizer_with(**options)
    for _ in range(optimizer.options.first_iterations):
        step()
    return optimizer, step


def continued(state, **options):
    optimizer, step = optimizer_with(**options)
    optimizer.load_state_dict(state)
    return optimizer, step


def test_a_fixed_rate_with_a_held_mu_adds_that_much_of_the_last_update():
    """Beside a step with μ = 0 from the same state, whose proposal is the same."""
    rules = {"rescaling": False, "learning_rate": 0.3, "lambda_rule": "fixed"}
    optimizer, step = after_the_first_iterations(mu=0.5, **rules)
    before = optimizer.parameters
    step()
    here, state = optimizer.parameters, optimizer.state_dict()
    record = step()
    assert (record.alpha, record.mu) == (0.3, 0.5)
    plain, plain_step = continued(state, mu=0.0, **rules)
    assert (plain_step().mu, plain.options.mu) == (0.0, 0.0)
    for old, last, new, without in zip(
        before, here, optimizer.parameters, plain.parameters, strict=True
    ):
        torch.testing.assert_close(new - without, 0.5 * (last - old))


def test_a_held_mu_begins_after_the_first_iterations():
    """They raise λ until h decreases, in which no λ succeeds against momentum that leads uphill."""
    _, step = optimizer_with(mu=0.95, lambda_initial="auto")
    records = [step() for _ in range(12)]
    first = KFACOptions().first_iterations
    assert [r.mu for r in records] == [None] * first + [0.95] * (12 - first)
    assert all(r.damping < 1e6 for r in records)


def test_lambda_decreases_where_h_does_although_a_held_mu_makes_the_model_predict_more():
    """M(δ) > 0 where momentum leads across a valley; a larger λ would make more of that.

    All steps are on the same cases, so that h of the next one is what a step leads to.
    """
    _, step = optimizer_with(mu=0.95, lambda_initial=0.01, t1=1)
    records = [step() for _ in range(120)]
    outcomes = []
    for (last, record), following in zip(pairwise(records), records[2:], strict=False):
        if record.model_change > 0:
            assert record.rho is None
            decreases = following.objective < record.objective
            assert (record.damping < last.damping) == decreases
            outcomes.append(decreases)
    assert outcomes.count(True) > 10 < outcomes.count(False)


def test_a_held_mu_is_kept_and_the_chosen_pair_is_found_again_at_its_own_mu():
    optimizer, step = after_the_first_iterations()
    state, chosen = optimizer.state_dict(), step()
    assert 0 < chosen.mu < 1
    held = continued(state, mu=chosen.mu)[1]()
    assert held.mu == chosen.mu
    assert held.alpha == pytest.approx(chosen.alpha)
    assert held.model_change == pytest.approx(chosen.model_change)
    assert continued(state, mu=chosen.mu / 2)[1]().model_change > chosen.model_change


@pytest.mark.parametrize("options", [{}, {"mu": 0.8}, {"momentum": False}])
def test_alpha_scale_multiplies_the_alpha_that_rescaling_finds(options):
    whole, step = after_the_first_iterations(**options)
    step()
    _, half_step = continued(whole.state_dict(), alpha_scale=0.5, **options)
    expected, found = step(), half_step()
    assert found.alpha == pytest.approx(0.5 * expected.alpha)
    assert found.mu == expected.mu
    assert found.model_change > expected.model_change


def test_without_momentum_there_is_no_mu():
    _, step = optimizer_with(momentum=False)
    assert [step().mu for _ in range(3)] == [None] * 3


def test_a_fixed_lambda_and_gamma_do_not_change():
    rules = {"lambda_rule": "fixed", "gamma_rule": "fixed", "t1": 1, "t2": 1, "t3": 1}
    _, step = optimizer_with(lambda_initial=2.0, gamma_initial=0.3, **rules)
    records = [step() for _ in range(5)]
    assert {(r.damping, r.gamma) for r in records} == {(2.0, 0.3)}


def test_a_tied_gamma_follows_lambda():
    _, step = optimizer_with(lambda_initial=2.0, gamma_rule="tied", t1=1, t3=1, l2=1e-3)
    records = [step() for _ in range(5)]
    assert len({r.damping for r in records}) > 1
    for record in records:
        assert record.gamma == pytest.approx(math.sqrt(record.damping + 1e-3))


def test_more_cg_steps_decrease_the_model_further():
    changes = []
    for steps in (1, 2, 4, 8):
        _, step = optimizer_with(cg_steps=steps, tau2=1.0)
        changes.append(step().model_change)
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] < changes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rescaling": False}, "momentum=true: must be false .*, or mu a number$"),
        ({"rescaling": False, "mu": 0.5, "alpha_scale": 0.5}, "alpha_scale=0.5.*learning_rate"),
        ({"momentum": False, "mu": 0.5}, "^mu=0.5: must be null with momentum=false$"),
        ({"mu": 0.5, "cg_steps": 2}, "^cg_steps=2: must be 1 with mu=0.5$"),
        ({"alpha_scale": 0.5, "cg_steps": 2}, "^cg_steps=2: must be 1 with alpha_scale=0.5$"),
        ({"alpha_scale": 2.0}, r"^alpha_scale=2.0: must be a number in \(0, 2\)$"),
        ({"mu": 1.0}, r"^mu=1.0: must be null or a number in \[0, 1\)$"),
        ({"rescaling": False, "momentum": False, "cg_steps": 2}, "cg_steps=2"),
        ({"t2": 30, "t3": 20}, "t2=30"),
        ({"fisher": "guessed"}, "fisher=guessed"),
        ({"lambda_rule": "none"}, "lambda_rule=none"),
        ({"gamma_rule": "none"}, "gamma_rule=none"),
        ({"tikhonov": "exact"}, "exact"),
        ({"pi": "nuclear"}, "pi=nuclear"),
        ({"tau1": 5}, r"^tau1=5: must be a number in \(0, 1\]$"),
        ({"t1": 0}, "^t1=0: must be a whole number from 1 to 1000000000$"),
        ({"tau2": True}, "^tau2=true: must be a number"),
        ({"t3": 20.0}, "^t3=20.0: must be a whole number"),
        ({"l2": float("nan")}, "^l2=nan: must be a number"),
        ({"momentum": "yes"}, "^momentum=yes: must be true or false$"),
        ({"tau3": 1}, "^tau3=1: no such option$"),
    ],
)
def test_invalid_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        KFACOptions(**options)


@pytest.mark.parametrize("l2", [0.0, 1e-3])
@pytest.mark.parametrize("chunk_size", [3, 100])
def test_the_low_rank_shortcut_of_section_8_gives_the_same_run_up_to_rounding(
    monkeypatch, l2, chunk_size
):
    """It is used if few cases fit in one chunk and no term of full rank is added."""
    calls = []
    original = BlockDiagonalInverse.multiply_gradient

    def counted(self, gradient, cases, *others):
        calls.append(cases is not None)
        return original(self, gradient, cases, *others)

    monkeypatch.setattr(BlockDiagonalInverse, "multiply_gradient", counted)

    def run(steps=6):
        generator = torch.Generator().manual_seed(2)
        network = Network([30, 20, 25], ["tanh"], "gaussian")
        parameters = sparse_initialization(network, generator)
        options = KFACOptions(
            inverse="block_diagonal",
            tikhonov="factored",
            l2=l2,
            chunk_size=chunk_size,
            lambda_initial=150,
        )
        optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(0))
        for _ in range(steps):
            inputs = torch.randn(5, 30, generator=generator, dtype=torch.float64)
            optimizer.step(inputs, inputs[:, :25])
        return optimizer.parameters

    parameters = run()
    assert sum(calls) == (6 if l2 == 0 and chunk_size >= 5 else 0)
    monkeypatch.setattr(BlockDiagonalInverse, "multiply_gradient", lambda s, g, *_: s.multiply(g))
    for shortcut, direct in zip(parameters, run(), strict=True):
        torch.testing.assert_close(shortcut, direct, rtol=1e-9, atol=1e-11)
