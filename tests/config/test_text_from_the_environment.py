"""Text where a setting needs another type: the refusal says that it is text, and the way out."""

import pytest

from kfac_cli.config.compose import load_config
from kfac_cli.errors import UserError
from tests.config.helpers import refusal

TEXT_FROM_THE_ENVIRONMENT = [
    ("seed={}", "7", "seed=7: must be a whole number"),
    ("l2={}", "1e-5", "l2=1e-5: must be a number"),
    ("tensorboard={}", "true", "tensorboard=true: must be true or false"),
    ("max_seconds={}", "null", "max_seconds=null: must be null or a number"),
    ("optimizer.lambda_initial={}", "150", "optimizer.lambda_initial=150: must be auto or a n"),
    ("dataset.layer_sizes=[784,{},784]", "30", "dataset.layer_sizes[1]=30: must be a whole nu"),
    ("dataset.layer_sizes={}", "[784,784]", "dataset.layer_sizes=[784,784]: must be a list"),
]


@pytest.mark.parametrize(("setting", "value", "line"), TEXT_FROM_THE_ENVIRONMENT)
def test_a_value_from_the_environment_is_said_to_be_text(monkeypatch, setting, value, line):
    monkeypatch.setenv("KFAC_VALUE", value)
    variable = "${oc.env:KFAC_VALUE}"
    decoded = f'"${{oc.decode:{variable}}}"'
    said = refusal(setting.format(variable))
    assert said.startswith(line)
    assert said.endswith(
        f'; "{value}" is text here: write {decoded}, with its quotes, instead of {variable}'
    )
    try:
        load_config([setting.format(decoded)])
    except UserError as error:  # the activations no longer fit the layers
        assert str(error).startswith("dataset.activations=")


def test_quoted_text_is_said_to_be_text():
    assert '; "7" is text here: write it without quotes' in refusal("seed='7'")


@pytest.mark.parametrize(
    ("setting", "value"), [("seed={}", "seven"), ("device={}", "7"), ("tags=[{}]", "a b")]
)
def test_advice_on_text_is_only_given_where_it_helps(monkeypatch, setting, value):
    monkeypatch.setenv("KFAC_VALUE", value)
    assert "is text here" not in refusal(setting.format("${oc.env:KFAC_VALUE}"))
