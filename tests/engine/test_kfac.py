"""All of algorithm 2: KFAC.step against a dense, naive re-implementation; its state and record."""

import io
import math
from fractions import Fraction

import pytest
import torch

from kfac_cli.engine import KFAC, KFACOptions, Network
from kfac_cli.engine.direction import subsample_size
from kfac_cli.engine.model.minibatch import MiniBatch

from . import oracles
from .oracles import ODD_ARCHITECTURES, Architecture, every_architecture, problem

INVERSES = ("block_diagonal", "block_tridiagonal")
EACH_INVERSE = pytest.mark.parametrize("inverse", INVERSES)
CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
BATCH = 16
# Short periods: a few steps include a stale inverse, a refresh, a search and the lambda rule.
OPTIONS = {
    "tikhonov": "factored",
    "lambda_initial": 1.0,
    "gamma_initial": 0.5,
    "gamma_min": 0.1,
    "gamma_max": 0.8,
    "tau1": 0.5,
    "tau2": 0.5,
    "t1": 2,
    "t2": 5,
    "t3": 5,
    "omega1": 0.8,
    "omega2": 0.6,
    "l2": 0.01,
    "momentum": True,
    "growth_max": None,
}


class Run:
    """The engine's optimizer on a problem, with a record of the targets that it samples."""

    def __init__(self, architecture, seed=0, chunk_size=5, **options):
        self.start = problem(architecture)
        self.network = Network(*architecture)
        self.sampled = []
        sample = self.network.distribution.sample

        def recording(logits, noise):
            self.sampled.append(sample(logits, noise))
            return self.sampled[-1]

        self.network.distribution.sample = recording
        self.options = {**OPTIONS, **options}
        self.optimizer = KFAC(
            self.network,
            oracles.unvec(self.start.theta, architecture.layer_sizes),
            KFACOptions(chunk_size=chunk_size, **self.options),
            torch.Generator().manual_seed(seed),
        )

    def batch(self, iteration, cases=BATCH):
        """The mini-batch of an iteration, the same for every run of the architecture."""
        fresh = problem(self.start.architecture, cases, seed=100 + iteration)
        return fresh.inputs, fresh.targets

    def step(self, cases=BATCH):
        """One iteration on its own mini-batch: the record and the targets it sampled."""
        self.sampled.clear()
        record = self.optimizer.step(*self.batch(self.optimizer.iteration + 1, cases))
        return record, torch.cat(self.sampled)

    @property
    def theta(self):
        return oracles.vec(self.optimizer.parameters)


def follow(run, steps):
    """Run engine and oracle in parallel and compare everything that both compute."""
    dense = oracles.DenseKFAC(run.start.architecture, run.start.theta, **run.options)
    for iteration in range(1, steps + 1):
        record, sampled = run.step()
        expected = dense.step(*run.batch(iteration), sampled)
        torch.testing.assert_close(run.theta, dense.theta, rtol=1e-7, atol=1e-7)
        for name, value in expected.items():
            assert getattr(record, name) == (
                None if value is None else pytest.approx(value, rel=1e-6, abs=1e-9)
            ), f"{name} at iteration {iteration}"
    return dense


@EACH_INVERSE
@pytest.mark.parametrize("architecture", every_architecture() + ODD_ARCHITECTURES, ids=str)
def test_trajectory_equals_the_dense_algorithm(architecture, inverse):
    """Refreshes at k = 1, 2, 3, 5; a stale inverse at 4 and 6, at 6 that of the chosen gamma."""
    follow(Run(architecture, inverse=inverse), steps=6)


@EACH_INVERSE
@pytest.mark.parametrize(
    "change", [{"momentum": False}, {"tau2": 1.0}, {"tau1": 1.0}, {"l2": 0.0}], ids=str
)
def test_trajectory_with_other_options(inverse, change):
    follow(Run(CHAIN, inverse=inverse, **change), steps=6)


@EACH_INVERSE
def test_trajectory_with_exact_damping_first(inverse):
    """Refreshes at k = 1 to 6, exactly damped at 1 and 2; a stale inverse at 7."""
    follow(Run(CHAIN, inverse=inverse, tikhonov="exact_first"), steps=7)


@pytest.mark.parametrize(
    ("gamma", "gamma_max", "direction"),
    [(100.0, 1000.0, -1), (1e-3, 0.8, 1), (100.0, 1.0, -1)],
    ids=["decreases", "increases", "drops to the cap"],
)
def test_trajectory_with_changes_of_gamma(gamma, gamma_max, direction):
    run = Run(
        CHAIN, inverse="block_tridiagonal", gamma_initial=gamma, gamma_max=gamma_max, gamma_min=1e-4
    )
    dense = follow(run, steps=11)
    assert math.copysign(1, dense.gamma - gamma) == direction


def test_trajectory_with_increases_of_lambda():
    """Almost no damping on very few cases: M is inaccurate, and rho falls below 1/4."""
    run = Run(CHAIN, inverse="block_tridiagonal", lambda_initial=1e-6, gamma_initial=0.01, t1=1)
    dense = oracles.DenseKFAC(CHAIN, run.start.theta, **run.options)
    rhos = []
    for iteration in range(1, 7):
        record, sampled = run.step()
        before = dense.damping
        expected = dense.step(*run.batch(iteration), sampled)
        assert record.rho == pytest.approx(expected["rho"], rel=1e-5, abs=1e-7)
        factor = 0.8 if record.rho > 3 / 4 else 1 / 0.8 if record.rho < 1 / 4 else 1.0
        assert record.damping == pytest.approx(factor * before, rel=1e-12)
        rhos.append(record.rho)
    assert min(rhos) < 1 / 4


@EACH_INVERSE
@pytest.mark.parametrize("architecture", every_architecture(), ids=str)
def test_running_averages_of_the_sampled_statistics(architecture, inverse):
    """After each step Abar and G hold the statistics of S_1 with epsilon = min(1 - 1/k, 0.95)."""
    run, stats = Run(architecture, inverse=inverse), None
    for iteration in range(1, 5):
        theta = run.theta
        _, sampled = run.step()
        inputs, _ = run.batch(iteration)
        assert len(sampled) == BATCH // 2
        new = oracles.statistics(architecture, theta, inputs[: BATCH // 2], sampled)
        stats = new if stats is None else oracles.mixed(stats, new, 1 - 1 / iteration)
        factors = run.optimizer.curvature.factors
        for i in range(3):
            torch.testing.assert_close(factors.activation[i], stats.activation[i][i])
            torch.testing.assert_close(factors.gradient[i], stats.gradient[i][i])
        if inverse == "block_tridiagonal":
            for i in range(2):
                torch.testing.assert_close(factors.activation_next[i], stats.activation[i][i + 1])
                torch.testing.assert_close(factors.gradient_next[i], stats.gradient[i][i + 1])


def test_the_decay_of_the_running_averages_reaches_095_at_iteration_20():
    """At iterations 1 to 24, for the second moments of the inputs."""
    run, running = Run(CHAIN, tau1=1.0), 0.0
    for iteration in range(1, 25):
        run.step(cases=4)
        inputs, _ = run.batch(iteration, cases=4)
        epsilon = min(1 - 1 / iteration, 0.95)
        running = epsilon * running + (1 - epsilon) * (inputs.T @ inputs / 4)
        torch.testing.assert_close(run.optimizer.curvature.factors.activation[0][:-1, :-1], running)


def test_the_inverse_is_refreshed_at_1_2_3_and_every_t3():
    run, refreshed = Run(CHAIN, t2=8, t3=4), []
    for iteration in range(1, 14):
        before = run.optimizer.direction.inverse
        run.step()
        if run.optimizer.direction.inverse is not before:
            refreshed.append(iteration)
    assert refreshed == [1, 2, 3, 4, 8, 12]


def test_lambda_changes_every_t1_iterations_and_gamma_every_t2():
    run, dampings, gammas = Run(CHAIN, t1=3, t2=4, t3=4, gamma_initial=100.0), [], []
    for _ in range(9):
        record, _ = run.step()
        assert (record.rho is not None) == (run.optimizer.iteration % 3 == 0)
        dampings.append(record.damping)
        gammas.append(record.gamma)
    assert [k for k in range(2, 10) if dampings[k - 1] != dampings[k - 2]] == [3, 6, 9]
    assert [k for k in range(2, 10) if gammas[k - 1] != gammas[k - 2]] == [4, 8]


def test_reference_lambda_after_the_first_success():
    """150 -> 116.067 at iteration 5, the paper's defaults."""
    run = Run(CHAIN)
    optimizer = KFAC(
        run.network,
        oracles.unvec(run.start.theta, CHAIN.layer_sizes),
        KFACOptions(lambda_initial=150),
        torch.Generator().manual_seed(0),
    )
    records = [optimizer.step(*run.batch(k)) for k in range(1, 6)]
    assert [r.damping for r in records[:4]] == [150.0] * 4
    assert records[4].rho > 3 / 4
    assert records[4].damping == pytest.approx(116.0671, abs=5e-5)
    assert records[4].gamma == pytest.approx(12.2474, abs=5e-5)


def test_a_linear_regression_is_solved_in_one_step():
    """With one output F = Abar (x) 1, so Delta is the Newton step up to a factor, alpha."""
    architecture = Architecture((3, 1), (), "gaussian")
    tiny = {"lambda_initial": 1e-14, "gamma_initial": 1e-7, "l2": 0.0}
    run = Run(architecture, tau1=1.0, tau2=1.0, t1=1, **tiny)
    record, _ = run.step()
    inputs, targets = run.batch(1)
    design = torch.cat([inputs, torch.ones(BATCH, 1, dtype=torch.float64)], dim=1)
    solution = torch.linalg.lstsq(design, targets).solution.T
    torch.testing.assert_close(run.optimizer.parameters[0], solution, rtol=1e-6, atol=1e-6)
    assert record.rho == pytest.approx(1.0, abs=1e-6)  # M is exact there


@EACH_INVERSE
@pytest.mark.parametrize("chunk_size", [1, 3, BATCH])
def test_result_does_not_depend_on_the_chunk_size(inverse, chunk_size):
    one_chunk = Run(CHAIN, inverse=inverse, chunk_size=1000)
    chunked = Run(CHAIN, inverse=inverse, chunk_size=chunk_size)
    for _ in range(6):
        one_chunk.step()
        chunked.step()
    torch.testing.assert_close(chunked.theta, one_chunk.theta, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("cases", [1, 2, 3])
def test_every_subsample_has_at_least_one_case(cases):
    run = Run(CHAIN, tau1=1 / 8, tau2=1 / 8)
    for _ in range(3):
        _, sampled = run.step(cases)
        assert len(sampled) == 1
    assert torch.isfinite(run.theta).all()


SHARES = [1 / 8, 0.1, 0.25, 0.29, 1 / 3, 0.5, 0.7, 0.71, 0.875, 0.9, 1.0]


@pytest.mark.parametrize("tau1", SHARES)
def test_the_subsets_are_the_first_and_the_last_cases_disjoint_while_the_shares_allow_it(tau1):
    """S_1 and S_2 of algorithm 2: sizes rounded down, at least one; two cases or more fit both."""
    for tau2 in SHARES:
        for cases in range(1, 250):
            first, last = subsample_size(tau1, cases), subsample_size(tau2, cases)
            assert first == max(1, math.floor(Fraction(tau1).limit_denominator(1000) * cases))
            assert not (tau1 + tau2 <= 1 and cases > 1 and first + last > cases)


@EACH_INVERSE
@pytest.mark.parametrize("tau1", [0.25, 0.5])
def test_the_statistics_and_the_exact_fisher_see_no_case_in_common(inverse, tau1):
    """Cases of tau_1 = 1/4 or 1/2 and tau_2 = 1/2: only the first change Abar, only the last F."""
    run = Run(CHAIN, inverse=inverse, tau1=tau1, tau2=0.5, momentum=False)
    inputs, targets = run.batch(1)
    seen = {"statistics": set(), "fisher": set()}
    for case in range(BATCH):
        changed = inputs.clone()
        changed[case] += 1
        factors, fisher = [], []
        for given in (inputs, changed):
            optimizer = Run(CHAIN, inverse=inverse, tau1=tau1, tau2=0.5).optimizer
            here = optimizer.linearize(
                MiniBatch(run.network, optimizer.parameters, given, targets, 5), False
            )
            factors.append(here.first.statistics.activation[0])
            fisher.append(here.fisher_gram([optimizer.parameters], subsample_size(0.5, BATCH)))
        seen["statistics"] |= set() if torch.equal(*factors) else {case}
        seen["fisher"] |= set() if torch.equal(*fisher) else {case}
    assert seen["statistics"] == set(range(int(tau1 * BATCH)))
    assert seen["fisher"] == set(range(BATCH // 2, BATCH))


@EACH_INVERSE
def test_same_seed_same_run(inverse):
    first, again, other = (Run(CHAIN, seed=s, inverse=inverse) for s in (1, 1, 2))
    for _ in range(6):
        assert first.step()[0] == again.step()[0]
        other.step()
    assert torch.equal(first.theta, again.theta)
    assert not torch.equal(first.theta, other.theta)


@EACH_INVERSE
@pytest.mark.parametrize("saved_at", [0, 2, 4, 5])
def test_a_run_resumes_exactly_from_a_saved_state(inverse, saved_at):
    """Bitwise, through torch.save and its safe loader, between any two iterations."""
    uninterrupted, first = Run(CHAIN, inverse=inverse), Run(CHAIN, inverse=inverse)
    for _ in range(saved_at):
        uninterrupted.step()
        first.step()
    file = io.BytesIO()
    torch.save(first.optimizer.state_dict(), file)
    second = Run(CHAIN, seed=99, inverse=inverse)
    second.optimizer.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    for _ in range(4):
        assert uninterrupted.step()[0] == second.step()[0]
    assert torch.equal(uninterrupted.theta, second.theta)


@EACH_INVERSE
def test_a_saved_state_is_not_changed_by_the_steps_that_follow(inverse):
    run = Run(CHAIN, inverse=inverse)
    for _ in range(4):
        run.step()
    state = run.optimizer.state_dict()
    first = [run.step()[0] for _ in range(4)]
    run.optimizer.load_state_dict(state)
    assert [run.step()[0] for _ in range(4)] == first
    run.optimizer.load_state_dict(state)
    assert [run.step()[0] for _ in range(4)] == first


def test_a_step_modifies_neither_its_batch_nor_the_old_parameters():
    run = Run(CHAIN)
    for iteration in range(1, 4):
        tensors = [*run.optimizer.parameters, *run.batch(iteration)]
        before = [tensor.clone() for tensor in tensors]
        run.optimizer.step(*tensors[3:])
        assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


@EACH_INVERSE
def test_float32_follows_the_dense_algorithm_too(inverse):
    """Three steps in single precision; alpha, mu and lambda are computed in double."""
    run = Run(CHAIN, inverse=inverse)
    run.optimizer.parameters = [w.float() for w in run.optimizer.parameters]
    dense = oracles.DenseKFAC(CHAIN, run.start.theta, **run.options)
    for iteration in range(1, 4):
        record, sampled = run.step()
        expected = dense.step(*run.batch(iteration), sampled.double())
        torch.testing.assert_close(run.theta.double(), dense.theta, rtol=1e-3, atol=1e-4)
        assert record.alpha == pytest.approx(expected["alpha"], rel=1e-3)
    assert run.theta.dtype == torch.float32


@pytest.mark.parametrize("architecture", every_architecture(), ids=str)
def test_the_record_has_the_error_before_the_update(architecture):
    run = Run(architecture)
    inputs, targets = run.batch(1)
    natural = torch.stack([oracles.logits(architecture, run.theta, case) for case in inputs])
    if architecture.output == "categorical":
        expected = (natural.argmax(1) != targets.argmax(1)).double().mean()
    else:
        mean = natural.sigmoid() if architecture.output == "bernoulli" else natural
        expected = (mean - targets).square().sum(1).mean()
    assert run.step()[0].error == pytest.approx(expected.item(), rel=1e-12)


@EACH_INVERSE
def test_training_lowers_the_objective(inverse):
    """60 steps on the same small batch, with the paper's defaults except for the initial lambda."""
    run = Run(CHAIN)
    optimizer = KFAC(
        run.network,
        oracles.unvec(run.start.theta, CHAIN.layer_sizes),
        KFACOptions(inverse=inverse, lambda_initial=1.0, tau1=1.0, tau2=1.0),
        torch.Generator().manual_seed(0),
    )
    records = [optimizer.step(*run.batch(1)) for _ in range(60)]
    assert records[-1].objective < 0.5 * records[0].objective
    assert all(r.model_change < 0 for r in records)


@EACH_INVERSE
@pytest.mark.parametrize("iteration", [1, 4, 5], ids=["refresh", "stale", "search"])
def test_a_step_that_is_not_finite_is_recorded_rejected_and_increases_lambda(inverse, iteration):
    """Theta and the running averages stay finite, and training continues."""
    run = Run(CHAIN, inverse=inverse)
    for _ in range(iteration - 1):
        run.step()
    before = run.optimizer.damping
    inputs, targets = run.batch(iteration)
    record = run.optimizer.step(math.nan * inputs, targets)
    assert not math.isfinite(record.objective)
    assert record.outcome == ("reverted" if iteration > 1 else "rejected")
    assert run.optimizer.damping == pytest.approx(10 * before, rel=1e-12)
    record, _ = run.step()
    assert math.isfinite(record.objective)
    assert record.outcome == "accepted"
    assert torch.isfinite(run.theta).all()


@EACH_INVERSE
@pytest.mark.parametrize("resumed", [False, True])
def test_a_step_to_an_infinite_objective_is_reverted(inverse, resumed):
    """The next step finds the objective infinite and restores the previous parameters."""
    run = Run(CHAIN, inverse=inverse)
    for _ in range(4):
        run.step()
    before = run.theta
    run.step()
    if resumed:
        state = run.optimizer.state_dict()
        run = Run(CHAIN, inverse=inverse)
        run.optimizer.load_state_dict(state)
    run.optimizer.parameters = [w * math.inf for w in run.optimizer.parameters]
    record, _ = run.step()
    assert record.outcome != "accepted"
    assert torch.equal(run.theta, before)
