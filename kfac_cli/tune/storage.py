"""Where a study is stored: a journal in its folder, or a database."""

from pathlib import Path
from urllib.parse import urlsplit

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from kfac_cli.errors import UserError, shown
from kfac_cli.tune.locks import JournalLock, locked

JOURNAL = "study.journal"
HIDDEN = "***"
SQLITE = "sqlite:///"


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """The storage of the study in `folder`; raises UserError if the database cannot be opened."""
    if url is None:
        path = folder / JOURNAL
        path.touch()
        with locked(path):
            _drop_partial_line(path)
        return JournalStorage(JournalFileBackend(str(path), JournalLock(path)))
    try:
        return RDBStorage(url)
    except Exception as error:  # SQLAlchemy's many, and a missing driver
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"storage={shown(without_password(url))}: {shown(reason)}") from error


def absolute(url: str) -> str:
    """The URL, that of an SQLite file made independent of the current folder."""
    path = url.removeprefix(SQLITE)
    if path == url or not path or path.startswith((":", "file:")):
        return url
    return f"{SQLITE}{Path(path).absolute()}"


def without_password(url: str) -> str:
    """The URL with the password hidden."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return url
    return url.replace(f":{password}@", f":{HIDDEN}@") if password else url


def _drop_partial_line(path: Path) -> None:
    """Remove what a crash left of the last line, after which Optuna could not read the journal."""
    contents = path.read_bytes()
    if contents and not contents.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(contents.rfind(b"\n") + 1)
