"""What a study is: its space, its options and its folder, as study.json records them."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kfac_cli.config.schema import RunConfig
from kfac_cli.errors import UserError, shown
from kfac_cli.files import replace_text, shown_folder
from kfac_cli.tune.locks import locked
from kfac_cli.tune.options import IDENTITY, Objective, TuneOptions, option_word
from kfac_cli.tune.samplers import default_pruner, number_of_trials
from kfac_cli.tune.settings import FirstPoint, check_space
from kfac_cli.tune.space import Space, read_space
from kfac_cli.tune.storage import HIDDEN, absolute, open_storage, without_password

PLAN_FILE = "study.json"
TRIALS = "trials"
FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """A study; `first` is the first point of its space.

    `identity` is a random word that ties the storage to the folder.
    """

    folder: Path
    space: Space
    options: TuneOptions
    first: FirstPoint
    identity: str

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        return self.options.objective or default_objective(self.first.config)

    @property
    def trials(self) -> int:
        """How many trials the study has in the end."""
        return number_of_trials(self.options, self.space.dimensions)

    def trial_folder(self, number: int) -> Path:
        """The folder of a trial's run."""
        return self.folder / TRIALS / str(number)


def default_objective(config: RunConfig) -> Objective:
    """What is minimised by a study that names no objective."""
    return "error" if config.target_error is None else "seconds"


def new_plan(folder: Path, words: Sequence[str], options: TuneOptions) -> Plan:
    """The plan of a new study, checked; nothing is written.

    Raises UserError for settings, ranges or options that are wrong or do not go together.
    """
    space = read_space(words, options.search)
    if options.storage is not None:
        options = replace(options, storage=absolute(options.storage))
    plan = Plan(folder, space, options, check_space(space), secrets.token_hex(8))
    plan = replace(plan, options=_with_defaults(options, plan))
    if options.objective not in (None, "error") and plan.first.config.target_error is None:
        raise UserError(
            f"objective={options.objective}: needs target_error=E, up to which it is counted"
        )
    number_of_trials(options, space.dimensions)
    return plan


def start_or_join(
    folder: Path, words: Sequence[str], options: TuneOptions, given: dict[str, Any]
) -> Plan:
    """The plan of the study in a folder, or a new one, which is recorded there.

    `given` has the options on the command line. To join a study, either all of its settings and
    options are given or none; only `trials` may differ. Raises UserError for others, and for a
    folder that holds something else.
    """
    new = None
    if not is_study(folder):
        _refuse_foreign(folder)
        new = new_plan(folder, words, options)
        if new.options.storage is not None:
            open_storage(new.options.storage, folder)
        (folder / TRIALS).mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if not is_study(folder):
            assert new is not None
            _record(new)
            return new
        recorded = _recorded(folder)
        plan = _joined(recorded, words, options, given)
        if plan.options.trials != recorded.options.trials:
            _record(plan)
        return plan


def is_study(folder: Path) -> bool:
    """Whether a study is recorded in the folder."""
    return (folder / PLAN_FILE).is_file()


def _refuse_foreign(folder: Path) -> None:
    name = shown(str(shown_folder(folder)))
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output={name}: is not a folder")
    others = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    # Another process may be recording its plan now, or have done so since there was none.
    foreign = [other for other in others if other != TRIALS and not other.startswith(PLAN_FILE)]
    if foreign and not is_study(folder):
        raise UserError(
            f"output={name}: holds no study, but {shown(foreign[0])}; choose a new folder"
        )


def _record(plan: Plan) -> None:
    options = {name: getattr(plan.options, name) for name in (*IDENTITY, TRIALS, "storage")}
    if plan.options.storage is not None:
        options["storage"] = without_password(plan.options.storage)
    contents = {
        "format": FORMAT,
        "identity": plan.identity,
        "settings": list(plan.space.fixed),
        "ranges": [d.word for d in plan.space.dimensions],
        "options": options,
    }
    replace_text(plan.folder / PLAN_FILE, json.dumps(contents, indent=2, ensure_ascii=False) + "\n")


def _recorded(folder: Path) -> Plan:
    path = folder / PLAN_FILE
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
        if contents["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        space = read_space([*contents["settings"], *contents["ranges"]])
        options = TuneOptions(**contents["options"])
        return Plan(folder, space, options, check_space(space), str(contents["identity"]))
    except OSError:
        raise
    except UserError as error:
        raise UserError(f"{shown_folder(path)}: {error}") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{shown_folder(path)}: cannot be read: {shown(reason)}") from error


def _joined(plan: Plan, words: Sequence[str], options: TuneOptions, given: dict[str, Any]) -> Plan:
    """The plan with the number of trials and the storage's password that are given."""
    where = shown_folder(plan.folder)
    options = _with_defaults(options, plan)
    if words or options.search is not None:
        own, theirs = read_space(words, options.search).words, plan.space.words
        if sorted(own) != sorted(theirs):
            different = [w for w in own if w not in theirs] or [w for w in theirs if w not in own]
            whose = "is not" if different[0] in own else "is, but not typed,"
            raise UserError(
                f"{shown(different[0])}: {whose} in the study in {where}; give the same settings "
                f"or only output={where}, or choose a new folder"
            )
    recorded = replace(plan.options, objective=plan.objective)
    for name in IDENTITY:
        value = getattr(recorded, name)
        if name in given and getattr(options, name) != value:
            raise UserError(
                f"{option_word(name, getattr(options, name))}: the study in {where} has "
                f"{option_word(name, value)}; choose a new folder"
            )
    joined = replace(plan.options, storage=_storage(plan.options.storage, options.storage, where))
    if options.trials is not None:
        joined = replace(joined, trials=options.trials)
        number_of_trials(joined, plan.space.dimensions)
    return replace(plan, options=joined)


def _with_defaults(options: TuneOptions, plan: Plan) -> TuneOptions:
    """The options with the objective and the pruner of the study where none is chosen."""
    config = plan.first.config
    return replace(
        options,
        objective=options.objective or default_objective(config),
        pruner=options.pruner or default_pruner(plan.space.dimensions, plan.objective, config),
    )


def _storage(recorded: str | None, given: str | None, where: Path) -> str | None:
    """The URL of the storage, which is given again where it has a password."""
    if given is not None:
        given = absolute(given)
        if recorded is None or without_password(given) != recorded:
            raise UserError(
                f"storage={shown(without_password(given))}: the study in {where} is in "
                f"{shown(recorded or 'its folder')}; choose a new folder"
            )
        return given
    if recorded is not None and HIDDEN in recorded:
        raise UserError(
            f"output={where}: its study is in a database with a password: give storage=URL"
        )
    return recorded
