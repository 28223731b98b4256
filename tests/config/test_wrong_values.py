"""A wrong value of a setting is refused in one line that says what is allowed."""

import pytest
from hydra.errors import HydraException

from kfac_cli.commands.messages import explain
from kfac_cli.config.compose import load_config
from tests.config.helpers import refusal
from tests.config.wrong.dataset import DATASET
from tests.config.wrong.optimizer import OPTIMIZER
from tests.config.wrong.run import RUN
from tests.config.wrong.schedule import SCHEDULE

ERRORS = [*RUN, *OPTIMIZER, *SCHEDULE, *DATASET]


@pytest.mark.parametrize(("overrides", "line"), ERRORS, ids=[" ".join(e[0])[:60] for e in ERRORS])
def test_a_wrong_value_is_refused_in_one_line_that_says_what_is_allowed(overrides, line):
    assert refusal(*overrides) == line


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("schedule.steps={1:500}", "a list in brackets, [A,B]"),
        ("polyak=[0.9,3]", "a group of settings"),
    ],
)
def test_a_list_where_settings_belong_is_told_from_the_other_way_round(typed, wanted):
    overrides = ["schedule=stepwise", typed]
    with pytest.raises(HydraException) as caught:
        load_config(overrides)
    assert explain(caught.value, overrides) == f"{typed}: must be {wanted}"
