"""Any value of any setting is refused in one line, or taken; what is taken reads back as it is."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from kfac_cli.config.compose import load_config
from kfac_cli.config.names import setting_names
from kfac_cli.config.schema import RunConfig, flat_settings, settings_tree
from kfac_cli.config.validation import validate
from kfac_cli.errors import UserError
from tests.config.helpers import CLASSES


def composed(*overrides):
    """The untyped, resolved configuration."""
    config = load_config(overrides)
    return OmegaConf.create(settings_tree(config))


@pytest.fixture(scope="module")
def baseline():
    return [
        composed(),
        composed("dataset=mnist", "optimizer=nesterov_sgd", "schedule=fixed"),
        composed(*CLASSES, "optimizer=heskes", "schedule=stepwise"),
    ]


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(plain, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(setting_names()), value=anything, which=st.integers(0, 2))
def test_any_value_for_any_setting_is_taken_or_refused_in_one_line(baseline, name, value, which):
    if isinstance(value, str) and ("${" in value or value == "???"):
        return  # OmegaConf's own notation: test_wrong_values.py
    raw = copy.deepcopy(baseline[which])
    OmegaConf.update(raw, name, value, force_add=True)
    try:
        assert isinstance(validate(raw), RunConfig)
    except UserError as error:
        line = str(error)
        assert line.isprintable()
        assert 0 < len(line) < 300


def test_a_config_reads_back_as_itself(baseline):
    for raw in baseline:
        assert OmegaConf.create(settings_tree(validate(raw))) == raw


def test_flat_settings_are_what_json_gives_back(baseline):
    for raw in baseline:
        flat = flat_settings(validate(raw))
        assert json.loads(json.dumps(flat)) == flat
