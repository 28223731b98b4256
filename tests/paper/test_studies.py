"""The studies that compare runs, on made-up runs: which they ask for, and what they leave."""

import csv
from dataclasses import replace

import pytest
from tidy import tidied

from kfac_cli.config.compose import load_config
from kfac_cli.errors import UserError
from kfac_cli.paper import experiment
from kfac_cli.paper.batch_size import plan, work
from kfac_cli.paper.batch_size.exponent import counted_from, exponents
from kfac_cli.paper.batch_size.work import run as batch_size
from kfac_cli.paper.compare import methods as compare
from kfac_cli.paper.compare.work import run as compare_study
from kfac_cli.paper.methods import PROBLEMS, named
from kfac_cli.paper.options import statements as options
from kfac_cli.paper.options.work import run as options_study
from kfac_cli.paper.registry import STUDIES
from kfac_cli.paper.study import Job, Scale, Verdict
from kfac_cli.report.measures import CASES, ITERATIONS

from .made_up import PretendedRuns, made_up


@pytest.fixture(autouse=True)
def _tidy():
    with tidied():
        yield


@pytest.fixture
def pretended(monkeypatch):
    """Made-up runs in place of training."""
    runs = PretendedRuns()
    monkeypatch.setattr(experiment, "complete_runs", runs)
    monkeypatch.setattr(work, "complete_runs", runs)
    return runs


@pytest.fixture
def undrawn(monkeypatch, pretended):
    """Made-up runs of which no figures and no report are drawn."""
    for name in ("write_figure", "write_table", "write_report_of"):
        monkeypatch.setattr(experiment, name, lambda *arguments: None)
    return pretended


@pytest.fixture
def job(tmp_path):
    """Makes a job in an empty folder."""

    def make(scale=Scale.SMALL, settings=(), **chosen):
        usual = {**STUDIES["compare"].defaults[scale]}
        return Job(tmp_path / "study", scale, settings, lambda line: None, {**usual, **chosen})

    return make


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# compare and options


def test_compare_draws_and_tables_every_run_and_reports_them(pretended, job, tmp_path):
    pretended.every = {"/diagonal/": 30, "nesterov": 2500}
    found = compare_study(job(problems="curves,mnist", methods="nesterov,diagonal,tridiagonal"))
    assert [run.name for run in pretended.planned] == [
        f"{problem}/{method}/0"
        for problem in ("curves", "mnist")
        for method in ("tridiagonal", "diagonal", "nesterov")
    ]
    folder = tmp_path / "study"
    for form in ("png", "svg"):
        assert (folder / f"error-iterations.{form}").stat().st_size > 1000
        assert (folder / f"error-seconds.{form}").stat().st_size > 1000
    assert (folder / "report/report.html").exists()
    rows = table(folder / "error.csv")
    assert len(rows) == 6 * 4
    assert rows[-1] == {
        "problem": "mnist",
        "method": "nesterov",
        "seed": "0",
        "iteration": "10000.0",
        "cases": "1000000.0",
        "optimizer_seconds": "1000.0",
        "train_error": "1.0",
        "train_error_average": "1.1",
    }
    ratios = table(folder / "ratios.csv")
    assert {row["ratio"] for row in ratios if row["other"] == "diagonal"} == {"1.2"}
    verdicts = {finding.statement: finding.verdict for finding in found}
    text = "block-tridiagonal K-FAC makes 25 to 40 per cent more progress per iteration"
    [tridiagonal] = [v for s, v in verdicts.items() if s.startswith(f"curves: {text}")]
    assert tridiagonal is Verdict.NOT_CONFIRMED  # 20 per cent
    text = "mnist: K-FAC makes orders of magnitude more progress per iteration"
    [baseline] = [v for s, v in verdicts.items() if s.startswith(text)]
    assert baseline is Verdict.CONFIRMED  # 100 times
    momentum = [v for s, v in verdicts.items() if s.startswith("curves: without momentum")]
    assert momentum == [Verdict.NOT_MEASURED] * 2  # for each size of the baseline's mini-batches


def test_at_the_small_scale_curves_alone_is_compared_and_in_full_all_three(undrawn, job):
    options_study(job(methods="nesterov", seeds="1,0"))
    assert [run.name for run in undrawn.planned] == ["curves/nesterov/0", "curves/nesterov/1"]
    undrawn.planned.clear()
    options_study(replace(job(Scale.FULL, methods="nesterov"), folder=job().folder / "full"))
    assert [run.name for run in undrawn.planned] == [f"{p}/nesterov/0" for p in PROBLEMS]


def test_seconds_end_every_run_and_settings_of_the_user_come_last(undrawn, job):
    compare_study(job(settings=("threads=1", "evaluate_every=7"), methods="adam", seconds="30"))
    [run] = undrawn.planned
    config = load_config(run.words)
    assert (config.max_optimizer_seconds, config.iterations) == (30, experiment.UNLIMITED)
    assert (config.threads, config.evaluate_every, config.tensorboard) == (1, 7, False)


@pytest.mark.parametrize(
    ("text", "iterations", "every"), [("2000", 2000, 40), ("30", 30, 1), ("1_000", 1000, 20)]
)
def test_iterations_that_are_given_suit_the_evaluations_and_the_end(
    undrawn, job, text, iterations, every
):
    settings = (f"iterations={text}",)
    compare_study(job(Scale.FULL, settings, problems="curves", methods="nesterov"))
    [run] = undrawn.planned
    config = load_config(run.words)
    assert (config.iterations, config.evaluate_every) == (iterations, every)
    assert config.optimizer.final_iterations == iterations // 20


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"problems": "digits"}, "problems=digits: must be of curves, mnist, faces or all"),
        ({"methods": "x"}, "methods=x: must be of tridiagonal, diagonal, diagonal-default, "),
        ({"seeds": "0,one"}, "seeds=0,one: must be whole numbers from 0 on"),
        ({"seconds": "-1"}, "seconds=-1: must be a number above 0"),
        ({"jobs": "0"}, "jobs=0: must be whole numbers from 1 on"),
        ({"jobs": "1,2"}, "jobs=1,2: must be one whole number"),
        ({"settings": ("optimizer=adam",)}, "optimizer=adam: the study chooses this itself"),
        ({"settings": ("preset=paper",)}, "preset=paper: the study chooses this itself"),
        (
            {"settings": ("max_seconds=5",)},
            "max_seconds=5: would give every run more time at each repetition",
        ),
        (
            {"settings": ("optimizer.momentum=true",)},  # by which methods differ
            "optimizer.momentum=true: the study chooses this itself",
        ),
    ],
)
def test_a_wrong_option_is_one_line_and_nothing_runs(job, given, line):
    with pytest.raises(UserError) as refusal:
        compare_study(job(**given))
    assert str(refusal.value).startswith(line)
    assert not job().folder.exists()


@pytest.mark.parametrize("method", [*compare.METHODS, *options.METHODS], ids=lambda m: m.name)
def test_every_method_is_a_valid_command_line(method):
    small = load_config(method.words("curves", Scale.SMALL))
    full = load_config(method.words("mnist", Scale.FULL))
    assert (small.dataset.name, full.dataset.name) == ("curves", "mnist")
    assert len(small.dataset.layer_sizes) == 11
    assert full.dataset.layer_sizes == (784, 1000, 500, 250, 30, 250, 500, 1000, 784)
    assert full.schedule.kind == ("exponential" if method.grows else "fixed")
    if not method.grows:
        of_curves = 1000 if "no-momentum" in method.name else 250
        sizes = (100, 100) if method.name.endswith("-100") else (of_curves, 500)
        assert (small.schedule.size, full.schedule.size) == sizes
    [preset] = [word for word in method.settings if word.startswith("preset=")] or ["=default"]
    assert {small.preset.name, full.preset.name} == {preset.partition("=")[2]}
    assert small.iterations < full.iterations


def test_a_run_that_its_time_ends_evaluates_often_enough_and_keeps_its_momentum(undrawn, job):
    compare_study(job(Scale.FULL, problems="curves", methods="nesterov,tridiagonal", seconds="60"))
    tridiagonal, baseline = (load_config(run.words) for run in undrawn.planned)
    assert (tridiagonal.max_optimizer_seconds, baseline.max_optimizer_seconds) == (60, 60)
    assert (tridiagonal.evaluate_every, baseline.evaluate_every) == (10, 100)
    assert baseline.optimizer.final_iterations == 0


def test_seconds_are_compared_with_the_baseline_on_fewer_cases_too(undrawn, job):
    undrawn.every = {"/nesterov/": 75, "nesterov-100": 40}  # each 25 of K-FAC
    found = compare_study(job(problems="curves", methods="nesterov,nesterov-100,tridiagonal"))
    _, baseline, fewer = (load_config(run.words) for run in undrawn.planned)
    assert (baseline.optimizer.learning_rate, fewer.optimizer.learning_rate) == (0.02, 0.01)
    assert fewer.iterations * fewer.schedule.size == baseline.iterations * baseline.schedule.size
    verdicts = {each.statement: each.verdict for each in found}
    text = "curves: K-FAC is much faster per second than tuned Nesterov SGD"
    assert verdicts[text] is Verdict.CONFIRMED  # 3 times
    assert verdicts[f"{text} on mini-batches of 100 cases"] is Verdict.NOT_CONFIRMED  # 1.6 times


def test_the_methods_without_momentum_are_without():
    chosen = named(compare.METHODS, ("tridiagonal-no-momentum", "diagonal-no-momentum"))
    configs = [load_config(method.words("faces", Scale.FULL)) for method in chosen]
    assert [config.optimizer.momentum for config in configs] == [False, False]
    assert [config.optimizer.inverse for config in configs] == [
        "block_tridiagonal",
        "block_diagonal",
    ]


# batch-size

FEW_CASES = ("dataset.train_cases=500", "dataset.test_cases=1")


def test_a_size_above_the_number_of_training_cases_is_refused_before_any_run(pretended, job):
    with pytest.raises(UserError) as refusal:
        batch_size(job(settings=FEW_CASES, sizes="250,501"))
    assert str(refusal.value) == (
        "sizes=250,501: the dataset has only 500 training cases; give sizes of at most 500"
    )
    assert pretended.planned == []


def test_without_sizes_those_are_compared_that_the_training_set_has(pretended, job, monkeypatch):
    monkeypatch.setattr(plan, "WARM_UP", 0)
    monkeypatch.setattr(work, "write_report_of", lambda *arguments: None)
    batch_size(job(settings=FEW_CASES))
    runs = [run.name for run in pretended.planned if not run.name.startswith("warm-up/")]
    assert {name.split("/")[1] for name in runs} == {"250", "500"}


@pytest.mark.parametrize(
    ("every", "exponent"), [((40, 20, 10), 1), ((160, 40, 10), 2), ((9, 9, 9), 0)]
)
def test_the_exponent_of_a_power_law_is_found(tmp_path, every, exponent):
    runs = {m: made_up(tmp_path / str(m), n) for m, n in zip((100, 200, 400), every, strict=True)}
    found = exponents(runs)
    assert [each.value for each in found] == pytest.approx([exponent] * 4)
    assert found[-1].error == pytest.approx(1)
    assert found[-1].iterations == pytest.approx([4 * n for n in every])


def test_one_size_has_no_exponent(tmp_path):
    assert exponents({100: made_up(tmp_path / "run")}) == []


def test_a_run_from_another_ones_end_counts_from_there(tmp_path):
    run = made_up(tmp_path / "run", every=20)
    later = {
        name: column + {"iteration": 160, "cases": 5000}.get(name, 0)
        for name, column in run.evaluations.items()
        if name != "outcome"
    }
    cases = run.metrics["cases"] + 5000
    shifted = counted_from(
        replace(run, evaluations=later, metrics={**run.metrics, "cases": cases}), 160
    )
    for cost in (ITERATIONS, CASES):
        assert (shifted.evaluations[cost.column] == run.evaluations[cost.column]).all()
    assert counted_from(run, 0) is run


def test_batch_size_finds_how_progress_depends_on_m(pretended, job, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "WARM_UP", 0)
    monkeypatch.setattr(work, "write_report_of", lambda *arguments: None)
    pretended.every = {
        **{"tridiagonal-no-momentum/250/": 40, "tridiagonal-no-momentum/500/": 20},  # 1
        **{"tridiagonal/250/": 80, "tridiagonal/500/": 20},  # 2
        **{"diagonal/250/": 30, "diagonal/500/": 20},  # 0.58
        **{"nesterov/250/": 20, "nesterov/500/": 20},  # 0
    }
    found = batch_size(job(settings=FEW_CASES, sizes="500,250", seeds="0,1"))
    assert [(finding.verdict, finding.n) for finding in found] == [
        (Verdict.CONFIRMED, 8),
        (Verdict.NOT_CONFIRMED, 8),
        (Verdict.CONFIRMED, 8),
        (Verdict.CONFIRMED, 8),
    ]
    assert found[0].numbers["iterations to error 1"] == "320 80"
    folder = tmp_path / "study"
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        *(
            f"batch-size-{cost}.{form}"
            for cost in ("iterations", "cases")
            for form in ("png", "svg")
        ),
        "error.csv",
        "exponents.csv",
    }
    assert len(table(folder / "exponents.csv")) == 4 * 2 * 4


def test_kfac_starts_from_the_warm_up_at_the_small_scale_only(job):
    small = plan.Plan(job(), (250,), (0,))
    before = [load_config(warm_up.words) for warm_up in small.warm_ups()]
    assert [config.optimizer.name for config in before] == ["kfac_tridiag", "kfac_diag"]
    assert {(config.iterations, config.checkpoint.keep) for config in before} == {(plan.WARM_UP, 2)}
    for (method, size, _), run in small.runs().items():
        config = load_config(run.words)
        assert config.schedule.size == size
        alone = plan.ITERATIONS[Scale.SMALL][method]
        if method == plan.BASELINE:
            assert (config.start_from, config.iterations) == (None, alone)
        else:
            inverse = "diagonal" if method == plan.DIAGONAL else "tridiagonal"
            start = str(job().folder / f"runs/warm-up/{inverse}/0")
            assert (config.start_from, config.iterations) == (start, plan.WARM_UP + alone)
    full = plan.Plan(job(Scale.FULL), (2000,), (0,))
    assert full.warm_ups() == []
    configs = [load_config(run.words) for run in full.runs().values()]
    assert {config.dataset.name for config in configs} == {"mnist"}
    assert {config.start_from for config in configs} == {None}
