"""The comparison with peers: clock, results, tuning and table."""

import math
import sys

import numpy as np
import pytest

from benchmarks.common.problems import SMALL
from benchmarks.peers import __main__ as peers
from benchmarks.peers import clock, results, torch_trial
from benchmarks.peers.plan import KFAC_JAX, Entrant, entrants
from benchmarks.peers.table import best_of_each, outcome, ratios, tables
from benchmarks.peers.trials import Rules, export
from kfac_cli.config.compose import load_config


def specification(*settings, seed=0):
    return {
        "problem": SMALL.settings,
        "random_cases": SMALL.random_cases,
        "settings": settings,
        "seed": seed,
        "threads": 1,
        "seconds": 0.05,
        "last_target": 0.0,
        "evaluated_cases": 100,
    }


def result(points, **others):
    return {"points": points, **others}


def test_every_entrant_is_a_run_that_exists():
    chosen = list(entrants())
    assert len({each.key for each in chosen}) == len(chosen)
    for each in chosen:
        assert (each.damping is None) == (each.peer != KFAC_JAX)
        if each.damping is None:
            load_config(["dataset=mnist", *each.settings])


def test_the_clock_counts_steps_and_stops_at_the_last_target(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(clock, "perf_counter", lambda: float(next(ticks)))
    errors = iter([9.0, 8.0, 4.0, 2.0, 1.0])
    points = clock.curve(lambda: True, lambda: next(errors), 2.0, 50)
    assert points == [(0.0, 0, 9.0), (1.0, 1, 8.0), (2.0, 2, 4.0), (3.0, 3, 2.0)]
    assert clock.seconds_to(points, 5, 50) == 2
    assert clock.seconds_to(points, 5, 1.5) == math.inf


def test_the_clock_stops_at_its_limit_and_after_a_last_step(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(clock, "perf_counter", lambda: float(next(ticks)))
    assert clock.curve(lambda: True, lambda: 9.0, 2.0, 3)[-1] == (3.0, 3, 9.0)
    assert clock.curve(lambda: False, lambda: 9.0, 2.0, 3)[-1] == (1.0, 1, 9.0)


def test_trials_begin_with_the_same_parameters():
    first = [
        torch_trial.run(specification(f"optimizer={name}", "schedule=fixed"))["points"][0]
        for name in ("adam", "kfac_diag")
    ]
    assert first[0] == first[1]
    other = torch_trial.run(specification("optimizer=adam", "schedule=fixed", seed=1))["points"][0]
    assert other[2] != first[0][2]


def test_the_exported_mini_batches_are_those_of_a_run(tmp_path):
    folder = export(Rules(SMALL, 1, 1.0, 1.0, iterations=3), 0, 40, tmp_path)
    train, order = np.load(folder / "train.npy"), np.load(folder / "order.npy")
    assert order.shape == (3, 40)
    made = SMALL.session(("schedule=fixed", "schedule.size=40"))
    seen = []
    made.optimizer.step = lambda inputs, targets, **_: seen.append(inputs.numpy())
    for _ in range(3):
        with pytest.raises(AttributeError):  # the stub returns no record
            made.step()
    assert all(np.array_equal(train[rows], batch) for rows, batch in zip(order, seen, strict=True))
    saved = np.load(folder / "parameters.npz")
    assert np.array_equal(saved["arr_0"], made.optimizer.parameters[0].numpy())


def test_a_line_that_an_interruption_cut_off_is_left_out(tmp_path):
    path = tmp_path / "results.jsonl"
    results.append(path, {"a": 1})
    with path.open("a") as file:
        file.write('{"b": ')
    results.append(path, {"c": "λ₀"})
    assert list(results.read(path)) == [{"a": 1}, {"c": "λ₀"}]
    assert list(results.read(tmp_path / "none")) == []


def test_the_best_setting_reaches_the_lowest_target_first():
    quick = outcome(Entrant("adam", "1"), [result([[1.0, 10, 9.0], [5.0, 50, 2.9]])], 120)
    deep = outcome(Entrant("adam", "2"), [result([[9.0, 90, 4.0], [60.0, 600, 2.0]])], 120)
    assert quick.seconds == (1, 5, 5, math.inf)
    assert deep.seconds == (9, 9, 60, 60)
    assert best_of_each([quick, deep]) == [deep]


def test_a_miss_in_one_of_two_seeds_is_a_miss_in_the_median():
    runs = [result([[1.0, 1, 2.0]]), result([[1.0, 1, 50.0]])]
    assert outcome(Entrant("adam", "1"), runs, 120).seconds == (math.inf,) * 4


def test_ratios_are_to_the_fastest_of_this_project():
    made = [
        outcome(Entrant("kfac-run a", ""), [result([[20.0, 1, 4.0]])], 120),
        outcome(Entrant("kfac-run b", ""), [result([[10.0, 1, 4.0]])], 120),
        outcome(Entrant(KFAC_JAX, ""), [result([[25.0, 1, 4.0]], compilation=30.0)], 120),
        outcome(Entrant("adam", ""), [result([[99.0, 1, 7.0]])], 120),
    ]
    assert ratios(made) == (
        "To an error of 5, as many times as long as kfac-run b: "
        "kfac-jax 2.50 ×, 5.50 × with compilation; adam missed."
    )
    assert "| kfac-jax, with its compilation |  |  | 55.0 | 55.0 | missed |" in tables(made)


def test_an_interrupted_comparison_continues_and_reads_what_is_done(tmp_path, monkeypatch, capsys):
    calls = []

    def trial(entrant, seed, rules, folder, jax_python):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(entrant.key)
        return result([[0.0, 0, 50.0], [1.0, 4, 4.0]])

    monkeypatch.setattr(peers, "trial", trial)
    path = tmp_path / "results.jsonl"
    with pytest.raises(KeyboardInterrupt):
        peers.section(True, [0], path, None)
    done = list(calls)
    calls.clear()
    monkeypatch.setattr(peers, "entrants", lambda: list(entrants())[:4])
    argv = ["peers", "--small", "--results", str(path), "--output", str(tmp_path / "page.md")]
    monkeypatch.setattr(sys, "argv", argv)
    assert peers.main() == 0
    assert [*done, *calls] == [each.key for each in list(entrants())[:4]]
    assert "<!-- begin peers -->\n## Against other programs" in (tmp_path / "page.md").read_text()
    assert KFAC_JAX not in "".join(calls)
