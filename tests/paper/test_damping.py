"""The study `damping`: its updates against those of the optimizer, its curves and verdicts."""

import math
from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from kfac_cli.commands.quoting import quoted
from kfac_cli.config.compose import load_config
from kfac_cli.data.dataset import Dataset
from kfac_cli.engine import evaluate
from kfac_cli.engine.parameters import l2_penalty
from kfac_cli.errors import UserError
from kfac_cli.paper.checked_settings import checked
from kfac_cli.paper.damping import point, work
from kfac_cli.paper.damping.curves import Curve, curve
from kfac_cli.paper.damping.findings import findings
from kfac_cli.paper.damping.measure import INVERSES, MOMENTUM, RAW, RESCALED, Improvement, measure
from kfac_cli.paper.damping.outputs import damping_figure
from kfac_cli.paper.study import RUNS, Job, Scale, Verdict
from kfac_cli.run.session import choose_device, make_session

SIZES = (20, 8, 4, 8, 20)

NARROW = (
    "dataset=arrays",
    f"dataset.layer_sizes={list(SIZES)}",
    "dataset.activations=[logistic,linear,logistic]",
    "dataset.output=bernoulli",
    "optimizer=kfac_tridiag",
    "optimizer.lambda_initial=10",
    "schedule.initial=20",
    "schedule.full_at=6",
    "iterations=5",
    "tensorboard=false",
)
"""A small autoencoder of 60 cases, which are all in the mini-batch after its five iterations."""

AT_ONCE = ("optimizer.t3=1", "optimizer.gamma_rule=fixed", "dtype=float64")
"""A new inverse in every step, and the γ that the run has."""


def cases():
    return torch.rand(60, SIZES[0], generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@cache
def config_of(*settings):
    return load_config([*NARROW, "dataset.file=none", *AT_ONCE, *settings])


def session_of(*settings):
    config = config_of(*settings)
    all_cases = cases()
    dataset = Dataset("arrays", all_cases, all_cases, all_cases, all_cases, None)
    return make_session(config, dataset, choose_device("cpu"))


@cache
def state_after_five_steps():
    session = session_of()
    for _ in range(5):
        session.step()
    return session.state_dict()


def trained(*settings):
    """A session with the given settings in the state of one that was trained without them."""
    session = session_of(*settings)
    session.load_state_dict(deepcopy(state_after_five_steps()))
    return session


def objective(session, parameters):
    """h on all training cases."""
    inputs, targets = session.training.all()
    loss = evaluate(session.network, parameters, inputs, targets, 1000).loss
    return loss + float(l2_penalty(parameters, session.optimizer.options.l2))


# --- the updates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "settings"),
    [
        (RAW, ["optimizer.rescaling=false", "optimizer.momentum=false", "optimizer.t1=1"]),
        (RESCALED, ["optimizer.momentum=false"]),
        (MOMENTUM, []),
    ],
)
def test_an_update_is_the_one_that_the_run_makes_next(update, settings):
    """At the γ of the run, with its inverse: in θ, in h and in M(δ)."""
    session = trained(*settings)
    gamma, before = session.optimizer.gamma, session.optimizer.parameters
    _, record = session.step()
    assert record.outcome == "accepted"
    change = objective(session, before) - objective(session, session.optimizer.parameters)

    points = measure(trained(), [gamma], lambda line: None)
    [found] = curve(points, "block_tridiagonal", update).points
    assert found.improvement == pytest.approx(change, rel=1e-9)
    assert found.predicted == pytest.approx(-record.model_change, rel=1e-9)
    assert found.alpha == pytest.approx(record.alpha, rel=1e-9)


def test_a_held_mu_and_a_multiple_of_alpha_are_left_out():
    """The figure's updates are the paper's, whatever those of the run."""
    settings = ["optimizer.mu=0.8", "optimizer.alpha_scale=0.5"]
    assert measure(trained(*settings), [0.5], print) == measure(trained(), [0.5], print)


def test_the_block_diagonal_update_is_the_one_of_a_run_with_that_inverse():
    points = measure(trained(), [0.5], lambda line: None)
    session = session_of("optimizer.inverse=block_diagonal", "optimizer.gamma_initial=0.5")
    state = deepcopy(state_after_five_steps())
    curvature = state["optimizer"]["curvature"]["factors"]
    curvature["activation_next"] = curvature["gradient_next"] = []
    state["optimizer"]["direction"]["inverse"] = None
    state["optimizer"]["damping"]["gamma"] = 0.5
    session.load_state_dict(state)
    before = session.optimizer.parameters
    session.step()
    change = objective(session, before) - objective(session, session.optimizer.parameters)
    [found] = curve(points, "block_diagonal", MOMENTUM).points
    assert found.improvement == pytest.approx(change, rel=1e-9)


def test_with_very_large_gamma_both_inverses_give_the_gradient():
    points = measure(trained(), [1e5], lambda line: None)
    for update in (RESCALED, MOMENTUM):
        both = [curve(points, inverse, update).best.improvement for inverse in INVERSES]
        assert both[0] == pytest.approx(both[1], rel=1e-3)


def test_rescaling_lowers_the_model_and_momentum_lowers_it_further():
    """They minimise M over larger and larger spaces (sections 6.4 and 7)."""
    points = measure(trained(), [0.01, 1.0], lambda line: None)
    for inverse in INVERSES:
        raw, rescaled, momentum = (
            [point.predicted for point in curve(points, inverse, update).points]
            for update in (RAW, RESCALED, MOMENTUM)
        )
        for a, b, c in zip(raw, rescaled, momentum, strict=True):
            assert a < b < c


# --- curves and verdicts -------------------------------------------------------------------------


def points_of(improvements, inverse="block_tridiagonal", update=RAW, gammas=(0.1, 1, 10, 100)):
    return [
        Improvement(inverse, update, gamma, value, value, 1.0, None)
        for gamma, value in zip(gammas, improvements, strict=True)
    ]


def test_what_a_curve_says():
    each = Curve(tuple(points_of([-5, 1, 4, 3])))
    assert (each.best.gamma, each.lowest_improving, each.at(1).improvement) == (10, 1, 1)
    assert each.width == pytest.approx(1.5)  # 10 and 100: from 10^0.5 to 10^2


@pytest.mark.parametrize("values", [[-1, -1, -2, -3], [math.nan] * 4, [-math.inf] * 4])
def test_a_curve_that_improves_nothing(values):
    each = Curve(tuple(points_of(values)))
    assert (each.width, each.lowest_improving) == (0.0, math.inf)


def test_a_value_that_is_not_finite_is_never_the_best():
    each = Curve(tuple(points_of([math.nan, 2, math.inf, 1])))
    assert each.best.gamma == 1
    assert each.lowest_improving == 100


IDEAL = {RAW: [-9, -9, 1, 2], RESCALED: [5, 4, 3, 3], MOMENTUM: [6, 5, 4, 3]}
FAILS = [
    {RAW: [1, 1, 1, 2]},
    {RAW: [-9, -9, 1, 4]},
    {MOMENTUM: [6, 1, 1, 1]},
    {MOMENTUM: [4, 4, 4, 4]},
]
"""For each of the first findings, the curves with which it must not be confirmed."""


def all_points(changes, diagonal=1.0):
    return [
        point
        for inverse, scale in zip(INVERSES, (1.0, diagonal), strict=True)
        for update, values in {**IDEAL, **changes}.items()
        for point in points_of([scale * value for value in values], inverse, update)
    ]


def test_all_statements_hold_for_curves_like_those_of_figure_7():
    found = findings(all_points({}, diagonal=0.9), "a note")
    assert {finding.verdict for finding in found} == {Verdict.CONFIRMED}
    assert {finding.n for finding in found} == {24}
    for finding in found:
        assert finding.note.startswith("Confirmed if ") and finding.note.endswith(". a note")
    assert len(found) == 6


@pytest.mark.parametrize("index", range(len(FAILS)))
def test_a_verdict_can_come_out_either_way(index):
    assert findings(all_points(FAILS[index]), "")[index].verdict is Verdict.NOT_CONFIRMED


def test_verdicts_that_compare_inverses_and_measures():
    assert findings(all_points({}, diagonal=1.1), "")[4].verdict is Verdict.NOT_CONFIRMED
    misled = [replace(each, predicted=-each.improvement) for each in all_points({})]
    assert findings(misled, "")[5].verdict is Verdict.NOT_CONFIRMED


def test_the_updates_that_no_gamma_lets_improve_h_are_named():
    failing = [p for p in all_points({RESCALED: [0] * 4}) if p.inverse == INVERSES[1]]
    others = [p for p in all_points({}) if p.inverse == INVERSES[0]]
    [finding] = findings([*others, *failing], "")
    assert finding.verdict is Verdict.NOT_MEASURED
    assert "no γ improves h by the re-scaled update of F̆⁻¹." in finding.note


def test_both_scales_examine_a_run_that_has_the_statistics():
    for words in (point.FULL, point.SMALL):
        config = checked(words)
        assert (config.optimizer.kind, config.optimizer.inverse) == ("kfac", "block_tridiagonal")
    full = checked(point.FULL)
    assert full.schedule.make(60_000).size(full.iterations) == 60_000


# --- the study -----------------------------------------------------------------------------------


def job(folder, settings=(), **options):
    return Job(folder, Scale.SMALL, list(settings), lambda line: None, options)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Folder and findings of the study with a run of its own."""
    folder = tmp_path_factory.mktemp("damping")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "GAMMAS", (0.1, 10.0))
        patch.setattr(point, "SMALL", NARROW)
        np.savez(folder.parent / "cases.npz", train_inputs=cases())
        file = f"dataset.file={quoted(folder.parent / 'cases.npz')}"
        return folder, work.run(job(folder, [file]))


def test_it_leaves_a_figure_a_table_and_its_run(study):
    folder, found = study
    names = {path.name for path in folder.iterdir()}
    assert names == {"figure-7.png", "figure-7.svg", "improvements.csv", RUNS}
    lines = (folder / "improvements.csv").read_text().splitlines()
    assert lines[0] == "inverse,update,gamma,improvement,predicted,alpha,mu"
    assert len(lines) == 1 + 2 * 3 * 2
    assert "iteration 5 of arrays" in found[0].note


def test_another_run_is_examined_as_it_is(study, tmp_path, monkeypatch):
    """run=FOLDER gives what the study found in the same run of its own."""
    folder, found = study
    monkeypatch.setattr(work, "GAMMAS", (0.1, 10.0))
    again = work.run(job(tmp_path, run=str(folder / RUNS / "examined")))
    assert again == found


def test_the_measurement_has_the_threads_that_are_asked_for(study, tmp_path, monkeypatch):
    folder, _ = study
    before, measuring = torch.get_num_threads(), []

    def note(session, gammas, say):
        measuring.append(torch.get_num_threads())
        return measure(session, gammas, say)

    monkeypatch.setattr(work, "GAMMAS", (0.1, 10.0))
    monkeypatch.setattr(work, "measure", note)
    run = str(folder / RUNS / "examined")
    for threads in (1, 2):
        work.run(job(tmp_path, [f"threads={threads}"], run=run))
    assert measuring == [1, 2]
    assert torch.get_num_threads() == before


def test_runs_that_cannot_be_examined_are_refused_by_name(study, tmp_path):
    folder, _ = study
    with pytest.raises(UserError, match=r"run=.*: holds no run: it has no config.yaml"):
        work.run(job(tmp_path, run=str(tmp_path / "nothing")))
    with pytest.raises(
        UserError, match=r"^optimizer.kind=torch: only a run with optimizer.kind=kfac"
    ):
        work.run(job(tmp_path, ["optimizer=adam"]))
    with pytest.raises(UserError, match="foo"):
        work.run(job(tmp_path, ["foo=1"]))
    run = str(folder / RUNS / "examined")
    with pytest.raises(
        UserError, match=r"^optimizer.inverse=block_diagonal of run=.*: only a run with"
    ):
        work.run(job(tmp_path, ["optimizer.inverse=block_diagonal"], run=run))
    with pytest.raises(UserError, match=r"optimizer.tau2"):
        work.run(job(tmp_path, ["optimizer.tau2=7"], run=run))


@pytest.mark.parametrize("nothing", [0.0, -1.0, math.nan])
def test_where_no_gamma_improves_h_nothing_is_measured(nothing):
    values = {update: [nothing] * 4 for update in (RAW, RESCALED, MOMENTUM)}
    points = [p for i in INVERSES for u in values for p in points_of(values[u], i, u)]
    [finding] = findings(points, "At iteration 5.")
    assert (finding.verdict, finding.n) == (Verdict.NOT_MEASURED, 0)
    reason = (
        "At this point no γ improves h by the re-scaled update of F̂⁻¹, the momentum update of F̂⁻¹, "
        "the re-scaled update of F̆⁻¹ or the momentum update of F̆⁻¹."
    )
    assert finding.note == f"{reason} At iteration 5."
    [low, high] = damping_figure(points, "figure 7").panels[0].y_range
    assert low < 0 < high
