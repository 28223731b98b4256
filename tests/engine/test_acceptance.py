"""A step that made the objective jump is taken back: the next mini-batch judges it."""

import math
from dataclasses import replace

import pytest
import torch

from kfac_cli.engine import KFAC, KFACOptions, Network, evaluate, sparse_initialization

from .test_kfac import CHAIN, EACH_INVERSE, Run


def astray(inverse="block_tridiagonal", by=30.0, **options):
    """Five steps, the last of them made to go astray by some factor; θ before it."""
    run = Run(CHAIN, inverse=inverse, **{"growth_max": 1.5, **options})
    for _ in range(4):
        run.step()
    held = run.theta
    run.step()
    run.optimizer.parameters = [by * w for w in run.optimizer.parameters]
    return run, held


@EACH_INVERSE
@pytest.mark.parametrize("resumed", [False, True])
def test_it_goes_back_to_the_parameters_before_and_raises_lambda_and_gamma(inverse, resumed):
    run, held = astray(inverse)
    if resumed:
        state = run.optimizer.state_dict()
        run = Run(CHAIN, inverse=inverse, growth_max=1.5)
        run.optimizer.load_state_dict(state)
    before = run.optimizer.damping
    record, _ = run.step()
    assert record.rejected and record.reverted
    assert torch.equal(run.theta, held)
    assert record.damping == run.optimizer.damping == pytest.approx(10 * before, rel=1e-12)
    assert record.gamma >= math.sqrt(record.damping)


def test_the_next_step_is_taken_from_there_without_momentum():
    run, held = astray()
    run.step()
    assert run.optimizer.inverse is None  # it is made anew, of the raised γ
    record, _ = run.step()
    assert not record.rejected
    assert record.mu is None
    assert not torch.equal(run.theta, held)


def test_a_fixed_gamma_stays():
    run, _ = astray(gamma_rule="fixed")
    assert run.step()[0].gamma == run.options["gamma_initial"]


@pytest.mark.parametrize(
    "options", [{"growth_max": None}, {"growth_max": 1e9}, {"lambda_rule": "fixed"}], ids=str
)
def test_it_stays_where_that_is_asked_for(options):
    run, _ = astray(**options)
    record, _ = run.step()
    assert not record.rejected


def test_a_step_within_the_bound_stays():
    run, _ = astray(by=1.05)
    record, _ = run.step()
    assert not record.rejected


def test_a_mini_batch_that_is_harder_than_the_last_is_no_reason():
    """Twenty times the targets: h is far larger than at the last step, but it was so there too."""
    network = Network([3, 4, 2], ["tanh"], "gaussian")
    generator = torch.Generator().manual_seed(0)
    parameters = sparse_initialization(network, generator)
    optimizer = KFAC(network, parameters, KFACOptions(lambda_initial=1.0), generator)
    inputs = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(20, 2, generator=generator, dtype=torch.float64)
    easy = optimizer.step(inputs, targets).objective
    record = optimizer.step(inputs, 20 * targets)
    assert record.objective > 100 * easy
    assert not record.rejected


@EACH_INVERSE
def test_a_step_that_is_measured_anyway_is_not_even_made(inverse):
    """Where T1 divides k, h at the new parameters is known at once."""
    run = Run(CHAIN, inverse=inverse, growth_max=1.5, t1=5, momentum=False, rescaling=False)
    for _ in range(4):
        run.step()
    held, damping = run.theta, run.optimizer.damping
    run.optimizer.options = replace(run.optimizer.options, learning_rate=1e3)
    record, _ = run.step()
    assert record.rejected and not record.reverted
    assert torch.equal(run.theta, held)
    assert run.optimizer.damping == pytest.approx(10 * damping, rel=1e-12)


@EACH_INVERSE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inputs", ["zero", "one case"])
def test_where_nothing_is_left_to_learn_lambda_does_not_rise(inverse, dtype, inputs):
    """A change of h that is rounding is neither a jump nor a reason for more damping."""
    generator = torch.Generator().manual_seed(0)
    network = Network([5, 4, 5], ["relu"], "gaussian")
    parameters = [w.to(dtype) for w in sparse_initialization(network, generator)]
    options = KFACOptions(inverse=inverse, l2=0, t1=1, t2=2, t3=2, tau1=1, tau2=1)
    optimizer = KFAC(network, parameters, options, generator)
    x = torch.zeros(12, 5) if inputs == "zero" else torch.rand(1, 5, generator=generator)
    x = x.to(dtype)
    records = [optimizer.step(x, x) for _ in range(300)]
    assert not any(r.rejected for r in records)
    assert records[-1].damping <= 10 * records[3].damping
    assert records[-1].objective <= 1e-6 * records[0].objective


@EACH_INVERSE
def test_a_lambda_far_below_eta_rises_to_where_it_counts(inverse):
    run, _ = astray(inverse)
    run.optimizer._damping.value = 1e-132  # reached on CURVES
    assert run.step()[0].damping == pytest.approx(10 * run.options["l2"], rel=1e-12)


def test_a_bound_that_no_step_could_keep_is_refused():
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


def trained(inverse, growth_max, seed):
    """The loss of a small classifier after mini-batches of 30 cases and λ calibrated on them."""
    points, targets = classes(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Network([4, 8, 3], ["relu"], "categorical")
    parameters = [w.float() for w in sparse_initialization(network, generator)]
    options = KFACOptions(inverse=inverse, growth_max=growth_max)
    optimizer = KFAC(network, parameters, options, generator)
    for _ in range(30):
        rows = torch.randperm(90, generator=generator)[:30]
        optimizer.step(points[rows], targets[rows])
    return evaluate(network, optimizer.parameters, points, targets, 100).loss


BAD_SEEDS = (3, 4, 12, 19, 20, 38)
"""About a third of all seeds go wrong where no step is taken back, these with both inverses."""


@EACH_INVERSE
@pytest.mark.parametrize("seed", BAD_SEEDS)
def test_few_cases_do_not_ruin_a_run(inverse, seed):
    assert trained(inverse, 1.5, seed) < 0.25
    assert trained(inverse, None, seed) > 1e6
