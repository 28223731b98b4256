"""Measurements on the disk, so that an interrupted study continues where it was.

Seconds of another machine are not those of this one: `environment_of` is kept beside them.
"""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from kfac_cli.errors import UserError
from kfac_cli.files import replace_bytes, shown_folder
from kfac_cli.paper.cost.measure import SizeTimes
from kfac_cli.recording.environment import environment

FOLDER = "measurements"

PLATFORM = "platform"
"""The entry of a run's environment that may change, by an update of the system."""


def environment_of(device: object) -> dict[str, str | int | None]:
    """What seconds depend on: device, processor or GPU, threads and versions."""
    known = {name: value for name, value in environment(device).items() if name != PLATFORM}
    return TypeAdapter(dict[str, str | int | None]).validate_python(known)


def path_of(folder: Path, cases: int) -> Path:
    """The file for a mini-batch size in the folder of the study."""
    return folder / FOLDER / f"{cases}.json"


def write_times(folder: Path, times: SizeTimes) -> None:
    """Write what was measured with one mini-batch size."""
    path = path_of(folder, times.cases)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(path, TypeAdapter(SizeTimes).dump_json(times, indent=2) + b"\n")


def read_times(folder: Path, cases: int) -> SizeTimes | None:
    """What was measured with a mini-batch size, None if nothing was.

    Raises UserError if the file is damaged.
    """
    path = path_of(folder, cases)
    if not path.exists():
        return None
    try:
        return TypeAdapter(SizeTimes).validate_json(path.read_bytes())
    except ValidationError:
        reason = "is damaged; remove it to have it measured again"
        raise UserError(f"{shown_folder(path)}: {reason}") from None
