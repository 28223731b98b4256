"""experiment/best.yaml: the settings of the best trial as an experiment of kfac-run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from kfac_cli.config.compose import composed
from kfac_cli.files import replace_text

EXPERIMENT = "experiment"
NAME = "best"
CHOSEN = ("dataset", "optimizer", "schedule")


def write_best(folder: Path, overrides: Sequence[str], heading: str) -> Path:
    """Write the settings of `kfac-run *overrides` as experiment/best.yaml; return its path.

    `kfac-run --config-dir FOLDER experiment=best` then has these settings. A file with the same
    heading stays, since composing the settings takes as long as many a run.
    """
    path = folder / EXPERIMENT / f"{NAME}.yaml"
    comment = f"# {heading}"
    if path.is_file() and comment in path.read_text(encoding="utf-8").splitlines():
        return path
    settings = composed(overrides, hydra=True)
    choices = {group: settings.hydra.runtime.choices[group] for group in CHOSEN}
    plain = composed([f"{group}={choice}" for group, choice in choices.items()])
    with open_dict(settings):
        del settings["hydra"]
    different = _different(_container(settings), _container(plain))
    lines = [
        "# @package _global_",
        comment,
        "defaults:",
        *(f"  - override /{group}: {choice}" for group, choice in choices.items()),
        "",
    ]
    text = "\n".join(lines) + (OmegaConf.to_yaml(OmegaConf.create(different)) if different else "")
    path.parent.mkdir(exist_ok=True)
    replace_text(path, text)
    return path


def _different(settings: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not those of `plain`, nested as they are."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        before = plain.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := _different(value, before):
                found[name] = inner
        elif name not in plain or value != before:
            found[name] = value
    return found


def _container(settings: DictConfig) -> dict[str, Any]:
    container = OmegaConf.to_container(settings, resolve=True)
    assert isinstance(container, dict)
    return {str(name): value for name, value in container.items()}
