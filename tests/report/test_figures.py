"""What the figures show, and that both drawers draw it."""

import io
import math
from dataclasses import replace

import numpy as np
import plotly.graph_objects
import pytest
from PIL import Image

from kfac_cli.report.contents import contents
from kfac_cli.report.curves import Reference, at_common_iterations, band_line, shown_lines
from kfac_cli.report.draw_matplotlib import drawn
from kfac_cli.report.draw_plotly import figure_data, plain
from kfac_cli.report.figures import COLORS, MAX_POINTS, Line, Style, styles
from kfac_cli.report.inside import inverse_age
from kfac_cli.report.page import page
from kfac_cli.report.runs import load_runs
from tests.report.folders import settings, write_run

pytestmark = pytest.mark.usefixtures("pictures")

STYLE = Style("#0072b2")


def line_of(values):
    rows = np.array(values, dtype=float)
    return band_line("group", STYLE, np.arange(rows.shape[1], dtype=float), rows)


def test_a_line_is_the_median_and_its_band_the_range_of_few_seeds():
    line = line_of([[1, 10], [2, 30], [6, 20]])
    np.testing.assert_array_equal(line.y, [2, 20])
    np.testing.assert_array_equal(line.low, [1, 10])
    np.testing.assert_array_equal(line.high, [6, 30])


def test_the_band_of_many_seeds_is_from_20_to_80_per_cent():
    line = line_of([[value] for value in range(11)])
    assert (line.low[0], line.y[0], line.high[0]) == (2, 5, 8)


def test_one_seed_has_no_band():
    line = line_of([[1, 2]])
    assert line.low is None


def test_an_infinite_value_moves_the_median():
    line = line_of([[1, 1], [2, math.inf], [3, 3]])
    np.testing.assert_array_equal(line.y, [2, 3])
    np.testing.assert_array_equal(line.high, [3, math.inf])


def test_a_line_ends_where_no_more_than_half_of_its_runs_continue():
    line = line_of([[1, 1, 1], [2, 2, math.nan], [3, math.nan, math.nan]])
    np.testing.assert_array_equal(line.x, [0, 1])
    line = line_of([[1, 1], [2, math.nan]])
    np.testing.assert_array_equal(line.x, [0])


def test_a_line_does_not_go_back(tmp_path):
    """Two runs with a time limit, which ended at iterations of their own."""
    for seed, seconds in enumerate((1.0, 2.0)):
        folder = write_run(
            tmp_path / str(seed), settings(seed=seed), errors=(4.0, 3.0, 2.0, 1.0),
            seconds_per_iteration=seconds,
        )  # fmt: skip
        table = folder / "evaluations.csv"
        table.write_text(table.read_text().replace("\n100,", f"\n{90 + seed},"))
    panels = contents(load_runs([tmp_path])[0]).parts[0].curves.panels
    for lines in panels[0].lines.values():
        assert (np.diff(lines[0].x) > 0).all()
    np.testing.assert_array_equal(panels[0].lines["iterations"][0].x, [25, 50, 75])


def test_a_line_stays_out_where_the_runs_left_are_faster():
    x = np.array([10.0, 20.0, 15.0, 30.0])
    line = band_line("group", STYLE, x, np.array([[4.0, 3.0, 2.0, 1.0]]))
    np.testing.assert_array_equal(line.x, [10, 20, 30])


def test_a_diverged_run_is_infinite_after_its_end(tmp_path):
    write_run(tmp_path / "0", settings(seed=0), errors=(4.0, 3.0, 2.0))
    write_run(tmp_path / "1", settings(seed=1), errors=(4.0,), status="diverged")
    write_run(tmp_path / "2", settings(seed=2), errors=(4.0,), status="target reached")
    runs, _ = load_runs([tmp_path])
    pairs = [(run.evaluations["cases"], run.evaluations["train_error"]) for run in runs]
    x, rows = at_common_iterations(runs, pairs)
    np.testing.assert_array_equal(x, [2500, 5000, 7500])
    np.testing.assert_array_equal(
        rows, [[4, 3, 2], [4, math.inf, math.inf], [4, math.nan, math.nan]]
    )


def test_the_age_of_the_inverse_follows_its_rule(tmp_path):
    write_run(tmp_path / "run", settings(optimizer__t3=5), errors=(1.0,), every=12)
    ((run,), _) = load_runs([tmp_path])
    run.metrics["outcome"][:] = "accepted"
    np.testing.assert_array_equal(inverse_age(run), [0, 0, 0, 1, 0, 1, 2, 3, 4, 0, 1, 2])


def test_after_a_step_that_was_not_made_the_inverse_is_new(tmp_path):
    write_run(tmp_path / "run", settings(optimizer__t3=20), errors=(1.0,), every=12)
    ((run,), _) = load_runs([tmp_path])
    run.metrics["outcome"][:] = "accepted"
    run.metrics["outcome"][6] = "reverted"  # of iteration 7
    np.testing.assert_array_equal(inverse_age(run), [0, 0, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4])


def test_without_an_inverse_there_is_no_age(tmp_path):
    write_run(tmp_path / "run", settings(optimizer__inverse="identity"))
    ((run,), _) = load_runs([tmp_path])
    assert inverse_age(run) is None


def test_an_exact_start_refreshes_it_in_six_iterations(tmp_path):
    chosen = settings(optimizer__t3=5, optimizer__tikhonov="exact_first")
    write_run(tmp_path / "run", chosen, errors=(1.0,), every=12)
    ((run,), _) = load_runs([tmp_path])
    np.testing.assert_array_equal(inverse_age(run), [0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 1, 2])


def test_in_the_background_an_inverse_is_as_old_as_the_statistics_behind_it(tmp_path):
    """That of iteration 5 is used from iteration 7 on, and that of 10 from 12 on."""
    background = {"optimizer__refresh": "background", "optimizer__refresh_delay": 2}
    chosen = settings(optimizer__t3=5, **background)
    write_run(tmp_path / "run", chosen, errors=(1.0,), every=12)
    ((run,), _) = load_runs([tmp_path])
    run.metrics["outcome"][:] = "accepted"
    np.testing.assert_array_equal(inverse_age(run), [0, 0, 0, 1, 2, 3, 2, 3, 4, 5, 6, 2])


def test_the_age_of_the_inverse_is_not_shown_of_a_run_that_started_from_another(tmp_path):
    """Its K-FAC may have begun to count there."""
    write_run(tmp_path / "run", settings(start_from="runs/adam"))
    runs, _ = load_runs([tmp_path])
    inside = contents(runs).parts[0].inside
    assert "lambda" in [panel.name for panel in inside.panels]
    assert "inverse_age" not in [panel.name for panel in inside.panels]


def test_a_zero_error_leaves_the_axis_logarithmic_and_is_left_out(tmp_path):
    for seed, errors in enumerate([(4.0, 2.0, 0.0), (5.0, 0.0, 0.0), (6.0, 3.0, 1.0)]):
        write_run(tmp_path / str(seed), settings(seed=seed), errors=errors)
    panel = contents(load_runs([tmp_path])[0]).parts[0].curves.panels[0]
    (line,) = panel.lines["iterations"]
    assert panel.y_log
    np.testing.assert_array_equal(line.x, [25, 50])
    np.testing.assert_array_equal(line.y, [5, 2])
    np.testing.assert_array_equal(line.low, [4, 2])
    np.testing.assert_array_equal(line.high, [6, 3])


def test_errors_that_are_all_zero_are_drawn_on_a_linear_axis(tmp_path):
    write_run(tmp_path / "run", errors=(0.0, 0.0))
    panel = contents(load_runs([tmp_path])[0]).parts[0].curves.panels[0]
    assert not panel.y_log
    np.testing.assert_array_equal(panel.lines["iterations"][0].y, [0, 0])


def test_values_below_zero_are_drawn_on_a_linear_axis():
    """As of log-likelihoods of real-valued targets: no part of such a curve is left out."""
    line = Line("group", STYLE, np.arange(3.0), np.array([2.0, 0.0, -1.0]))
    assert shown_lines({"iterations": (line,)}) == ({"iterations": (line,)}, False)


def test_the_page_offers_a_logarithmic_axis_only_where_a_panel_has_one(tmp_path):
    write_run(tmp_path / "run", settings("adam"), errors=(0.0, 0.0))
    compared = contents(load_runs([tmp_path])[0])
    panels = [replace(panel, y_log=False) for figure in compared.figures for panel in figure.panels]
    for y_log in (False, True):
        panels[0] = replace(panels[0], y_log=y_log)
        figure = replace(compared.parts[0].curves, panels=tuple(panels))
        part = replace(compared.parts[0], curves=figure, inside=None)
        assert ('data-log="y"' in page(replace(compared, parts=(part,)), [])) == y_log


def test_curves_of_many_evaluations_are_thinned(tmp_path):
    write_run(tmp_path / "run", errors=np.linspace(9, 1, 1000).tolist(), every=1)
    (line,) = contents(load_runs([tmp_path])[0]).parts[0].curves.panels[0].lines["iterations"]
    assert len(line.x) == MAX_POINTS
    assert (line.x[0], line.x[-1]) == (1, 1000)


def test_groups_have_different_looks():
    looks = styles([str(number) for number in range(28)])
    assert len(set(looks.values())) == 28
    assert looks["0"].color == COLORS[0]


@pytest.fixture
def compared(tmp_path):
    for seed in range(2):
        write_run(tmp_path / f"k{seed}", settings(seed=seed), errors=(5, 4, 3 - seed), every=300)
        given = settings("adam", seed=seed, optimizer__arguments__lr=0.1)
        write_run(tmp_path / f"a{seed}", given)
    write_run(tmp_path / "other", settings("adam"))
    runs, _ = load_runs([tmp_path])
    return contents(runs)


def test_every_figure_has_its_panels(compared):
    panels = {figure.name: [each.name for each in figure.panels] for figure in compared.figures}
    assert panels == {
        "curves": ["train_error", "test_error", "train_nll", "test_nll"],
        "searches": ["adam-optimizer.arguments.lr"],
        "inside": [
            "lambda", "gamma", "alpha", "mu", "rho", "batch_size", "rejections", "inverse_age",
        ],
        "time": ["time"],
    }  # fmt: skip


def test_long_runs_are_thinned(compared):
    inside = next(figure for figure in compared.figures if figure.name == "inside")
    line = inside.panels[0].lines["iterations"][0]
    assert len(line.x) == MAX_POINTS
    assert (line.x[0], line.x[-1]) == (1, 900)


def test_plotly_accepts_every_trace(compared):
    for figure in compared.figures:
        for panel in figure_data(figure)["panels"]:
            for traces in panel["traces"].values():
                assert traces
                for trace in traces:
                    del trace["group"]
                plotly.graph_objects.Figure(traces)


def test_matplotlib_draws_every_figure_as_png_and_svg(compared):
    names = []
    for figure in compared.figures:
        for name, data in drawn(figure):
            names.append(name)
            if name.endswith("png"):
                picture = Image.open(io.BytesIO(data)).convert("L")
                assert np.asarray(picture).std() > 5  # something is drawn
            else:
                assert b"<svg" in data
    assert {"curves-iterations.png", "curves-cases.svg", "curves-seconds.png"} <= set(names)
    assert {"inside-iterations.svg", "searches.png", "time.svg"} <= set(names)


def test_an_svg_is_the_same_each_time(compared):
    first, second = (dict(drawn(compared.figures[0])) for _ in range(2))
    assert first["curves-iterations.svg"] == second["curves-iterations.svg"]


def test_tags_in_names_are_text_for_plotly():
    assert plain("<b>bold</b> & <a href='x'>") == "&lt;b&gt;bold&lt;/b&gt; &amp; &lt;a href='x'&gt;"


def test_published_trajectories_lie_under_the_curves(tmp_path):
    write_run(tmp_path / "run")
    runs, _ = load_runs([tmp_path])
    columns = {"iteration": np.array([1.0, 50.0]), "train_error": np.array([20.0, 2.0])}
    reference = Reference("K-FAC, published", "curves", columns, "by someone")
    part = contents(runs, references=[reference]).parts[0]
    training, test = part.curves.panels[:2]
    assert [line.label for line in training.lines["iterations"]] == [
        "kfac_tridiag",
        "K-FAC, published",
    ]
    assert training.lines["iterations"][1].kind == "reference"
    assert len(training.lines["optimizer seconds"]) == 1  # they are of another machine
    assert len(test.lines["iterations"]) == 1
    assert part.references == (reference,)
