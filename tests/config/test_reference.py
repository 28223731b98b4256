"""Every setting says what it means, and docs/settings.md says it of all."""

from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import pytest

from kfac_cli.config.reference import settings_page
from kfac_cli.config.schema import RunConfig
from kfac_cli.engine.declaration import declared_fields, sections
from kfac_cli.engine.option_types import About


def declarations(kind=RunConfig, prefix=""):
    for name, hint in declared_fields(kind).items():
        for section in sections(hint):
            yield from declarations(section, f"{section.__name__}.")
        if not sections(hint):
            yield pytest.param(hint, id=f"{prefix}{name}")


@pytest.mark.parametrize("hint", list(declarations()))
def test_every_setting_says_what_it_means(hint):
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(base) is Literal and len(get_args(base)) == 1:
        return  # the word that chooses a section
    [about] = [mark for mark in get_args(hint) if isinstance(mark, About)]
    assert about.meaning
    assert not about.meaning.endswith(".")


def test_docs_settings_md_is_up_to_date():
    """make docs writes it."""
    page = Path(__file__).parents[2] / "docs/settings.md"
    assert page.read_text(encoding="utf-8") == settings_page()
