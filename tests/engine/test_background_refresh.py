"""Inverses computed beside the iterations before their use (section 8)."""

import copy
import io
from concurrent.futures import Future

import pytest
import torch

from kfac_cli.engine import KFAC, KFACOptions, Network, sparse_initialization
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.direction import Direction
from kfac_cli.engine.pending import PendingInverses
from kfac_cli.engine.state_rules import StateError

from .test_kfac import EACH_INVERSE

EVERY, DELAY = 8, 3
PERIODS = {"t1": 4, "t2": 16, "t3": EVERY}
"""Searches at iterations 16 and 32, plain refreshes at 8 and 24."""


def make(inverse="block_tridiagonal", **changes):
    network = Network([6, 5, 4, 6], ["tanh", "linear"], "bernoulli")
    parameters = sparse_initialization(network, torch.Generator().manual_seed(0))
    settings = {"refresh": "background", "refresh_delay": DELAY, **PERIODS, **changes}
    options = KFACOptions(
        inverse=inverse, tikhonov="factored", lambda_initial=1.0, growth_max=None, **settings
    )
    return KFAC(network, parameters, options, torch.Generator().manual_seed(1))


def cases(iteration):
    return torch.rand(
        12, 6, generator=torch.Generator().manual_seed(iteration), dtype=torch.float64
    )


def run(optimizer, last):
    """Up to an iteration, on mini-batches that depend on the iteration only."""
    while optimizer.iteration < last:
        inputs = cases(optimizer.iteration)
        optimizer.step(inputs, inputs)
    return optimizer


def same(left, right):
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@EACH_INVERSE
def test_the_inverse_of_iteration_k_is_used_from_iteration_k_plus_d_on(inverse):
    optimizer = run(make(inverse), EVERY)
    before = optimizer.direction.inverse
    [expected] = optimizer.curvature.inverses([optimizer.gamma])
    run(optimizer, EVERY + DELAY - 1)
    assert optimizer.direction.inverse is before
    run(optimizer, EVERY + DELAY)
    assert same(optimizer.direction.inverse.state_dict(), expected.state_dict())
    assert optimizer.direction.pending is None


@EACH_INVERSE
def test_a_search_tries_the_candidates_of_iteration_k_at_k_plus_d(inverse):
    optimizer = run(make(inverse), 2 * EVERY)
    gammas = optimizer.direction.pending.gammas
    assert gammas[0] == optimizer.gamma and len(gammas) == 3
    expected = optimizer.curvature.inverses(gammas)
    run(optimizer, 2 * EVERY + DELAY)
    chosen = gammas.index(optimizer.gamma)
    assert same(optimizer.direction.inverse.state_dict(), expected[chosen].state_dict())


def test_a_tied_gamma_follows_lambda_while_inverses_of_an_earlier_one_are_on_their_way():
    """It would never change where each of them, on its use, brought its own γ back."""
    optimizer = make(gamma_rule="tied", t1=EVERY)
    for iteration in range(1, 5 * EVERY):
        run(optimizer, iteration)
        assert optimizer.gamma == optimizer.options.gamma_at(optimizer.damping)
    assert optimizer.damping != optimizer.options.lambda_initial


def test_the_first_three_iterations_wait_for_their_inverses():
    background, immediate = make(), make(refresh="immediate", refresh_delay=5)
    for each in (background, immediate):
        run(each, EVERY - 1)
    assert same(background.parameters, immediate.parameters)
    run(background, 2 * EVERY)
    run(immediate, 2 * EVERY)
    assert not same(background.parameters, immediate.parameters)


@EACH_INVERSE
@pytest.mark.parametrize("stop", [EVERY, EVERY + 1, 2 * EVERY + DELAY - 1, 2 * EVERY + DELAY])
def test_a_run_resumed_while_inverses_are_pending_continues_bit_for_bit(inverse, stop):
    """Through a file, as a checkpoint."""
    optimizer, file = run(make(inverse), stop), io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    state = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    resumed = make(inverse)
    resumed.state_rules()(state, "state")
    resumed.load_state_dict(state)
    assert (resumed.direction.pending is None) == (stop == 2 * EVERY + DELAY)
    for each in (optimizer, resumed):
        run(each, 4 * EVERY + DELAY)
    assert same(optimizer.state_dict(), resumed.state_dict())


def test_an_error_in_the_thread_surfaces_where_the_inverse_is_used_and_undoes_the_step():
    optimizer = run(make(), EVERY + DELAY - 1)
    before, failed = optimizer.state_dict(), Future()
    failed.set_exception(ValueError("a curvature factor has entries that are not finite"))
    optimizer.direction.pending.result = failed
    with pytest.raises(ValueError, match="not finite"):
        run(optimizer, EVERY + DELAY)
    assert same(optimizer.state_dict(), before)
    run(optimizer, EVERY + DELAY)  # computed again
    assert same(optimizer.state_dict(), run(make(), EVERY + DELAY).state_dict())


def test_a_rejected_step_discards_pending_inverses():
    optimizer = run(make(), EVERY)
    assert optimizer.direction.pending is not None
    optimizer.step(torch.full((12, 6), torch.inf, dtype=torch.float64), cases(0))
    assert optimizer.direction.pending is None


def test_fallbacks_are_counted_once_and_where_the_inverses_are_used():
    options = KFACOptions(inverse="block_diagonal", tikhonov="factored", refresh="background")
    curvature = make_curvature(options)
    optimizer = run(make("block_diagonal"), 1)
    curvature.load_state_dict(optimizer.curvature.state_dict())
    for gradient in curvature.factors.gradient:
        gradient.neg_()
    curvature.fallbacks.clipped_factors = 4
    pending = PendingInverses(options, curvature.state_dict(), [1e-3, 1e-4], 9)
    pending.result.result()
    assert curvature.fallbacks.clipped_factors == 4
    pending.candidates(curvature)
    assert curvature.fallbacks.clipped_factors == 4 + 2 * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gammas": []}, "pending.gammas=.*: must be a list of 1 to 3"),
        ({"gammas": [1.0] * 4}, "pending.gammas=.*: must be a list of at most 3"),
        ({"gammas": [-1.0]}, r"pending.gammas\[0\]=-1"),
        ({"curvature": {"factors": None, "fallbacks": {}}}, "pending.curvature"),
        ({"iteration": 1.5}, "pending.iteration=1.5"),
    ],
)
def test_a_forged_pending_state_is_refused(changes, message):
    optimizer = run(make(), EVERY)
    state = optimizer.direction.state_dict()
    state["pending"] |= changes
    rules = Direction(optimizer.options, optimizer.curvature).state_rules(optimizer.parameters)
    with pytest.raises(StateError, match=message):
        rules(state, "")


def test_a_curvature_without_factors_has_no_pending_inverses():
    optimizer = run(make(), EVERY)
    state = optimizer.direction.state_dict()
    state["pending"]["curvature"]["factors"] = None
    rules = optimizer.direction.state_rules(optimizer.parameters)
    with pytest.raises(StateError, match=r"pending.curvature.factors=.*: must be known"):
        rules(state, "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"refresh_delay": 3}, "refresh_delay=3: needs refresh=background"),
        (
            {"refresh": "background", "refresh_delay": 20},
            "refresh_delay=20: must be less than t3, which is 20; set refresh_delay=19",
        ),
        (
            {"refresh": "background", "inverse": "identity", "gamma_rule": "fixed"},
            "refresh=background: must be immediate with inverse=identity",
        ),
    ],
)
def test_a_delay_without_a_background_or_as_long_as_the_period_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        KFACOptions(**settings)


def test_the_threads_of_torch_are_as_before():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        optimizer = run(make(), EVERY)
        assert torch.get_num_threads() == 2
        assert optimizer.direction.pending.result.result()
    finally:
        torch.set_num_threads(before)


@EACH_INVERSE
def test_a_step_that_raises_does_not_begin_the_computation_again(inverse):
    optimizer = run(make(inverse), EVERY)
    pending = optimizer.direction.pending
    with pytest.raises(ValueError, match="inputs of shape"):
        optimizer.step(torch.zeros(3, 2), torch.zeros(3, 2))
    assert optimizer.direction.pending is pending


@EACH_INVERSE
def test_a_copy_computes_its_own(inverse):
    optimizer = run(make(inverse), EVERY)
    other = copy.deepcopy(optimizer)
    assert other.direction.pending is not optimizer.direction.pending
    last = EVERY + DELAY + 1
    assert same(run(optimizer, last).state_dict(), run(other, last).state_dict())
