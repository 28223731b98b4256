"""The group `preset`: the values of several settings at once, for those that are not typed.

The settings in question read `${preset.NAME}` in conf/, so a preset goes with every optimizer and a
typed setting wins. A run records the preset's name; the values are those of the settings.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import DictConfig, OmegaConf

from kfac_cli.config.choices import CONFIG_MODULE
from kfac_cli.errors import UserError, shown

SETTINGS = {
    "l2": "l2",
    "l2_of_dataset": "l2",
    "polyak_start": "polyak.start",
    "t3_of_kfac_diag": "optimizer.t3",
}
"""The setting that an entry is for, where that is not the one of `optimizer` with its name."""

ONLY_WITH = {"t3_of_kfac_diag": "optimizer=kfac_diag"}
"""The choice with which alone an entry has an effect, where there is one."""


@cache
def shipped_presets() -> dict[str, dict[str, Any]]:
    """The presets in conf/, by name, with their interpolations; the default one comes first."""
    folder = files(CONFIG_MODULE).joinpath("preset")
    texts = (f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name.endswith(".yaml"))
    presets: list[Any] = [OmegaConf.to_container(OmegaConf.create(text)) for text in texts]
    ordered = sorted(presets, key=lambda preset: (preset["name"] != "default", preset["name"]))
    return {preset["name"]: preset for preset in ordered}


def setting_of(entry: str) -> str:
    """The setting that an entry of a preset is for."""
    return SETTINGS.get(entry, f"optimizer.{entry}")


def check_preset(settings: DictConfig) -> None:
    """Raise UserError if something in a shipped preset was typed over.

    Of the preset, settings have either the name alone, or all entries.
    """
    tree = OmegaConf.to_container(settings)
    preset = tree.get("preset") if isinstance(tree, Mapping) else None
    if not isinstance(preset, Mapping) or len(preset) < 2:
        return
    shipped, name = shipped_presets(), str(preset.get("name"))
    if any({**values, "name": name} == preset != values for values in shipped.values()):
        raise UserError(f"preset.name={shown(name)}: cannot be set; choose preset=NAME instead")
    for entry, value in preset.items() if name in shipped else ():
        if entry not in shipped[name]:
            raise UserError(f"preset.{entry}={shown(value)}: no such setting")
        if value != shipped[name][entry]:
            raise UserError(
                f"preset.{entry}={shown(value)}: cannot be set; set {setting_of(entry)} instead"
            )
