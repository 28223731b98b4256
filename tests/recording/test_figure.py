"""The figure of a run: drawn for every run, whatever its rows contain."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from kfac_cli.recording.figure import draw_run, run_figure

METRICS = [
    {
        "iteration": k,
        "batch_size": 1000 + 6 * k,
        "error": 280.0 / k,
        "alpha": 1.0,
        "mu": 0.9,
        "lambda": 150 * 0.95**k,
        "gamma": 12.2 * 0.98**k,
    }
    for k in range(1, 61)
]
EVALUATIONS = [
    {"iteration": k, "train_error": 270 / k, "train_error_average": 260 / k, "test_error": 290 / k}
    for k in (20, 40, 60)
]
GENERATOR = torch.Generator().manual_seed(0)
DIGITS = torch.rand(15, 784, generator=GENERATOR)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A coarse picture is drawn faster."""
    monkeypatch.setattr("kfac_cli.recording.figure.DOTS_PER_INCH", 40)


def ink(picture):
    """Share of the pixels that are not white."""
    return float(np.mean(picture[..., :3].min(axis=-1) < 0.9))


def drawn(path, metrics=METRICS, evaluations=EVALUATIONS, pairs=(DIGITS, DIGITS), shape=(28, 28)):
    draw_run(path, metrics, evaluations, *pairs, shape, "CURVES, $block_tridiagonal$ K-FAC")
    return imread(path)


def test_images_are_to_the_right_of_the_curves(tmp_path):
    picture = drawn(tmp_path / "run.png")
    left, right = np.split(picture, [int(0.62 * picture.shape[1])], axis=1)
    assert ink(left) > 0.01
    assert ink(right) > 0.4
    assert [file.name for file in tmp_path.iterdir()] == ["run.png"]


def test_without_images_there_are_only_curves(tmp_path):
    with_images = drawn(tmp_path / "a.png")
    without = drawn(tmp_path / "b.png", pairs=(torch.rand(3, 7), torch.rand(3, 7)), shape=None)
    assert without.shape[0] == with_images.shape[0]
    assert without.shape[1] < 0.7 * with_images.shape[1]


def test_images_of_any_range_are_drawn(tmp_path):
    faces = torch.randn(7, 625, generator=GENERATOR)
    assert ink(drawn(tmp_path / "run.png", pairs=(faces, 0.5 * faces), shape=(25, 25))) > 0.1


def test_the_curves_say_what_the_errors_are():
    assert figure_of(METRICS, EVALUATIONS).axes[0].get_title(loc="left") == "reconstruction error"
    figure = run_figure(METRICS, EVALUATIONS, [], [], None, "title", "error rate")
    assert figure.axes[0].get_title(loc="left") == "error rate"


def figure_of(metrics, evaluations):
    return run_figure(metrics, evaluations, [], [], None, "title")


def test_each_curve_holds_its_column_on_a_logarithmic_axis():
    errors, *panels = figure_of(METRICS, EVALUATIONS).axes
    assert errors.get_yscale() == "log"
    assert {line.get_label(): list(line.get_ydata()) for line in errors.lines} == {
        "mini-batch": [row["error"] for row in METRICS],
        "training": [row["train_error"] for row in EVALUATIONS],
        "training, averaged": [row["train_error_average"] for row in EVALUATIONS],
        "test": [row["test_error"] for row in EVALUATIONS],
    }
    assert {axes.get_title(loc="left"): list(axes.lines[0].get_ydata()) for axes in panels} == {
        "damping λ": [row["lambda"] for row in METRICS],
        "damping γ": [row["gamma"] for row in METRICS],
        "mini-batch size": [row["batch_size"] for row in METRICS],
    }


def test_without_damping_the_panels_show_momentum_and_step_size():
    rows = [{**row, "lambda": None, "gamma": None, "mu": -0.5} for row in METRICS]
    _, *panels = figure_of(rows, EVALUATIONS).axes
    assert [axes.get_title(loc="left") for axes in panels] == [
        "mini-batch size",
        "momentum μ",
        "step size α",
    ]
    assert list(panels[1].lines[0].get_ydata()) == [-0.5] * len(METRICS)


@pytest.mark.parametrize(
    "values",
    [
        (3.1e-8, 3.4e-8),
        (2e-7, 8e-7),
        (2e-5, 6e-5),
        (5e-6, 3e-4),
        (1.2e-9, 4e-5),
        (1e-13, 150.0),
        (120.0, 150.0),
        (150.0, 150.0),
        (2e7, 9e7),
    ],
)
def test_the_axis_of_lambda_has_numbers_whatever_its_range(values):
    rows = [{**row, "lambda": values[k % 2]} for k, row in enumerate(METRICS)]
    figure = figure_of(rows, EVALUATIONS)
    figure.canvas.draw()
    axes = figure.axes[1]
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    labels = [tick.label1.get_text() for tick in ticks]
    assert len({label for label in labels if label}) >= 2


def test_mini_batches_of_one_case_are_marked_by_a_single_number():
    figure = figure_of([{**row, "batch_size": 1} for row in METRICS], EVALUATIONS)
    figure.canvas.draw()
    low, high = figure.axes[-1].get_ylim()
    ticks = [
        tick for tick in figure.axes[-1].yaxis.get_major_ticks() if low <= tick.get_loc() <= high
    ]
    assert [tick.label1.get_text() for tick in ticks] == ["1"]


def test_values_that_are_not_finite_are_omitted_from_a_curve():
    errors, *_ = figure_of([*METRICS[:3], {"iteration": 4, "error": math.nan}], []).axes
    (line,) = errors.lines
    assert list(line.get_xdata()) == [1, 2, 3]


def test_the_heading_gives_the_best_error_and_where_it_was_reached():
    texts = [text.get_text() for text in figure_of(METRICS, EVALUATIONS).texts]
    assert texts == ["title", "best training error 4.33 (averaged parameters at iteration 60)"]


NOT_A_NUMBER = [{"iteration": k, "error": math.nan, "lambda": math.inf} for k in (1, 2)]


@pytest.mark.parametrize(
    ("metrics", "evaluations"),
    [
        ([], []),
        (METRICS[:1], []),
        (METRICS[:1], EVALUATIONS[:1]),
        (NOT_A_NUMBER, [{"iteration": 2, "train_error": -math.inf, "test_error": math.nan}]),
        (METRICS + NOT_A_NUMBER, EVALUATIONS),
        ([{"iteration": k, "error": 0.0, "mu": -1.0, "alpha": 0.0} for k in (1, 2)], []),
        ([{"iteration": k, "error": 16.9, "lambda": 1.0, "batch_size": 250} for k in (1, 2)], []),
        ([{"iteration": k, "lambda": 10.0 ** (-k), "error": 1e300 / k} for k in (1, 300)], []),
    ],
    ids=["empty", "one", "one of each", "nan", "nan at the end", "zero", "constant", "huge range"],
)
def test_any_rows_give_a_figure(tmp_path, metrics, evaluations):
    diverged = torch.full_like(DIGITS, math.nan)
    picture = drawn(tmp_path / "run.png", metrics, evaluations, pairs=(DIGITS, diverged))
    assert ink(picture) > 0.1


def test_no_pairs_and_few_pairs_are_fine(tmp_path):
    drawn(tmp_path / "a.png", pairs=(DIGITS[:0], DIGITS[:0]))
    assert ink(drawn(tmp_path / "b.png", pairs=(DIGITS[:3], DIGITS[:3]))) > 0.05


def test_a_shape_that_does_not_fit_is_named_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="does not hold 784 pixels"):
        drawn(tmp_path / "run.png", shape=(25, 25))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_raises_what_the_system_says(tmp_path):
    with pytest.raises(FileNotFoundError):
        drawn(tmp_path / "gone" / "run.png")


def test_drawing_leaves_pyplot_alone_and_importing_the_package_is_cheap(tmp_path):
    code = f"""
import sys
from kfac_cli.recording.figure import draw_run
heavy = {{"torch", "tensorboard", "matplotlib", "numpy"}} & set(sys.modules)
assert not heavy, heavy
draw_run({str(tmp_path / "run.png")!r}, [], [], [], [], None, "empty")
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
