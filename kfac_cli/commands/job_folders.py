"""The folders of a sweep's jobs, named by number and swept values: 3_seed=1,optimizer=adam.

Sweeps of earlier versions have numbers alone; those are found and resumed too.
"""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from omegaconf import OmegaConf

from kfac_cli.files import safe_name


def register_job_folder(swept: Collection[str], resumed: Path | None = None) -> None:
    """Have conf/config.yaml name the folders of jobs, whose `swept` settings differ.

    A job of a `resumed` sweep keeps the folder that it has.
    """
    resolver = partial(_name_in, resumed, frozenset(swept))
    OmegaConf.register_new_resolver("job_folder", resolver, replace=True)


def _name_in(resumed: Path | None, swept: frozenset[str], number: int, words: Sequence[str]) -> str:
    if resumed is not None and (existing := find_job(resumed, number)) is not None:
        return existing.name
    return job_folder_name(number, [w for w in words if w.partition("=")[0] in swept])


def job_folder_name(number: int, words: Sequence[str]) -> str:
    """The name for a job's number and the overrides that distinguish it."""
    text = ",".join(word.lstrip("+") for word in words)
    return safe_name(f"{number}_{text}" if text else str(number))


def find_job(sweep: Path, number: int) -> Path | None:
    """The folder of a job of a sweep, by its number; None if there is none."""
    plain = sweep / str(number)
    named = (path for path in sorted(sweep.glob(f"{number}_*")) if path.is_dir())
    return plain if plain.is_dir() else next(named, None)
