"""The runs of a sweep in TensorBoard's HPARAMS tab, as the plugin's own backend answers it."""

import itertools

import pytest
from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import (
    api_pb2,
    backend_context,
    get_experiment,
    list_session_groups,
)

from kfac_cli.config.compose import load_config
from kfac_cli.config.schema import flat_settings
from kfac_cli.recording.tensorboard import TensorBoardLog
from kfac_cli.recording.tensorboard_sink import results

NUMBER, TEXT = api_pb2.DATA_TYPE_FLOAT64, api_pb2.DATA_TYPE_STRING
ASCENDING, DESCENDING = api_pb2.ORDER_ASC, api_pb2.ORDER_DESC


class Tab:
    """The tab for the runs in the subfolders of `folder`."""

    def __init__(self, folder):
        multiplexer = EventMultiplexer()
        multiplexer.AddRunsFromDirectory(str(folder))
        multiplexer.Reload()
        provider = MultiplexerDataProvider(multiplexer, str(folder))
        self._backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
        request = api_pb2.GetExperimentRequest()
        handler = get_experiment.Handler(
            context.RequestContext(), self._backend, experiment_id="", request=request
        )
        experiment = handler.run()
        self.types = {column.name: column.type for column in experiment.hparam_infos}
        self.shown_first = [column.name for column in experiment.hparam_infos if column.differs]
        self.metrics = [metric.name.tag for metric in experiment.metric_infos]

    def runs(self, name, **sorting_or_filter):
        """The names of the runs after sorting or filtering a column."""
        column = api_pb2.ColParams(hparam=name, **sorting_or_filter)
        request = api_pb2.ListSessionGroupsRequest(
            col_params=[column], slice_size=100, allowed_statuses=api_pb2.Status.values()
        )
        handler = list_session_groups.Handler(context.RequestContext(), self._backend, "", request)
        return [group.name for group in handler.run().session_groups]


def summary_of(error):
    return {
        "best_train_error": error,
        "best_test_error": error + 1,
        "best_iteration": 9,
        "target": {"error": 2, "iteration": 7},
        "seconds": 60.0,
    }


@pytest.fixture
def tab(tmp_path):
    """Shows one run for each command line, named 0, 1, …."""

    def show(*lines):
        for number, words in enumerate(lines):
            log = TensorBoardLog(tmp_path / str(number))
            log.iteration({"iteration": 1, "cases": 9, "gamma": 1.0, "error": 3.0})
            settings = flat_settings(load_config(words))
            log.hyperparameters(settings, results(summary_of(number)), 2, "finished")
            log.close()
        return Tab(tmp_path)

    return show


def test_a_setting_that_admits_a_word_is_text_in_every_run(tab):
    name = "optimizer.lambda_initial"
    shown = tab([f"{name}=auto"], [f"{name}=150"], [f"{name}=10"])
    assert shown.types[name] == TEXT
    assert shown.runs(name, order=ASCENDING) == ["2", "1", "0"]
    assert shown.runs(name, filter_regexp="^1") == ["1", "2"]
    assert shown.shown_first == [name]


def test_a_setting_that_is_null_in_some_runs_is_a_number(tab):
    shown = tab(["max_seconds=null"], ["max_seconds=20"], ["max_seconds=3"])
    assert shown.types["max_seconds"] == NUMBER
    assert shown.runs("max_seconds", order=ASCENDING)[:2] == ["2", "1"]
    interval = api_pb2.Interval(min_value=10, max_value=30)
    kept = shown.runs("max_seconds", filter_interval=interval, exclude_missing_values=True)
    assert kept == ["1"]


def test_optimizers_with_different_settings_have_all_their_columns(tab):
    shown = tab(["optimizer=nesterov_sgd"], ["optimizer=kfac_diag"], ["optimizer=sgd"])
    columns = ("mu_max", "tau2", "arguments.momentum", "arguments.nesterov", "learning_rate")
    assert {shown.types[f"optimizer.{name}"] for name in columns} == {NUMBER}
    assert shown.types["optimizer.momentum"] == TEXT


def test_errors_seconds_and_iterations_to_target_are_the_five_metrics_that_are_shown(tab):
    assert tab([]).metrics == [
        "Errors-and-costs/best_iteration",
        "Errors-and-costs/best_test_error",
        "Errors-and-costs/best_train_error",
        "Errors-and-costs/iterations_to_target",
        "Errors-and-costs/seconds",
        "Errors/minibatch_error",
        "by_cases/minibatch_error",
        "damping/gamma",
        "train/cases",
    ]


def test_the_status_is_a_column_of_words(tab):
    shown = tab([], ["seed=1"])
    assert shown.types["status"] == TEXT
    assert shown.runs("status", filter_regexp="fin") == ["0", "1"]


MIXED = [
    [],
    ["optimizer=kfac_diag", "optimizer.lambda_initial=3", "optimizer.gamma_max=null", "threads=1"],
    ["optimizer=heskes", "dataset=mnist_labels", "optimizer.omega1=0.5", "seed=3"],
    ["optimizer=nesterov_sgd", "schedule=fixed", "schedule.size=9", "tags=[a]", "max_seconds=4"],
    ["optimizer=adam", "schedule=stepwise", "schedule.steps=[[1,50]]", "target_error=2"],
    ["optimizer=muon", "schedule=adaptive", "optimizer.arguments.weight_decay=null"],
    [
        "optimizer=sgd",
        "dataset=faces",
        "dataset.train_cases=9",
        "+optimizer.arguments.foreach=true",
    ],
]


def test_every_column_of_very_different_runs_can_be_sorted_and_filtered(tab):
    shown = tab(*MIXED)
    assert len(shown.types) > 60
    for name, kind in shown.types.items():
        for order, missing in itertools.product((ASCENDING, DESCENDING), (False, True)):
            runs = shown.runs(name, order=order, missing_values_first=missing)
            assert sorted(runs) == list("0123456"), name
        if kind == TEXT:
            shown.runs(name, filter_regexp=".")
        else:
            assert kind == NUMBER
            shown.runs(name, filter_interval=api_pb2.Interval(min_value=0, max_value=1))
