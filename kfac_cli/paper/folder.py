"""The folder of a study, and what study.json in it says that it holds."""

import json
from collections.abc import Sequence
from typing import Any

from kfac_cli.errors import UserError, shown
from kfac_cli.files import replace_text, shown_folder
from kfac_cli.paper.arguments import Arguments
from kfac_cli.paper.findings import FINDINGS_FILE, write_findings
from kfac_cli.paper.option_values import includes
from kfac_cli.paper.study import Finding

PLAN_FILE = "study.json"
FORMAT = 1

CHANGES_NOTHING = ("jobs",)
"""The options that change no result."""


def make_folder(arguments: Arguments) -> None:
    """Make the folder unless it exists; raises UserError if it is a file."""
    if arguments.folder.exists() and not arguments.folder.is_dir():
        raise UserError(f"output={_shown(arguments)}: is not a folder")
    arguments.folder.mkdir(parents=True, exist_ok=True)


def open_folder(arguments: Arguments) -> bool:
    """Make the folder the study's, or check what it holds; whether the study has ended.

    A study may be extended, by more of what its options list or by more seconds; it has then not
    ended, and the folder remains that of the smaller study until `end_study`: a command that is
    refused or interrupted loses nothing. Raises UserError if the folder holds something else, or
    another scale, options or settings of the study.
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
        _write_plan(arguments)
        return False
    recorded = _recorded(arguments)
    if _is_extended(plan, recorded):
        return False
    for name, value in plan.items():
        if recorded.get(name) != value:
            raise UserError(
                f"output={_shown(arguments)}: holds a study with {_entry(name, recorded)}, not "
                f"{_entry(name, plan)}; give the same or choose another output="
            )
    return (folder / FINDINGS_FILE).exists()


def end_study(arguments: Arguments, findings: Sequence[Finding], command: str) -> None:
    """Record that the folder holds the study, with these findings."""
    if _recorded(arguments) != _plan(arguments):
        (arguments.folder / FINDINGS_FILE).unlink(missing_ok=True)  # of the smaller study
        _write_plan(arguments)
    write_findings(arguments.folder, findings, arguments, command)


def _write_plan(arguments: Arguments) -> None:
    text = json.dumps(_plan(arguments), indent=2, ensure_ascii=False) + "\n"
    replace_text(arguments.folder / PLAN_FILE, text)


def _plan(arguments: Arguments) -> dict[str, Any]:
    options = {k: v for k, v in arguments.options.items() if k not in CHANGES_NOTHING}
    return {
        "format": FORMAT,
        "study": arguments.name,
        "scale": arguments.scale.value,
        "options": dict(sorted(options.items())),
        "settings": _last_of_each(arguments.settings),
    }


def _last_of_each(settings: Sequence[str]) -> list[str]:
    """Of several values for a setting the last one; in the order of names, which means nothing."""
    return [word for _, word in sorted({word.partition("=")[0]: word for word in settings}.items())]


def _is_extended(plan: dict[str, Any], recorded: dict[str, Any]) -> bool:
    """Whether the plan is the recorded one but for options that ask for more."""
    new, old = plan["options"], recorded["options"]
    if plan == recorded or {**plan, "options": None} != {**recorded, "options": None}:
        return False
    return new.keys() == old.keys() and all(includes(name, new[name], old[name]) for name in new)


def _recorded(arguments: Arguments) -> dict[str, Any]:
    """What study.json says; options that it leaves out have their defaults."""
    path = arguments.folder / PLAN_FILE
    defaults = arguments.entry.defaults.get(arguments.scale, {})
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        options = {**defaults, **{k: str(v) for k, v in recorded["options"].items()}}
        settings = _last_of_each(recorded["settings"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{shown_folder(path)}: is damaged; choose another output=") from None
    return {**recorded, "options": dict(sorted(options.items())), "settings": settings}


def _entry(name: str, plan: dict[str, Any]) -> str:
    value = plan.get(name)
    if isinstance(value, dict):
        value = [f"{option}={text}" for option, text in value.items()]
    if isinstance(value, list):
        return f"the {name} {' '.join(map(shown, value))}" if value else f"no {name}"
    return f"{name}={shown(value)}"


def _shown(arguments: Arguments) -> str:
    return shown(str(shown_folder(arguments.folder)))
