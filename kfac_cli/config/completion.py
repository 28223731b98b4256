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


def complete(settings: DictConfig) -> RunConfig:
    """Check the settings and complete them in place; return them typed.

    Relative paths become absolute, from the current folder, and a null for which the checked
    settings have a value gets that value. Raises UserError for the first setting that is wrong, as
    it was typed.
    """
    before = flat_settings(validate(settings))
    for name in set(path_settings()):
        if before.get(name) is not None:
            try:
                OmegaConf.update(settings, name, str(typed_path(before[name])))
            except RuntimeError as error:
                raise UserError(f"{name}={shown(before[name])}: {error}; give a path") from error
    config = validate(settings)
    for name, value in flat_settings(config).items():
        if value is not None and OmegaConf.select(settings, name, default=value) is None:
            OmegaConf.update(settings, name, value)
    return config
