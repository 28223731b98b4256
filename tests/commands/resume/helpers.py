"""What the tests of resume= share: a quick start, a simulated SIGKILL, and what a refusal says."""

import contextlib
import io

from soak.experiment import composed, prepare

from kfac_cli.checkpoint.tree import read_tree, write_tree
from kfac_cli.config.validation import validate
from kfac_cli.recording.progress import Progress
from kfac_cli.run.runner import run


class KilledError(BaseException):
    """Simulates SIGKILL: nothing catches it, nothing is written after it."""


def start(folder, words):
    """Start a run as kfac-run does, but faster."""
    config = validate(composed(tuple(words)))
    prepare(folder, words)
    silence = io.StringIO()
    with Progress(config.iterations, silence) as progress, contextlib.redirect_stdout(silence):
        return run(config, folder, progress)


def change_checkpoint(path, change):
    """Let `change` edit what a checkpoint contains."""
    tree = read_tree(path)
    change(tree)
    with path.open("wb") as out:
        write_tree(out, tree)


def contents_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(kfac_run, folder, *arguments):
    """The line with which resuming is refused; the folder stays unchanged."""
    before = contents_of(folder)
    answer = kfac_run(*arguments)
    after = contents_of(folder)
    assert answer.code == 1
    line = answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err
    assert line.startswith("kfac-run: error: ")
    log = folder / "run.log"
    assert {k: v for k, v in after.items() if k != log} == {
        k: v for k, v in before.items() if k != log
    }
    return line.removeprefix("kfac-run: error: ")
