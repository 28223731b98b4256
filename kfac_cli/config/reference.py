"""docs/settings.md: every setting with its default, range, symbol, source and meaning.

`python -m kfac_cli.config.reference` prints it, from the declarations of the settings and conf/.
"""

from collections.abc import Iterable, Iterator, Mapping
from textwrap import fill
from typing import Any

from omegaconf import OmegaConf

from kfac_cli.config.choices import choices
from kfac_cli.config.compose import composed
from kfac_cli.config.names import CHOICES, GROUPS, is_shared
from kfac_cli.config.presets import ONLY_WITH, setting_of, shipped_presets
from kfac_cli.config.resuming import MAY_CHANGE
from kfac_cli.config.schema import RunConfig
from kfac_cli.config.validation import MISSING
from kfac_cli.engine.declaration import allowed, declared_fields, sections, variants
from kfac_cli.engine.option_types import About
from kfac_cli.errors import shown

HEADING = """\
# Settings

Every setting of `kfac-run`: its default, the values it takes, its symbol and the section of Martens
and Grosse (2015) that introduces it. Settings of a section are written with its name:
`kfac-run optimizer.tau1=0.5`. This page is generated from the declarations in the code
(`make docs`).
"""

CHOSEN = """\
`kfac-run` alone is `kfac-run {words}`; what other choices of a group change stands below the \
table of the choice that they are compared with."""

RESUMED = """\
A run that is resumed with `resume=RUN_FOLDER` keeps its settings; only these may be given other \
values:"""


def settings_page() -> str:
    """The page, in Markdown."""
    plain = {n: h for n, h in declared_fields(RunConfig).items() if not sections(h)}
    names = ", ".join(f"`{name}`" for name in MAY_CHANGE)
    chosen = composed((), hydra=True).hydra.runtime.choices
    words = " ".join(f"{group}={chosen[group]}" for group in GROUPS if chosen[group])
    parts = [
        HEADING,
        fill(CHOSEN.format(words=words), width=100, break_on_hyphens=False) + "\n",
        fill(f"{RESUMED} {names}.", width=100) + "\n",
        "## The run\n",
        _table(plain, "", _composed()),
    ]
    for group, hint in declared_fields(RunConfig).items():
        inner = sections(hint)
        if len(inner) == 1:
            parts += [f"## `{group}`\n", f"{_summary(inner[0])}\n"]
            parts += [_table(declared_fields(inner[0]), f"{group}.", _composed())]
            parts += [_presets_table()] if group == "preset" else []
        for word, section in variants(hint) if len(inner) > 1 else ():
            choice = CHOICES.get(word, word)
            parts += [f"## `{group}={choice}`\n", f"{_summary(section)}\n"]
            settings, tag = _composed(f"{group}={choice}"), _tag(section, word)
            parts += [_table(_without(section, tag), f"{group}.", settings)]
            others = _others_table(group, choice, tag)
            parts += [others] if others else []
    return "\n".join(parts)


def _tag(section: type, word: str) -> str:
    """The setting whose only value is the word that chooses a section."""
    return next(n for n, h in declared_fields(section).items() if allowed(h) == word)


def _without(section: type, name: str) -> dict[str, Any]:
    """The settings of a section but for one."""
    return {n: h for n, h in declared_fields(section).items() if n != name}


def _others_table(group: str, choice: str, tag: str) -> str:
    """What the other choices of the same kind, as the setting `tag` has it, change in `choice`."""
    described = _composed(f"{group}={choice}")[group]
    rows = []
    for other in choices(group):
        settings = _composed(f"{group}={other}")[group]
        if other == choice or settings.get(tag) != described[tag]:
            continue
        changed = {n: v for n, v in settings.items() if n != "name" and v != described.get(n)}
        words = (f"`{group}.{n}={_written(v)}`" for n, v in changed.items() if not is_shared(n))
        rows.append(f"| `{group}={other}` | {', '.join(words)} |\n")
    heading = f"| choice | differs from `{group}={choice}` in |\n|---|---|\n"
    return heading + "".join(rows) if rows else ""


def _table(hints: Mapping[str, Any], prefix: str, settings: Mapping[str, Any]) -> str:
    rows = [
        "| setting | default | values | symbol | section | meaning |",
        "|---|---|---|---|---|---|",
    ]
    names = {f"{prefix}{name}": hint for name, hint in hints.items()}
    rows += [_row(name, hint, settings) for name, hint in names.items() if not is_shared(name)]
    return "\n".join(rows) + "\n"


def _presets_table() -> str:
    """What each preset in conf/ gives to the settings that are not typed."""
    presets = shipped_presets()
    rows = [f"| setting | {' | '.join(f'`preset={name}`' for name in presets)} |"]
    rows += ["|---" * (len(presets) + 1) + "|"]
    for entry in [entry for entry in presets["default"] if entry != "name"]:
        condition = f" with `{ONLY_WITH[entry]}`" if entry in ONLY_WITH else ""
        rows.append(_preset_row(f"`{setting_of(entry)}`{condition}", presets, entry))
    for dataset in dict.fromkeys(d for p in presets.values() for d in p.get("l2_of_dataset", ())):
        words = f"dataset={dataset}"
        rows.append(_preset_row(f"`l2` with `{words}`", presets, "l2", words))
    return "\n".join(rows) + "\n"


def _preset_row(setting: str, presets: Iterable[str], entry: str, *overrides: str) -> str:
    values = (_composed(f"preset={name}", *overrides)["preset"][entry] for name in presets)
    return f"| {setting} | {' | '.join(f'`{shown(value)}`' for value in values)} |"


def _row(name: str, hint: Any, settings: Mapping[str, Any]) -> str:
    value: Any = settings
    for part in name.split("."):
        value = value[part]
    default = "to be given" if value == MISSING else f"`{_written(value)}`"
    about = next(_abouts(hint), About(""))
    cells = (f"`{name}`", default, allowed(hint), about.symbol, about.section, about.meaning)
    return "| " + " | ".join(cells) + " |"


def _written(value: Any) -> str:
    """A value in full, as one types it."""
    if isinstance(value, list):
        return "[" + ",".join(_written(item) for item in value) + "]"
    return shown(value)


def _abouts(hint: Any) -> Iterator[About]:
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, About):
            yield mark


def _summary(section: type) -> str:
    """The first line of the documentation of a class."""
    return (section.__doc__ or "").partition("\n")[0]


def _composed(*overrides: str) -> dict[str, Any]:
    """The settings of a command line, as conf/ has them."""
    settings = OmegaConf.to_container(composed(overrides), resolve=True)
    assert isinstance(settings, dict)
    return {str(name): value for name, value in settings.items()}


if __name__ == "__main__":
    print(settings_page(), end="")
