"""The initial λ, calibrated on the problem."""

import math

import pytest
import torch

from kfac_cli.engine import (
    KFAC,
    KFACOptions,
    Network,
    calibration,
    he_initialization,
    kfac,
    sparse_initialization,
)
from kfac_cli.engine.acceptance import Acceptance
from kfac_cli.engine.calibration import _best_exponent, calibrated_lambda
from kfac_cli.engine.model.minibatch import MiniBatch

OUTPUTS = ["bernoulli", "gaussian", "categorical"]


def problem(output, cases=200, scale=1.0):
    generator = torch.Generator().manual_seed(1)
    network = Network([8, 12, 4, 6], ["logistic", "tanh"], output)
    parameters = sparse_initialization(network, generator)
    inputs = scale * torch.rand(cases, 8, generator=generator, dtype=torch.float64)
    targets = torch.softmax(3 * torch.randn(8, 6, generator=generator).double(), 1)[
        :1
    ] * torch.ones(cases, 1, dtype=torch.float64)
    return network, parameters, inputs, targets


def first_decrease(output, damping):
    """How much one step from the first half of the cases decreases h on the second half."""
    network, parameters, inputs, targets = problem(output)
    options = KFACOptions(lambda_initial=damping, tau1=1, tau2=1, t1=10**6, tikhonov="factored")
    optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(4))

    def objective(at):
        logits = network.forward(at, inputs[100:]).logits
        return network.distribution.loss(logits, targets[100:]).mean().item()

    optimizer.step(inputs[:100], targets[:100])
    return objective(parameters) - objective(optimizer.parameters)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_first_step_decreases_the_objective_about_as_much_as_with_any_lambda(output):
    network, parameters, inputs, targets = problem(output)
    options = KFACOptions(lambda_initial="auto", tau2=1)
    batch = MiniBatch(network, parameters, inputs, targets, 2000)
    best = calibrated_lambda(batch, options, seeds=(0,))
    assert first_decrease(output, best) >= 0.85 * max(
        first_decrease(output, factor * best) for factor in (0.01, 0.1, 10, 100)
    )


@pytest.mark.parametrize(
    ("decrease", "exponent"),
    [
        ({-2: 1.0, -1: 5.0, 0: 7.0, 1: 6.0}, 0),
        ({-1: 0.0, 0: 1.0, 1: 5.0, 2: 9.0, 3: 7.0}, 2),
        ({-4: 1.0, -3: 2.0, -2: 8.0, -1: 7.0, 0: 1.0, 1: 0.0}, -2),
        ({-2: 1.0, -1: 6.7, 0: 7.0, 1: 6.0}, -1),  # nearly the best, and smaller
        ({-3: 6.9, -2: 6.9, -1: 6.9, 0: 7.0, 1: 6.0}, -1),  # and no further than one step
        ({3: 1.0, 4: 5.0, 5: 3.0}, 4),  # below, every trial fails
        ({3: 7.0, 4: 5.0, 5: 3.0}, 3),
    ],
)
def test_the_search_finds_the_smallest_value_near_the_best(decrease, exponent):
    assert _best_exponent(lambda e: decrease.get(e, -math.inf)) == exponent


def test_the_search_finds_none_if_every_trial_fails():
    assert _best_exponent(lambda e: -math.inf) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_the_search_ends_even_if_there_is_no_best_value(sign):
    assert abs(_best_exponent(lambda e: float(sign * e))) < 100


@pytest.mark.parametrize("output", OUTPUTS)
def test_kfac_starts_from_it_and_records_it(output):
    network, parameters, inputs, targets = problem(output)
    options = KFACOptions(lambda_initial="auto")
    optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(0))
    record = optimizer.step(inputs, targets)
    assert 0 < record.damping < math.inf
    assert record.gamma == pytest.approx(math.sqrt(record.damping + options.l2))


def test_a_given_initial_gamma_is_used():
    network, parameters, inputs, targets = problem("gaussian")
    options = KFACOptions(lambda_initial="auto", gamma_initial=0.7)
    optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(0))
    assert optimizer.step(inputs, targets).gamma == 0.7


def test_it_follows_the_scale_of_the_problem_without_bounds():
    """Gaussian loss times c is a problem with outputs scaled by √c: curvature and λ scale by c."""
    network, parameters, inputs, targets = problem("gaussian")
    options = KFACOptions(lambda_initial="auto", tau2=1, l2=0)

    def found(scale):
        scaled = [*parameters[:-1], scale * parameters[-1]]
        batch = MiniBatch(network, scaled, inputs, scale * targets, 2000)
        return calibrated_lambda(batch, options, seeds=(0,))

    # Only the hidden layers' curvature scales; over twelve orders λ must follow most of the way.
    assert found(1e6) > 1e6 * found(1.0)


@pytest.mark.parametrize("tau2", [0.25, 1.0])
@pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal"])
def test_a_few_noisy_cases_do_not_lead_to_a_step_that_diverges(inverse, tau2):
    """Five cases of pure noise, F of low rank, no ℓ₂: the predictions of M are far off."""
    generator = torch.Generator().manual_seed(2)
    network = Network([30, 20, 25], ["tanh"], "gaussian")
    parameters = sparse_initialization(network, generator)
    options = KFACOptions(inverse=inverse, l2=0, tau2=tau2, lambda_initial="auto")
    optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(0))
    objectives = []
    for _ in range(12):
        inputs = torch.randn(5, 30, generator=generator, dtype=torch.float64)
        objectives.append(optimizer.step(inputs, inputs[:, :25]).objective)
    assert max(objectives) < 3 * objectives[0]
    assert min(objectives) < 0.9 * objectives[0]


@pytest.mark.parametrize("cases", [1, 2, 3])
def test_few_cases_are_enough(cases):
    network, parameters, inputs, targets = problem("bernoulli")
    options = KFACOptions(lambda_initial="auto")
    batch = MiniBatch(network, parameters, inputs[:cases], targets[:cases], 2000)
    found = calibrated_lambda(batch, options, (0,))
    assert 0 < found < math.inf


def test_it_does_not_modify_the_parameters():
    network, parameters, inputs, targets = problem("bernoulli")
    before = [p.clone() for p in parameters]
    options = KFACOptions(lambda_initial="auto")
    calibrated_lambda(MiniBatch(network, parameters, inputs, targets, 2000), options, (0,))
    assert all(torch.equal(b, p) for b, p in zip(before, parameters, strict=True))


@pytest.mark.parametrize("known", [1e-6, 1e-2, 1e2])
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_known_value_is_where_it_starts_and_never_exceeded(output, known):
    network, parameters, inputs, targets = problem(output)
    options = KFACOptions(lambda_initial="auto")
    batch = MiniBatch(network, parameters, inputs, targets, 2000)
    found = calibrated_lambda(batch, options, (0,), known)
    assert found <= known
    assert math.log10(found / known) == pytest.approx(round(math.log10(found / known)))


def test_without_l2_the_search_below_ends_at_a_fraction_of_the_mean_curvature(monkeypatch):
    """Wherever it begins: each one may end below the last."""
    network, parameters, inputs, targets = problem("bernoulli")
    options = KFACOptions(lambda_initial="auto", l2=0.0)
    batch = MiniBatch(network, parameters, inputs, targets, 2000)
    floors = []

    def without_loss(decrease, exponent, objective, lowest):
        floors.append(lowest)
        return exponent

    monkeypatch.setattr(calibration, "_without_loss", without_loss)
    first = calibrated_lambda(batch, options, (0,))
    calibrated_lambda(batch, options, (0,), first * 1e-6)
    assert floors[0] == -16
    assert floors[1] >= -11


@pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal"])
def test_many_backward_passes_do_not_change_its_trials(inverse, monkeypatch):
    monkeypatch.setattr(calibration, "MAX_PASSES", 5)
    network, parameters, inputs, targets = problem("bernoulli")

    def found(**chosen):
        options = KFACOptions(lambda_initial="auto", inverse=inverse, **chosen)
        batch = MiniBatch(network, parameters, inputs, targets, 2000)
        return calibrated_lambda(batch, options, (0, 1))

    assert found(fisher="exact") == found(samples=2) == found()


@pytest.mark.parametrize("rate", [0.1, 1.0, 5.0])
def test_without_rescaling_trials_depend_on_the_objective_alone(rate):
    """Beyond a rate of 2, M predicts an increase at every λ, while h may decrease."""
    network, parameters, inputs, targets = problem("bernoulli")
    options = KFACOptions(rescaling=False, momentum=False, learning_rate=rate)
    optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(0))
    records = [optimizer.step(inputs, targets) for _ in range(100)]
    assert records[2].damping < 1e6
    assert records[-1].objective < 0.9 * records[0].objective
    assert max(r.objective for r in records) <= 1.5 * records[0].objective


def ridge_regression():
    """300 x 6 inputs of scales 1, 1e3 and 1e-3, a column repeated and one of 0; the optimum of h.

    The targets are of scales 1 and 1e-3.
    """
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(300, 6, generator=generator, dtype=torch.float64)
    noise = 0.1 * torch.randn(300, 2, generator=generator, dtype=torch.float64)
    first = normal[:, 0] + 0.5 * normal[:, 1] - normal[:, 3]
    second = normal[:, 1] - 0.5 * normal[:, 0] + normal[:, 3]
    scales = torch.tensor([1.0, 1e-3], dtype=torch.float64)
    targets = (torch.stack([first, second], dim=1) + noise) * scales
    inputs = normal * torch.tensor([1.0, 1e3, 1e-3, 1.0, 0.0, 0.0], dtype=torch.float64)
    inputs[:, 4] = inputs[:, 3]
    homogeneous = torch.cat([inputs, torch.ones(300, 1, dtype=torch.float64)], dim=1)
    curvature = homogeneous.T @ homogeneous / 300 + 1e-5 * torch.eye(7, dtype=torch.float64)
    weights = torch.linalg.solve(curvature, homogeneous.T @ targets / 300)
    loss = 0.5 * (homogeneous @ weights - targets).square().sum() / 300
    return inputs, targets, float(loss + 0.5e-5 * weights.square().sum())


def ridge_records(dtype, steps, seed=0, **options):
    """The records of full-batch steps, and the optimum."""
    inputs, targets, optimum = ridge_regression()
    network = Network([6, 2], [], "gaussian")
    parameters = sparse_initialization(network, torch.Generator().manual_seed(seed))
    options = KFACOptions(fisher="exact", tau1=1, tau2=1, **options)
    parameters = [w.to(dtype) for w in parameters]
    optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(0))
    records = [optimizer.step(inputs.to(dtype), targets.to(dtype)) for _ in range(steps)]
    return records, optimum


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_start_suits_the_small_curvatures_of_badly_scaled_data_too(dtype, seed):
    """The largest curvature accounts for all but 1e-5 of the decrease at any λ."""
    records, optimum = ridge_records(dtype, 60, seed)
    assert records[-1].objective == pytest.approx(optimum, rel=0.01)
    assert all(record.outcome == "accepted" for record in records)


def test_lambda_decreases_where_the_changes_are_too_small_for_a_reduction_ratio():
    """A λ that is too large makes them so; in float32 it would stay for good."""
    records, optimum = ridge_records(torch.float32, 600, lambda_initial=1354.0)
    assert any(r.rho is None for k, r in enumerate(records, start=1) if k % 5 == 0)
    assert records[-1].damping < 1e-6
    assert records[-1].objective == pytest.approx(optimum, rel=1e-4)
    assert all(record.outcome == "accepted" for record in records)


@pytest.mark.parametrize("known", [1e-4, 1e5])
def test_a_mini_batch_that_is_not_finite_leaves_a_known_value(known):
    network, parameters, inputs, targets = problem("bernoulli")
    inputs[0, 0] = math.nan
    options = KFACOptions(lambda_initial="auto")
    batch = MiniBatch(network, parameters, inputs, targets, 2000)
    assert calibrated_lambda(batch, options, (0,), known) == known
    assert calibrated_lambda(batch, options, (0,)) == 1


@pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal"])
def test_inputs_whose_squares_overflow_are_no_bug(inverse):
    network, parameters, inputs, targets = problem("bernoulli")
    options = KFACOptions(lambda_initial="auto", inverse=inverse)
    batch = MiniBatch(network, parameters, 1e160 * inputs, targets, 2000)
    assert calibrated_lambda(batch, options, (0,)) == 1


@pytest.mark.parametrize("inverse", ["block_diagonal", "block_tridiagonal", "ekfac"])
@pytest.mark.parametrize("l2", [0.0, 1e-5])
def test_a_saturated_softmax_of_raw_inputs_is_no_bug(inverse, l2):
    """Its gradients are too small for float32: their mean squares, of which π is made, are 0."""
    generator = torch.Generator().manual_seed(100)
    network = Network([6, 10, 3], ["relu"], "categorical")
    parameters = [w.float() for w in he_initialization(network, generator)]
    inputs = 620 * torch.randn(8, 6, generator=generator)
    targets = torch.eye(3)[torch.randint(3, (8,), generator=generator)]
    options = KFACOptions(lambda_initial="auto", inverse=inverse, l2=l2, tau1=1, tau2=1)
    optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(0))
    for _ in range(5):
        assert math.isfinite(optimizer.step(inputs, targets).objective)


def test_trials_at_parameters_that_a_step_is_reverted_from_do_not_decrease_lambda(monkeypatch):
    network, parameters, inputs, targets = problem("bernoulli")
    optimizer = KFAC(network, parameters, KFACOptions(), torch.Generator().manual_seed(4))
    optimizer.step(inputs, targets)
    damping, gamma = optimizer.damping, optimizer.gamma
    monkeypatch.setattr(kfac, "calibrated_lambda", lambda *_: damping / 1e6)
    monkeypatch.setattr(Acceptance, "judge_last_step", lambda *_: "the last step was bad")
    assert optimizer.step(inputs, targets).outcome == "reverted"
    assert optimizer.damping == pytest.approx(10 * max(damping, 1e-5))
    assert optimizer.gamma >= gamma
