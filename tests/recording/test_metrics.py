"""The one table of metrics, and the page that is generated from it."""

from dataclasses import fields
from pathlib import Path

import pytest

from kfac_cli.engine.record import StepRecord
from kfac_cli.recording.metrics import (
    EVALUATION_METRICS,
    ITERATION_METRICS,
    WORDS,
    on_panels,
    on_terminal,
    step_values,
)
from kfac_cli.recording.reference import metrics_page

TABLES = [ITERATION_METRICS, EVALUATION_METRICS]


@pytest.mark.parametrize("metrics", TABLES, ids=["iteration", "evaluation"])
def test_columns_and_tags_are_unique_and_the_iteration_comes_first(metrics):
    columns = [metric.column for metric in metrics]
    tags = [metric.tag for metric in metrics if metric.tag]
    assert columns[0] == "iteration"
    assert len(set(columns)) == len(columns)
    assert len(set(tags)) == len(tags)


def test_a_metric_of_both_tables_is_one_entry():
    known = {metric.column: metric for metric in ITERATION_METRICS}
    shared = [metric for metric in EVALUATION_METRICS if metric.column in known]
    assert [metric.column for metric in shared] == [
        "iteration",
        "cases",
        "seconds",
        "optimizer_seconds",
    ]
    assert all(known[metric.column] is metric for metric in shared)


def test_every_field_of_a_step_record_is_recorded_once():
    recorded = sorted(metric.field for metric in ITERATION_METRICS if metric.field)
    assert recorded == sorted(field.name for field in fields(StepRecord))


def test_the_values_of_a_step_are_in_the_columns_that_name_its_fields():
    record = StepRecord(2.0, 1.0, damping=0.5, model_change=-0.25, outcome="reverted")
    values = step_values(record)
    assert (values["objective"], values["error"], values["alpha"]) == (2.0, 1.0, None)
    assert (values["lambda"], values["model_change"]) == (0.5, -0.25)
    assert values["outcome"] == "reverted"


def test_the_words_of_the_outcome_begin_with_accepted_which_tensorboard_shows_as_zero():
    assert WORDS == {"outcome": ("accepted", "rejected", "reverted")}


@pytest.mark.parametrize("metrics", TABLES, ids=["iteration", "evaluation"])
def test_every_metric_has_a_meaning_that_fits_a_cell_of_the_page(metrics):
    for metric in metrics:
        assert metric.meaning
        assert "|" not in metric.meaning + metric.symbol


@pytest.mark.parametrize("metrics", TABLES, ids=["iteration", "evaluation"])
def test_no_two_metrics_have_the_same_place_on_the_terminal(metrics):
    places = [field.place for _, field in on_terminal(metrics)]
    assert places == list(range(1, len(places) + 1))


def test_the_panels_of_the_picture_are_in_their_order():
    titles = [metric.title for metric in on_panels()]
    assert titles == ["damping λ", "damping γ", "mini-batch size", "momentum μ", "step size α"]


def test_docs_metrics_md_is_up_to_date():
    """`make docs` writes it."""
    page = Path(__file__).parents[2] / "docs/metrics.md"
    assert page.read_text(encoding="utf-8") == metrics_page()
