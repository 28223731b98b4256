"""Settings that do not depend on where a command was typed: paths, and what files decide."""

from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from kfac_cli.config.schema import RunConfig, flat_settings
from kfac_cli.config.validation import validate
from kfac_cli.engine.declaration import declared_fields, has_mark, sections
from kfac_cli.engine.option_types import FILE_PATH
from kfac_cli.errors import UserError, shown
from kfac_cli.files import typed_path


def path_settings(kind: type = RunConfig, prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings that are paths, those of every dataset included."""
    for name, hint in declared_fields(kind).items():
        for section in sections(hint):
            yield from path_settings(section, f"{prefix}{name}.")
        if has_mark(hint, FILE_PATH):
            yield f"{prefix}{name}"


def absolute_path(name: str, text: str) -> str:
    """The absolute path for the value of a setting.

    Raises UserError for an unknown user's ~, and for a path that a file of settings cannot hold.
    """
    try:
        path = str(typed_path(text))
    except RuntimeError as error:
        raise UserError(f"{name}={shown(text)}: {error}; give a path") from error
    if "${" in path:
        reason = "has ${ in its path, which Hydra replaces by a setting; rename it"
        raise UserError(f"{name}={shown(text)}: {reason}")
    return path


def make_paths_absolute(settings: DictConfig) -> None:
    """Make relative paths absolute in place, from the current folder.

    Raises UserError for the first setting that is wrong, as it was typed.
    """
    before = flat_settings(validate(settings))
    for name in set(path_settings()):
        if before.get(name) is not None:
            OmegaConf.update(settings, name, absolute_path(name, before[name]))


def complete(settings: DictConfig) -> RunConfig:
    """Check the settings and complete them in place; return them typed.

    Relative paths become absolute, from the current folder, and a null for which the checked
    settings have a value gets that value. Raises UserError for the first setting that is wrong, as
    it was typed.
    """
    make_paths_absolute(settings)
    config = validate(settings)
    for name, value in flat_settings(config).items():
        if value is not None and OmegaConf.select(settings, name, default=value) is None:
            OmegaConf.update(settings, name, value)
    return config
