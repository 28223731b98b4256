"""config.yaml: every setting of the run in a folder, resolved."""

import io
from copy import deepcopy
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from kfac_cli.errors import UserError, shown
from kfac_cli.files import replace_text

CONFIG_FILE = "config.yaml"
MAX_SETTINGS_LENGTH = 200_000
MAX_SETTINGS_DEPTH = 8


def write_settings(settings: DictConfig, folder: Path) -> None:
    """Write every setting, resolved, into the folder, atomically."""
    replace_text(folder / CONFIG_FILE, settings_text(settings))


def settings_text(settings: DictConfig) -> str:
    """The text of the file: every setting, resolved, and of the preset its name."""
    plain = deepcopy(settings)
    OmegaConf.resolve(plain)
    plain.preset = {"name": plain.preset.name}
    return OmegaConf.to_yaml(plain)


def read_settings(path: Path, interpolations: bool = False) -> DictConfig:
    """The settings in a file that need not be trusted: values only, as `write_settings` wrote.

    Raises UserError for YAML aliases, which can expand beyond memory, deep nesting, which can take
    hours to parse, and, unless they are allowed, OmegaConf's interpolations, which can read the
    environment when they are resolved.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > MAX_SETTINGS_LENGTH:
            raise ValueError(f"it has {len(text)} characters")
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_SETTINGS_DEPTH:
                raise ValueError("it is nested too deeply")
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has an alias (*)")
        settings = OmegaConf.load(io.StringIO(text))
        if not interpolations and "${" in str(OmegaConf.to_container(settings)):
            raise ValueError("it has an interpolation (${})")
    except OSError:
        raise
    except Exception as error:  # YAML and OmegaConf raise many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read: {shown(reason)}") from error
    if not isinstance(settings, DictConfig):
        raise UserError(f"{path}: does not hold the settings of a run")
    return settings
