"""Fixtures of the data tests: the real files, if available, and the message of an error."""

import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest

from kfac_cli.errors import UserError


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data files; without one, the test is skipped."""
    folder = os.environ.get("KFAC_DATA_DIR")
    if not folder:
        pytest.skip("needs the real data files: set KFAC_DATA_DIR to their folder")
    return Path(folder)


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Calls a function that must raise UserError, and returns its message: one line."""

    def call(function: Callable[..., object], *arguments: object) -> str:
        with pytest.raises(UserError) as caught:
            function(*arguments)
        message = str(caught.value)
        assert message
        assert "\n" not in message
        return message

    return call


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without network."""

    def urlopen(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between a loader's retries
