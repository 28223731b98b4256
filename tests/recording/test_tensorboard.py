"""The event files, as TensorBoard's reader reads them."""

import io
import math
import time

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.summary.writer import event_file_writer

from kfac_cli.recording import tensorboard
from kfac_cli.recording.pictures import Examples
from kfac_cli.recording.tables import TablesSink
from kfac_cli.recording.tensorboard import TensorBoardLog
from kfac_cli.recording.tensorboard_sink import TensorBoardSink, legend_name

ROW = {
    "iteration": 7,
    "batch_size": 1006,
    "cases": 7042,
    "objective": 150.0,
    "error": 25.0,
    "alpha": 0.5,
    "mu": None,
    "rho": 1.5,
    "lambda": 100.0,
    "gamma": 12.25,
    "model_change": -0.5,
    "outcome": "reverted",
    "seconds": 3.0,
    "optimizer_seconds": 2.0,
    "evaluation_seconds": 0.75,
    "logging_seconds": 0.25,
}


@pytest.fixture
def log(tmp_path):
    log = TensorBoardLog(tmp_path)
    yield log
    log.close()


def reader(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def scalars(folder):
    found = reader(folder)
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_an_iteration_gives_grouped_scalars_and_omits_missing_values(tmp_path, log):
    log.iteration(ROW)
    log.close()
    assert scalars(tmp_path) == {
        "train/minibatch_objective": [(7, 150.0)],
        "Errors/minibatch_error": [(7, 25.0)],
        "by_cases/minibatch_error": [(7042, 25.0)],
        "train/batch_size": [(7, 1006.0)],
        "train/cases": [(7, 7042.0)],
        "step/alpha": [(7, 0.5)],
        "damping/rho": [(7, 1.5)],
        "damping/lambda": [(7, 100.0)],
        "damping/log10_lambda": [(7, 2.0)],
        "damping/gamma": [(7, 12.25)],
        "step/model_change": [(7, -0.5)],
        "step/outcome": [(7, 2.0)],
        "time/seconds": [(7, 3.0)],
        "time/optimizer_seconds": [(7, 2.0)],
        "time/evaluation_seconds": [(7, 0.75)],
        "time/logging_seconds": [(7, 0.25)],
    }


def test_a_damping_below_single_precision_keeps_its_logarithm(tmp_path, log):
    log.iteration({"iteration": 6000, "lambda": 1e-132})
    log.iteration({"iteration": 6001, "lambda": 0.0})
    log.close()
    assert scalars(tmp_path)["damping/log10_lambda"] == [(6000, -132.0)]


def test_an_evaluation_gives_scalars_under_evaluation(tmp_path, log):
    """What the iterations have too, such as cases, is not repeated."""
    log.evaluation({"iteration": 50, "cases": 9, "train_error": 16.5, "test_error": None})
    log.close()
    assert scalars(tmp_path) == {
        "Errors/train_error": [(50, 16.5)],
        "by_cases/train_error": [(9, 16.5)],
    }


def test_values_that_are_not_finite_are_shown_as_they_are(tmp_path, log):
    log.iteration({"iteration": 1, "error": math.nan, "objective": math.inf, "lambda": math.inf})
    log.evaluation({"iteration": 1, "train_error": -math.inf})
    log.close()
    found = scalars(tmp_path)
    assert math.isnan(found["Errors/minibatch_error"][0][1])
    assert found["train/minibatch_objective"] == [(1, math.inf)]
    assert found["Errors/train_error"] == [(1, -math.inf)]
    assert "damping/log10_lambda" not in found


def test_images_hold_originals_above_reconstructions(tmp_path, log):
    originals = torch.zeros(2, 6)
    log.images(25, originals, originals + 1.0, (2, 3))
    log.close()
    (event,) = reader(tmp_path).Images("reconstructions/original_above_reconstruction")
    assert event.step == 25
    picture = imread(io.BytesIO(event.encoded_image_string), format="png")[..., 0]
    assert picture.shape == (3 * (2 + 1 + 2), 3 * (3 + 1 + 3))
    np.testing.assert_array_equal(picture[:6, :9], 0)
    np.testing.assert_array_equal(picture[9:, :9], 1)


def test_hyperparameters_are_in_the_same_run_as_the_scalars(tmp_path, log):
    log.iteration(ROW)
    settings = {
        "optimizer.tau1": 0.125,
        "optimizer.momentum": True,
        "optimizer.name": "kfac_tridiag",
        "dataset.layer_sizes": [784, 400, 6],
        "max_seconds": None,
        "max_optimizer_seconds": None,
        "seed": 3,
    }
    log.hyperparameters(settings, {"best_train_error": 0.25}, status="finished")
    log.close()

    (event_file,) = tmp_path.rglob("*")
    assert event_file.name.startswith("events.out.tfevents")
    assert scalars(tmp_path)["Errors-and-costs/best_train_error"] == [(0, 0.25)]
    plugin = reader(tmp_path).PluginTagToContent(metadata.PLUGIN_NAME)
    start = metadata.parse_session_start_info_plugin_data(plugin[metadata.SESSION_START_INFO_TAG])
    found = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
    }
    assert found == {
        "optimizer.tau1": 0.125,
        "optimizer.momentum": "true",
        "optimizer.name": "kfac_tridiag",
        "dataset.layer_sizes": "[784,400,6]",
        "seed": 3.0,
        "status": "finished",
    }


def test_a_resumed_run_has_neither_gaps_nor_duplicates(tmp_path):
    first = TensorBoardLog(tmp_path)
    for iteration in range(1, 7):
        first.iteration({"iteration": iteration, "error": 1.0})
    first.close()
    second = TensorBoardLog(tmp_path, purge_step=5)
    for iteration in range(5, 9):
        second.iteration({"iteration": iteration, "error": 2.0})
    second.close()
    assert scalars(tmp_path)["Errors/minibatch_error"] == [
        *((step, 1.0) for step in range(1, 5)),
        *((step, 2.0) for step in range(5, 9)),
    ]


def test_the_event_file_of_a_resumed_run_is_read_last(tmp_path, monkeypatch):
    """Their names have only whole seconds, followed by the process number."""
    for module in (tensorboard, event_file_writer):
        monkeypatch.setattr(module, "time", time)  # the real one
    first = TensorBoardLog(tmp_path)
    first.close()
    (old,) = tmp_path.iterdir()
    second = TensorBoardLog(tmp_path, purge_step=1)
    second.close()
    *_, latest = sorted(path.name for path in tmp_path.iterdir())
    assert latest != old.name
    assert latest.split(".")[3] > old.name.split(".")[3]


def test_the_final_metrics_are_purged_when_a_run_is_resumed(tmp_path):
    for last, error in ((4, 2.0), (8, 1.0)):
        log = TensorBoardLog(tmp_path, purge_step=last - 3)
        for iteration in range(last - 3, last + 1):
            log.iteration({"iteration": iteration, "error": 0.5})
        log.hyperparameters({"seed": 0}, {"best_train_error": error}, last + 1)
        log.close()
    assert scalars(tmp_path)["Errors-and-costs/best_train_error"] == [(9, 1.0)]


SETTINGS = {"dataset.name": "mnist", "optimizer.name": "adam", "seed": 3}


def test_the_legend_names_what_is_swept_then_dataset_optimizer_and_seed():
    assert legend_name(SETTINGS) == "mnist,adam,seed=3"
    assert legend_name(SETTINGS, ["optimizer.tau2=1"]) == "optimizer.tau2=1,mnist,adam,seed=3"
    assert legend_name(SETTINGS, ["seed=3", "optimizer=adam"]) == "seed=3,optimizer=adam,mnist"


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_resumed_run_keeps_its_name_and_its_curves_over_cases(tmp_path, size):
    rows = [{"iteration": k, "cases": size * k, "error": 1.0 / k} for k in range(1, 5)]
    examples = Examples(None, lambda: (None, None))

    def record(keep, swept, rows):
        tables = TablesSink(tmp_path, keep)
        sink = TensorBoardSink(tmp_path, SETTINGS, examples, keep, swept)
        for row in rows:
            tables.iteration(row)
            sink.iteration(row)
        tables.close()
        sink.close()

    record(None, ["seed=3"], rows[:3])
    record(2, [], rows[2:])
    [name] = [path.name for path in (tmp_path / "tensorboard").iterdir()]
    assert name == "seed=3,mnist,adam"
    curve = scalars(tmp_path / "tensorboard" / name)["by_cases/minibatch_error"]
    assert [step for step, _ in curve] == [size, 2 * size, 3 * size, 4 * size]


def test_flushed_events_are_on_the_disk(tmp_path, log):
    log.iteration({"iteration": 1, "error": 0.5})
    log.flush()
    assert scalars(tmp_path) == {"Errors/minibatch_error": [(1, 0.5)]}


def test_a_row_without_an_iteration_is_refused_and_closing_twice_is_not(log):
    with pytest.raises(ValueError, match="no iteration"):
        log.iteration({"error": 1.0})
    log.close()
    log.close()
