"""A step that increases the objective too much on the next mini-batch is reverted."""

import math
from dataclasses import replace

import pytest
import torch

from kfac_cli.engine import KFAC, KFACOptions, Network, evaluate, sparse_initialization
from kfac_cli.engine.parameters import linear_combination

from .test_kfac import CHAIN, EACH_INVERSE, Run


def run_with_a_bad_step(inverse="block_tridiagonal", scale=30.0, **options):
    """Five steps, θ after the last of them multiplied by `scale`; and θ before it."""
    run = Run(CHAIN, inverse=inverse, **{"growth_max": 1.5, **options})
    for _ in range(4):
        run.step()
    before = run.theta
    run.step()
    run.optimizer.parameters = [scale * w for w in run.optimizer.parameters]
    return run, before


@EACH_INVERSE
@pytest.mark.parametrize("resumed", [False, True])
def test_a_bad_step_is_reverted_and_increases_lambda_and_gamma(inverse, resumed):
    run, theta_before = run_with_a_bad_step(inverse)
    if resumed:
        state = run.optimizer.state_dict()
        run = Run(CHAIN, inverse=inverse, growth_max=1.5)
        run.optimizer.load_state_dict(state)
    damping = run.optimizer.damping
    record, _ = run.step()
    assert record.outcome == "reverted"
    assert torch.equal(run.theta, theta_before)
    assert record.damping == run.optimizer.damping == pytest.approx(10 * damping, rel=1e-12)
    assert record.gamma >= math.sqrt(record.damping)


def test_the_next_step_starts_from_the_restored_parameters_without_momentum():
    run, before = run_with_a_bad_step()
    run.step()
    assert run.optimizer.direction.inverse is None  # it is recomputed, with the increased γ
    record, _ = run.step()
    assert record.outcome == "accepted"
    assert record.mu is None
    assert not torch.equal(run.theta, before)


def test_a_fixed_gamma_stays():
    run, _ = run_with_a_bad_step(gamma_rule="fixed")
    assert run.step()[0].gamma == run.options["gamma_initial"]


@pytest.mark.parametrize(
    "options", [{"growth_max": None}, {"growth_max": 1e9}, {"lambda_rule": "fixed"}], ids=str
)
def test_a_bad_step_is_accepted_if_the_options_allow_it(options):
    run, _ = run_with_a_bad_step(**options)
    record, _ = run.step()
    assert record.outcome == "accepted"


def test_a_step_within_the_growth_limit_is_accepted():
    run, _ = run_with_a_bad_step(scale=1.05)
    record, _ = run.step()
    assert record.outcome == "accepted"


def test_a_harder_mini_batch_does_not_make_a_step_bad():
    """With targets times 20 h is far larger, but it was so before the step too."""
    network = Network([3, 4, 2], ["tanh"], "gaussian")
    generator = torch.Generator().manual_seed(0)
    parameters = sparse_initialization(network, generator)
    optimizer = KFAC(network, parameters, KFACOptions(lambda_initial=1.0), generator)
    inputs = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(20, 2, generator=generator, dtype=torch.float64)
    easy = optimizer.step(inputs, targets).objective
    record = optimizer.step(inputs, 20 * targets)
    assert record.objective > 100 * easy
    assert record.outcome == "accepted"


@EACH_INVERSE
def test_a_bad_step_is_rejected_at_once_if_its_objective_is_computed_anyway(inverse):
    """That is so where T1 divides k."""
    run = Run(CHAIN, inverse=inverse, growth_max=1.5, t1=5, momentum=False, rescaling=False)
    for _ in range(4):
        run.step()
    before, damping = run.theta, run.optimizer.damping
    direction = run.optimizer.direction
    direction.options = replace(direction.options, learning_rate=1e3)
    record, _ = run.step()
    assert record.outcome == "rejected"
    assert torch.equal(run.theta, before)
    assert run.optimizer.damping == pytest.approx(10 * damping, rel=1e-12)


@EACH_INVERSE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inputs", ["zero", "one case"])
def test_after_convergence_no_step_is_rejected_and_lambda_does_not_increase(inverse, dtype, inputs):
    """Changes of h within its rounding error do not count.

    If they did, λ would rise more than tenfold by step 140, in float64 and with one case.
    """
    generator = torch.Generator().manual_seed(0)
    network = Network([5, 4, 5], ["relu"], "gaussian")
    parameters = [w.to(dtype) for w in sparse_initialization(network, generator)]
    wholly = {"tikhonov": "factored", "tau1": 1, "tau2": 1}
    options = KFACOptions(inverse=inverse, l2=0, t1=1, t2=2, t3=2, **wholly)
    optimizer = KFAC(network, parameters, options, generator)
    x = torch.zeros(12, 5) if inputs == "zero" else torch.rand(1, 5, generator=generator)
    x = x.to(dtype)
    records = [optimizer.step(x, x) for _ in range(300)]
    assert not any(r.outcome != "accepted" for r in records)
    assert max(r.damping for r in records[3:]) <= 10 * records[3].damping
    assert records[-1].objective <= 1e-6 * records[0].objective


@EACH_INVERSE
def test_a_lambda_far_below_eta_increases_to_ten_times_eta(inverse):
    run, _ = run_with_a_bad_step(inverse)
    run.optimizer._damping.value = 1e-132  # reached on CURVES
    assert run.step()[0].damping == pytest.approx(10 * run.options["l2"], rel=1e-12)


def test_a_growth_limit_of_1_is_refused():
    with pytest.raises(ValueError, match="growth_max=1"):
        KFACOptions(growth_max=1)


# Mini-batches of a few cases


def classes(seed):
    """Three classes of points in four dimensions, as a classifier's 90 cases."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (90,), generator=generator)
    points = torch.randn(90, 4, generator=generator)
    points[torch.arange(90), labels] += 3
    return points, torch.eye(3)[labels]


def final_loss(inverse, seed, **chosen):
    """The loss of a small classifier trained on mini-batches of 30 cases, λ calibrated on them."""
    points, targets = classes(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Network([4, 8, 3], ["relu"], "categorical")
    parameters = [w.float() for w in sparse_initialization(network, generator)]
    options = KFACOptions(inverse=inverse, **chosen)
    optimizer = KFAC(network, parameters, options, generator)
    for _ in range(30):
        rows = torch.randperm(90, generator=generator)[:30]
        optimizer.step(points[rows], targets[rows])
    return evaluate(network, optimizer.parameters, points, targets, 100).loss


BAD_SEEDS = (3, 17, 28)
"""About a third of all seeds diverge if no step is reverted, these with both inverses when the
damping is factored from the start."""


@EACH_INVERSE
@pytest.mark.parametrize("seed", BAD_SEEDS)
def test_runs_on_few_cases_do_not_diverge(inverse, seed):
    assert final_loss(inverse, seed) < 0.5  # 0.38 with seed 3; log 3 is that of a guess
    assert final_loss(inverse, seed, tikhonov="factored") < 0.25
    assert final_loss(inverse, seed, tikhonov="factored", growth_max=None) > 1e6


@pytest.mark.parametrize("inputs", [[1.0, 1.0, 1.0, 200.0], [0.0, 0.0, 0.0, 200.0]])
def test_a_step_beyond_the_range_of_float32_is_rejected(inputs):
    """α is near 1e42: it overflows, although αΔ would not."""
    options = KFACOptions(
        l2=0,
        lambda_initial=1e-30,
        gamma_rule="fixed",
        gamma_initial=1e6,
        inverse="block_diagonal",
        momentum=False,
    )
    network = Network([1, 1], [], "bernoulli")
    start = [torch.tensor([[1.0, 0.0]])]
    optimizer = KFAC(network, start, options, torch.Generator().manual_seed(0))
    cases = torch.tensor(inputs)[:, None]
    for _ in range(3):
        optimizer.step(cases, (cases == 200).float())
        assert torch.isfinite(optimizer.parameters[0]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("coefficient", [1e300, -1e300, math.inf, math.nan])
def test_coefficients_out_of_range_make_no_error(dtype, coefficient):
    [total] = linear_combination([1.0, coefficient], [[torch.ones(2, dtype=dtype)]] * 2)
    assert torch.isfinite(total).all() == (dtype == torch.float64 and abs(coefficient) == 1e300)
