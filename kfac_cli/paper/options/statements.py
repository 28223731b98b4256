"""Statements about single options, and the pairs of methods that decide them."""

import math

import numpy as np

from kfac_cli.paper.judgement import Comparison, MethodRuns, comparable, note_on_left_out
from kfac_cli.paper.methods import PAPERS_T3, Method, first_order, kfac
from kfac_cli.paper.progress import errors_beside
from kfac_cli.paper.statement import Statement
from kfac_cli.paper.study import Finding
from kfac_cli.report.measures import ITERATIONS, SECONDS
from kfac_cli.report.runs import Run

FACTORED, EXACT = "factored-tikhonov", "exact-tikhonov"
SUBSETS, WHOLE = "subsets", "whole-mini-batches"
FRESH, EMPIRICAL, TIED, UNBALANCED = "fresh-inverses", "empirical-fisher", "tied-gamma", "pi-one"
BASELINE, KFAC_MOMENTUM = "nesterov", "sgd-kfac-momentum"

METHODS: tuple[Method, ...] = (
    kfac(SUBSETS, "kfac_tridiag", "optimizer.tau1=0.125", "optimizer.tau2=0.25"),
    kfac(WHOLE, "kfac_tridiag", "optimizer.tau1=1", "optimizer.tau2=1"),
    kfac(FACTORED, "kfac_diag", PAPERS_T3, "optimizer.tikhonov=factored"),
    kfac(EXACT, "kfac_diag", PAPERS_T3, "optimizer.tikhonov=exact"),
    kfac(FRESH, "kfac_diag", "optimizer.t3=1", "optimizer.tikhonov=factored"),
    kfac(EMPIRICAL, "kfac_tridiag", "optimizer.fisher=empirical"),
    kfac(TIED, "kfac_tridiag", "optimizer.gamma_rule=tied"),
    kfac(UNBALANCED, "kfac_tridiag", "optimizer.pi=one"),
    first_order(BASELINE, "nesterov_sgd"),
    first_order(KFAC_MOMENTUM, "sgd_kfac_momentum"),
)

TIKHONOV = Statement(
    "factored Tikhonov damping works better than the exact one",
    "section 6.3",
    "iterations with exact over those with factored damping to the same error",
    "often above 1",
    "the median is above 1",
    lambda ratio: ratio > 1,
)
TAU_PROGRESS = Statement(
    "statistics and products with F on subsets of a mini-batch, τ₁ = 1/8 and τ₂ = 1/4, cost no "
    "progress per iteration",
    "section 8",
    "iterations with subsets over those with whole mini-batches to the same error",
    "a negligible effect, about 1",
    "the median is 1.1 or less (below 1, subsets even make more progress)",
    lambda ratio: ratio <= 1.1,
)
TAU_SECONDS = Statement(
    "τ₁ = 1/8 and τ₂ = 1/4 reduce the time of an iteration significantly",
    "section 8",
    "seconds of an iteration with whole mini-batches over those with subsets",
    "significantly above 1",
    "the median is 1.1 or more",
    lambda ratio: ratio >= 1.1,
)
STALE = Statement(
    "a new inverse every T₃ = 20 iterations, not in each, decreases the quality of the updates "
    "only modestly",
    "section 8",
    "iterations with T₃ = 20 over those with T₃ = 1 to the same error",
    "a modest decrease, somewhat above 1",
    "the median is 1.25 or less",
    lambda ratio: ratio <= 1.25,
)
EMPIRICAL_FISHER = Statement(
    "the empirical Fisher, of the training targets, works worse than the Fisher, of sampled ones",
    "sections 5 and 11",
    "iterations with the empirical Fisher over those with the Fisher to the same error",
    "above 1",
    "the median is above 1",
    lambda ratio: ratio > 1,
)
OWN_GAMMA = Statement(
    "a γ that is chosen by M works at least as well as γ = √(λ + η)",
    "section 6.6",
    "iterations with γ = √(λ + η) over those with a γ of its own to the same error",
    "in most situations γ = √(λ + η) works reasonably well too, and sometimes fails",
    "the median is 0.95 or more",
    lambda ratio: ratio >= 0.95,
)
TRACE_NORM = Statement(
    "π by the trace norm works at least as well as π = 1",
    "section 6.3",
    "iterations with π = 1 over those with π by the trace norm to the same error",
    "the trace norm is one of the best choices, and π = 1 can sometimes work well",
    "the median is 0.95 or more",
    lambda ratio: ratio >= 0.95,
)
SGD_MOMENTUM = Statement(
    "SGD with K-FAC's momentum is significantly worse than with that of Sutskever et al.",
    "section 13",
    "training error with K-FAC's momentum over that of the baseline after as many iterations, "
    "second half of the runs",
    "significantly above 1",
    "the median is 1.25 or more",
    lambda ratio: ratio >= 1.25,
)

COMPARISONS = (
    Comparison(TIKHONOV, FACTORED, EXACT, ITERATIONS),
    Comparison(TRACE_NORM, SUBSETS, UNBALANCED, ITERATIONS),
    Comparison(EMPIRICAL_FISHER, SUBSETS, EMPIRICAL, ITERATIONS),
    Comparison(OWN_GAMMA, SUBSETS, TIED, ITERATIONS),
    Comparison(TAU_PROGRESS, WHOLE, SUBSETS, ITERATIONS),
    Comparison(STALE, FRESH, FACTORED, ITERATIONS),
)


def other_findings(problem: str, runs: MethodRuns) -> list[Finding]:
    """What the runs on a problem say about the other statements.

    How fast SGD with K-FAC's momentum leaves the first plateau says little: the baseline, with its
    small momentum at first, does it no faster.
    """
    pairs = list(zip(runs.get(WHOLE, ()), runs.get(SUBSETS, ()), strict=False))
    same = [pair for pair in pairs if comparable(*pair, SECONDS)]
    times = [_times_as_long(whole, subsets) for whole, subsets in same]
    both = list(zip(runs.get(BASELINE, ()), runs.get(KFAC_MOMENTUM, ()), strict=False))
    errors = [value for pair in both for value in errors_beside(*pair).tolist()]
    note = "" if both else f"There are no runs of both {BASELINE} and {KFAC_MOMENTUM}."
    momentum = SGD_MOMENTUM.finding(errors, problem, {"seeds": len(both)}, note)
    left_out = note_on_left_out(len(pairs) - len(same))
    return [TAU_SECONDS.finding(times, problem, note=left_out), momentum]


def _times_as_long(run: Run, other: Run) -> float:
    """Optimizer seconds of a run over those of another one, of the iterations that both did.

    Mini-batches grow, so that later iterations take longer.
    """
    iterations = [each.metrics.get(ITERATIONS.column, np.array([])) for each in (run, other)]
    if not all(map(len, iterations)):
        return math.nan
    shared = min(float(each[-1]) for each in iterations)
    own, others = (
        float(each.metrics[SECONDS.column][known <= shared][-1])
        for each, known in zip((run, other), iterations, strict=True)
    )
    return own / others if others > 0 else math.nan
