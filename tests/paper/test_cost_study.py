"""The study `cost`: what it measures, and what it makes of measurements that are made up."""

import csv
import json
from dataclasses import replace

import pytest
from soak.experiment import write_cases
from tidy import tidied

from benchmarks.common.problems import SMALL
from kfac_cli.engine.model.network import Network
from kfac_cli.errors import UserError
from kfac_cli.paper.cost import work
from kfac_cli.paper.cost.clock import seconds
from kfac_cli.paper.cost.comparison import comparisons
from kfac_cli.paper.cost.figure import cost_figure
from kfac_cli.paper.cost.formula import Constants, Settings, Sizes, kfac_cost
from kfac_cli.paper.cost.measure import KFACTimes, Measured, SizeTimes, measure, period
from kfac_cli.paper.cost.methods import BASELINE, INVERSES, ORDINARY, fixed, timed
from kfac_cli.paper.cost.plan import Plan
from kfac_cli.paper.cost.saved import path_of
from kfac_cli.paper.cost.statements import findings
from kfac_cli.paper.cost.tables import constants_table, costs_table
from kfac_cli.paper.cost.tasks import TASKS, task_times
from kfac_cli.paper.cost.work import run
from kfac_cli.paper.study import Job, Scale, Verdict

SHAPES = ((10, 10), (10, 10))
CONSTANTS = {"block-tridiagonal": Constants(3, 5, 70, 11), "block-diagonal": Constants(3, 5, 40, 7)}


def made_up(cases, slower=1.0, more_inverses=1.0, rest=0.0, constants=CONSTANTS, rejections=0):
    """What iterations take that cost what the formula says, or so many times that."""
    sizes = Sizes.of(SHAPES, cases)
    nothing = dict.fromkeys(TASKS, 0.0)
    sgd = {**nothing, 1: 6 * sizes.squares * cases, 2: 5 * sizes.squares * cases}
    kfac = {}
    for inverse, own in constants.items():
        settings = Settings(tridiagonal=inverse == "block-tridiagonal")
        tasks = {k: slower * v for k, v in kfac_cost(sizes, cases, own, settings).items()}
        tasks[5] *= more_inverses
        first = {5: own.factorisation * 2000, 6: own.product * sizes.products(settings)}
        kfac[inverse] = KFACTimes(
            settings,
            Measured(sum(first.values()), {**nothing, **first}),
            Measured(sum(tasks.values()) * (1 + rest), tasks, rejections),
        )
    return SizeTimes(cases, SHAPES, Measured(sum(sgd.values()), sgd), kfac)


def compared(*times):
    return [each for of_size in times for each in comparisons(of_size)]


@pytest.fixture(autouse=True)
def _tidy():
    with tidied():
        yield


@pytest.fixture
def job(tmp_path):
    """Makes a job on 80 cases of a file."""
    write_cases(tmp_path / "cases.npz")
    dataset = (
        "dataset=arrays",
        f"dataset.file={tmp_path / 'cases.npz'}",
        "dataset.layer_sizes=[12,6,3,6,12]",
        "dataset.activations=[logistic,linear,logistic]",
        "dataset.output=bernoulli",
        "threads=1",
    )

    def make(*settings, **chosen):
        settings = (*dataset, *settings)
        return Job(tmp_path / "study", Scale.SMALL, settings, lambda line: None, chosen)

    return make


# Measuring


@pytest.mark.parametrize("optimizer", INVERSES.values())
def test_every_task_takes_time_and_all_together_not_more_than_the_iteration(optimizer):
    forward = Network.forward
    factored = ("optimizer.tikhonov=factored", "optimizer.t1=1")
    made = SMALL.session((f"optimizer={optimizer}", *factored, *fixed(40)))
    with task_times() as times:
        whole = seconds(lambda: [made.step() for _ in range(2)])
    assert set(times.seconds) == set(TASKS)
    assert all(spent > 0 for spent in times.seconds.values())
    assert sum(times.seconds.values()) < whole
    assert Network.forward is forward


def test_products_of_low_rank_take_time_too():
    """Without ℓ₂, of mini-batches that are small beside the layers."""
    made = SMALL.session(("optimizer=kfac_diag", *ORDINARY["kfac_diag"], "l2=0", *fixed(4)))
    with task_times() as times:
        made.step()
    assert times.seconds[6] > 0


def test_the_device_is_waited_for_before_and_after_each_task():
    events = []
    with task_times(lambda: events.append("wait")) as times:
        timed_task = times.timed(1, lambda: events.append("work"))
        timed_task()
    assert events == ["wait", "work", "wait"]
    assert times.seconds[1] > 0


def test_functions_are_the_engines_own_again_after_an_error():
    forward = Network.forward
    with pytest.raises(KeyboardInterrupt), task_times():
        raise KeyboardInterrupt
    assert Network.forward is forward


def test_what_is_measured_has_every_task_of_both_inverses_and_those_of_sgd():
    more = ("optimizer.t1=2", "optimizer.t2=4", "optimizer.t3=4")
    made = {}

    def make(optimizer, cases):
        own = () if optimizer == BASELINE else more
        made[optimizer] = SMALL.session((*timed(optimizer, cases), *own))
        return made[optimizer]

    times = measure(make, 40)
    assert (times.cases, set(times.kfac)) == (40, set(INVERSES))
    assert {session.iteration for session in made.values()} == {3 + 4}
    for task in TASKS:
        assert (times.sgd.tasks[task] > 0) == (task in (1, 2))
        assert all(own.average.tasks[task] > 0 for own in times.kfac.values())
    assert all(own.average.rest > 0 for own in times.kfac.values())
    assert times.kfac["block-diagonal"].settings == Settings(
        t1=2, t2=4, t3=4, tridiagonal=False, shortcut=False
    )


def test_whole_periods_are_measured_and_not_too_many_iterations():
    assert period(Settings()) == 20
    assert period(Settings(t1=4, t2=6, t3=3)) == 12
    assert period(Settings(t1=None, t2=None, t3=7)) == 7
    with pytest.raises(UserError, match=r"t3=999: their average iteration is one of 19,9"):
        period(Settings(t3=999))


# The formula beside the measurements


def test_iterations_that_cost_what_the_formula_says_give_its_constants_back():
    for each in comparisons(made_up(40)):
        assert each.constants == pytest.approx(CONSTANTS[each.inverse])
        assert each.predicted == pytest.approx(each.measured.tasks)
        assert each.accuracy == pytest.approx(1)
        assert each.overhead == pytest.approx(each.predicted_overhead)


def test_slower_iterations_and_what_is_in_no_task_make_the_prediction_too_low():
    [each, _] = comparisons(made_up(40, slower=2, rest=0.25))
    assert each.accuracy == pytest.approx(1 / 2.5)
    assert each.overhead == pytest.approx(2.5 * each.predicted_overhead)
    assert each.measured.rest == pytest.approx(0.2 * each.measured.whole)


def test_the_tables_have_a_row_for_each_task_and_for_each_constant():
    made = compared(made_up(40), made_up(1000))
    costs = costs_table(made)
    assert len(costs.rows) == 2 * 2 * (8 + 2)
    values = [dict(zip(costs.columns, (cell.value for cell in r), strict=True)) for r in costs.rows]
    [row] = [
        row
        for row in values
        if (row["size"], row["inverse"], row["task"]) == (40, "block-diagonal", "2")
    ]
    assert row["predicted_seconds"] == row["measured_seconds"] == row["sgd_seconds"] == 5 * 200 * 40
    constants = constants_table(made)
    assert [cell.value for cell in constants.rows[3]] == [
        *(40, "block-tridiagonal", "C6", "products with the inverse", 11, 2000)
    ]
    assert {row[2].value for row in constants.rows} == {f"C{number}" for number in range(1, 7)}


def test_the_figure_stacks_the_tasks_of_predicted_and_measured_iterations():
    figure = cost_figure(compared(made_up(40, rest=0.25), made_up(1000)))
    assert [panel.title for panel in figure.panels] == ["m = 40", "m = 1,000"]
    panel = figure.panels[0]
    assert panel.bar_names == (
        "SGD, measured",
        "block-diagonal, predicted",
        "block-diagonal, measured",
        "block-tridiagonal, predicted",
        "block-tridiagonal, measured",
    )
    [sgd, predicted, measured, *_] = map(
        sum, zip(*(bar.lengths for bar in panel.bars), strict=True)
    )
    assert sgd == pytest.approx(1000 * 11 * 200 * 40)
    assert measured == pytest.approx(1.25 * predicted)
    colors = [style.color for _, style, _ in figure.legend]
    assert [bar.color for bar in panel.bars] == colors
    assert len(set(colors)) == 9


# Findings

SAME = {name: Constants(3, 5, 7, 7) for name in CONSTANTS}


@pytest.mark.parametrize(
    ("text", "confirmed", "not_confirmed"),
    [
        ("an average iteration of K-FAC costs what the formula says", {}, {"slower": 2}),
        ("in iterations of SGD, an average iteration", {}, {"slower": 2}),
        ("new inverses, task 5,", {}, {"more_inverses": 0.15 / 0.055}),
        ("with large mini-batches", {}, {"slower": 2}),
        ("with m much larger than d", {}, {"more_inverses": 500}),
        ("inverting costs several times", {"constants": {n: Constants(3, 5, 70, 7) for n in SAME}},
         {"constants": SAME}),
        ("a block-tridiagonal iteration costs more", {}, {"constants": SAME}),
    ],
)  # fmt: skip
def test_a_statement_comes_out_either_way(text, confirmed, not_confirmed):
    for changes, verdict in (
        (confirmed, Verdict.CONFIRMED),
        (not_confirmed, Verdict.NOT_CONFIRMED),
    ):
        found = findings(compared(made_up(5000, **changes), made_up(10, **changes)))
        own = [finding for finding in found if text in finding.statement]
        assert len(own) == (1 if text.startswith("a block") else 2)
        assert {finding.verdict for finding in own} == {verdict}


def test_the_overhead_must_fall_with_the_mini_batch_size():
    def falling(*times):
        return [each for each in findings(compared(*times)) if "the larger" in each.statement]

    assert {each.verdict for each in falling(made_up(40), made_up(5000))} == {Verdict.CONFIRMED}
    rising = falling(made_up(40), made_up(5000, slower=50))
    assert {each.verdict for each in rising} == {Verdict.NOT_CONFIRMED}
    [alone, _] = falling(made_up(40))
    assert alone.verdict is Verdict.NOT_MEASURED
    assert "There is only one size." in alone.note


def test_the_inverses_of_a_search_are_counted_beside_those_of_the_formula():
    found = findings(compared(made_up(40)))
    [finding, _] = [each for each in found if "task 5, cost" in each.statement]
    assert finding.numbers["inverses of an average iteration"] == pytest.approx(0.15)
    assert finding.numbers["inverses by the formula"] == pytest.approx(0.055)


@pytest.mark.parametrize("text", ["much larger than d", "with large mini-batches"])
def test_small_mini_batches_say_nothing_about_large_ones(text):
    [finding, _] = [each for each in findings(compared(made_up(40))) if text in each.statement]
    assert finding.verdict is Verdict.NOT_MEASURED
    assert "No m is 5 times as large as the widest layer." in finding.note


def test_iterations_that_took_no_step_are_counted():
    found = findings(compared(made_up(40, rejections=2), made_up(5000)))
    assert found[0].numbers["iterations that took no step"] == 2


# The study


def test_it_leaves_tables_and_figure_and_measures_no_size_twice(job, tmp_path, monkeypatch):
    measured = []

    def pretend(make, cases):
        assert make(BASELINE, cases).schedule.size(1) == cases
        measured.append(cases)
        return made_up(cases)

    monkeypatch.setattr(work, "measure", pretend)
    run(job(sizes="20"))
    found = run(job(sizes="40,20"))
    assert measured == [20, 40]
    assert found == findings(compared(made_up(20), made_up(40)))
    folder = tmp_path / "study"
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        *("cost.csv", "constants.csv", "cost.png", "cost.svg")
    }
    with (folder / "cost.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * 10
    path_of(folder, 20).write_text("{}")
    with pytest.raises(UserError, match=r"20.json: is damaged; remove it to have it measured"):
        run(job(sizes="20"))


def test_what_another_machine_measured_is_measured_again(job, tmp_path, monkeypatch):
    measured = []

    def pretend(make, cases):
        measured.append(cases)
        return made_up(cases)

    monkeypatch.setattr(work, "measure", pretend)
    run(job(sizes="20"))
    with monkeypatch.context() as patch:
        elsewhere = {"device_name": "another processor", "thread_count": 1}
        patch.setattr(work, "environment_of", lambda device: elsewhere)
        run(job(sizes="20"))
        assert measured == [20, 20]
    path = path_of(tmp_path / "study", 20)
    run(job(sizes="20"))
    contents = json.loads(path.read_text())
    assert contents["environment"]["device"] == "cpu"
    del contents["environment"]  # as earlier versions wrote it
    path.write_text(json.dumps(contents))
    run(job(sizes="20"))
    run(job(sizes="20"))
    assert measured == [20] * 4


def test_each_optimizer_gets_the_options_that_it_has(job):
    words = ("optimizer.tau1=0.5", "l2=0", "optimizer.mu_max=0.5", "seed=7")
    plan = Plan(job(*words))
    baseline, kfac = plan.config(BASELINE, 40), plan.config("kfac_diag", 40)
    assert (baseline.optimizer.mu_max, baseline.optimizer.l2) == (0.5, 0)
    assert (kfac.optimizer.tau1, kfac.optimizer.l2) == (0.5, 0)
    assert kfac.optimizer.growth_limit is None  # the paper has none
    assert (baseline.seed, kfac.seed) == (7, 7)


def test_without_a_dataset_the_scale_chooses_it(tmp_path):
    small = Job(tmp_path, Scale.SMALL, (), print)
    config = Plan(small).config("kfac_tridiag", 40)
    assert (config.dataset.name, config.dataset.train_cases) == ("curves", 5000)
    config = Plan(replace(small, scale=Scale.FULL)).config("kfac_tridiag", 40)
    assert config.dataset.name == "mnist"


@pytest.mark.parametrize(
    ("words", "sizes", "line"),
    [
        ((), "81", "sizes=81: the dataset has only 80 training cases; give sizes of at most 80"),
        ((), "0", "sizes=0: must be whole numbers from 1 on"),
        (("optimizer=adam",), "8", "optimizer=adam: the study chooses this itself"),
        (("optimizer.inverse=identity",), "8", "optimizer.inverse=identity: the study chooses"),
        (("optimizer.tau3=1",), "8", "optimizer.tau3=1: no such setting"),
        (("optimizer.tau1=2",), "8", "optimizer.tau1=2: must be"),
        (("device=cuda:99",), "8", "device=cuda:99: "),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_measured(job, words, sizes, line, monkeypatch):
    monkeypatch.setattr(work, "measure", lambda *arguments: pytest.fail("measured"))
    with pytest.raises(UserError) as refusal:
        run(job(*words, sizes=sizes))
    assert str(refusal.value).startswith(line)
    assert "\n" not in str(refusal.value)
    assert not job().folder.exists()
