"""What the tests of the settings share: quick composition, a refusal, and two networks."""

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser

from kfac_cli.config.compose import composed
from kfac_cli.config.names import GROUPS
from kfac_cli.config.validation import validate
from kfac_cli.errors import UserError

ARRAYS = [
    "dataset=arrays",
    "dataset.layer_sizes=[6,3,6]",
    "dataset.activations=[linear]",
    "dataset.output=gaussian",
]

CLASSES = [
    "dataset=arrays",
    "dataset.layer_sizes=[6,3,4]",
    "dataset.activations=[relu]",
    "dataset.output=categorical",
    "dataset.file=a.npz",
]

WHOLE = "must be a whole number from"


def with_values(*overrides):
    """The settings of a command line, in Hydra's two steps: choices are composed, then values set.

    The same choices are composed once (tests/conftest.py), so that a hundred values take a third of
    the time that composing each of their command lines takes. Hydra has no public function that
    sets values alone.
    """
    chosen = [word for word in overrides if word.lstrip("+~").partition("=")[0] in GROUPS]
    values = [word for word in overrides if word not in chosen]
    found = composed(chosen)
    parsed = OverridesParser.create().parse_overrides(values)
    ConfigLoaderImpl._apply_overrides_to_config(parsed, found)
    return found


def refusal(*overrides):
    with pytest.raises(UserError) as caught:
        validate(with_values(*overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)
