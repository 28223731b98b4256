"""The curves of several seeds, of which one may diverge or be evaluated elsewhere."""

import math
from dataclasses import replace

from kfac_cli.paper.curves import curves_figure
from kfac_cli.report.measures import ITERATIONS, SECONDS

from .made_up import made_up


def lines(*runs, cost=ITERATIONS):
    figure = curves_figure("error", "error", {"curves": {"adam": runs}}, (cost,))
    return figure.panels[0].lines[cost.label]


def test_a_seed_that_diverged_leaves_the_curve_of_the_others(tmp_path):
    first, second = made_up(tmp_path / "0"), made_up(tmp_path / "1", seed=1)
    lost = made_up(tmp_path / "2", errors=(64.0, math.nan), seed=2)
    lost = replace(lost, status="diverged")
    [line] = lines(first, second, lost)
    assert line.x.tolist() == [25, 50, 75, 100]
    assert line.y.tolist() == [64, 16, 4, 1]
    assert line.high.tolist() == [64, math.inf, math.inf, math.inf]


def test_evaluations_belong_together_by_their_iterations(tmp_path):
    first, second = made_up(tmp_path / "0"), made_up(tmp_path / "1", every=50, seed=1)
    [line] = lines(first, second)
    assert line.x.tolist() == [50, 100]  # those that both have
    assert line.y[0] == (16 + 64) / 2
    assert (line.low[0], line.high[0]) == (16, 64)


def test_only_runs_of_one_machine_are_drawn_against_seconds(tmp_path):
    first, second = (made_up(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    slow = made_up(tmp_path / "2", errors=(64.0, 64.0, 64.0, 64.0), seed=2)
    slow = replace(slow, environment=replace(slow.environment, device_name="another"))
    [line] = lines(first, slow, second, cost=SECONDS)
    assert line.high.tolist() == [64, 16, 4, 1]
    [line] = lines(first, slow, second)
    assert line.high.tolist() == [64] * 4
    mixed = replace(slow, environment=replace(slow.environment, mixed=True))
    [line] = lines(first, mixed, mixed, cost=SECONDS)
    assert line.y.tolist() == [64, 16, 4, 1]
    assert lines(mixed, cost=SECONDS) == ()


def test_runs_without_a_finite_error_have_no_line(tmp_path):
    assert lines(made_up(tmp_path / "0", errors=(math.inf,))) == ()
