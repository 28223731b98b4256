"""The folder of a study, and what study.json in it says that it holds."""

import json
from typing import Any

from kfac_cli.errors import UserError, shown
from kfac_cli.files import replace_text, shown_folder
from kfac_cli.paper.arguments import Arguments
from kfac_cli.paper.findings import FINDINGS_FILE
from kfac_cli.paper.option_values import SECONDS, parts

PLAN_FILE = "study.json"
FORMAT = 1

CHANGES_NOTHING = ("jobs",)
"""The options that change no result."""


def make_folder(arguments: Arguments) -> None:
    """Make the folder unless it exists; raises UserError if it is a file."""
    if arguments.folder.exists() and not arguments.folder.is_dir():
        raise UserError(f"output={_shown(arguments)}: is not a folder")
    arguments.folder.mkdir(parents=True, exist_ok=True)


def open_folder(arguments: Arguments) -> None:
    """Make the folder the study's: record what it is to hold, or check what it holds.

    A study may be extended, by more of what its options list or by more seconds; it has then not
    ended. Raises UserError if the folder holds something else, or another scale, options or
    settings of the study.
    """
    folder = arguments.folder
    plan, path = _plan(arguments), folder / PLAN_FILE
    others = sorted(found.name for found in folder.iterdir() if found.name != PLAN_FILE)
    if not path.exists() and others:
        raise UserError(
            f"output={_shown(arguments)}: holds no study, but {shown(others[0])}; choose a new "
            "folder"
        )
    if not others:  # nothing has been done in it
        replace_text(path, json.dumps(plan, indent=2, ensure_ascii=False) + "\n")
        return
    recorded = _recorded(arguments)
    if plan != recorded and _is_extended(plan, recorded):
        (arguments.folder / FINDINGS_FILE).unlink(missing_ok=True)
        replace_text(path, json.dumps(plan, indent=2, ensure_ascii=False) + "\n")
        return
    for name, value in plan.items():
        if recorded.get(name) != value:
            raise UserError(
                f"output={_shown(arguments)}: holds a study with {_entry(name, recorded)}, not "
                f"{_entry(name, plan)}; give the same or choose another output="
            )


def _plan(arguments: Arguments) -> dict[str, Any]:
    options = {k: v for k, v in arguments.options.items() if k not in CHANGES_NOTHING}
    return {
        "format": FORMAT,
        "study": arguments.name,
        "scale": arguments.scale.value,
        "options": dict(sorted(options.items())),
        "settings": list(arguments.settings),
    }


def _is_extended(plan: dict[str, Any], recorded: dict[str, Any]) -> bool:
    """Whether the plan is the recorded one but for options that ask for more."""
    new, old = plan["options"], recorded.get("options")
    if {**plan, "options": None} != {**recorded, "options": None} or not isinstance(old, dict):
        return False
    return new.keys() == old.keys() and all(_includes(name, new[name], old[name]) for name in new)


def _includes(option: str, new: str, old: str) -> bool:
    if option != SECONDS:
        return set(parts(new)) >= set(parts(old))
    try:
        return float(new) >= float(old)
    except ValueError:  # refused later, by the study
        return False


def _recorded(arguments: Arguments) -> dict[str, Any]:
    path = arguments.folder / PLAN_FILE
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        recorded = None
    if not isinstance(recorded, dict):
        raise UserError(f"{shown_folder(path)}: is damaged; choose another output=")
    return recorded


def _entry(name: str, plan: dict[str, Any]) -> str:
    value = plan.get(name)
    if isinstance(value, dict):
        value = [f"{option}={text}" for option, text in value.items()]
    if isinstance(value, list):
        return f"the {name} {' '.join(map(shown, value))}" if value else f"no {name}"
    return f"{name}={shown(value)}"


def _shown(arguments: Arguments) -> str:
    return shown(str(shown_folder(arguments.folder)))
