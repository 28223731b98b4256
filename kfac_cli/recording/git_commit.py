"""The git commit of the current folder's checkout, read without starting git."""

import re
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 50_000_000
"""More than the file packed-refs of any known repository."""

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
REFERENCE = re.compile(r"ref: (refs/[^\s\0]+)")


def git_commit(folder: Path | None = None) -> str | None:
    """The full hash of the commit that is checked out around `folder`, the current one if None.

    None outside a checkout, before its first commit, and if git's files cannot be read or
    understood.
    """
    try:
        folder = Path.cwd() if folder is None else folder
        for parent in (folder, *folder.parents):
            if (parent / ".git").exists():
                return _head(_git_folder(parent / ".git"))
    except (OSError, ValueError):
        pass
    return None


def _git_folder(path: Path) -> Path:
    """The folder of a checkout's HEAD; in a worktree or submodule, .git is a file that names it."""
    if path.is_dir():
        return path
    name = _text(path).removeprefix("gitdir:").strip()
    return path.parent / name


def _head(git: Path) -> str | None:
    """The commit that HEAD is, or that the branch is of which it has the name."""
    head = _text(git / "HEAD").strip()
    named = REFERENCE.fullmatch(head)
    if named is None:
        return _commit(head)
    return next(filter(None, _branch(git, named[1])), None)


def _branch(git: Path, name: str) -> Iterator[str | None]:
    """What the files that may hold a branch say; a worktree's are in the common folder."""
    if ".." in name.split("/"):
        return
    common = git / "commondir"
    shared = git / _text(common).strip() if common.is_file() else git
    for folder in (git, shared):
        if (folder / name).is_file():
            yield _commit(_text(folder / name).strip())
    packed = shared / "packed-refs"
    if packed.is_file():
        lines = (line.split(" ", 1) for line in _text(packed).splitlines())
        yield from (_commit(line[0]) for line in lines if line[1:] == [name])


def _commit(text: str) -> str | None:
    return text if COMMIT.fullmatch(text) else None


def _text(path: Path) -> str:
    """The contents of a regular file; reading a pipe could block."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    with path.open(encoding="utf-8") as file:
        return file.read(MAX_BYTES)
