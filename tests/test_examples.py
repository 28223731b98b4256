"""The examples run as they are, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(name, folder):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_no_example_is_missing_here():
    assert [path.name for path in EXAMPLES.glob("*.py")] == ["own_training_loop.py"]


def test_own_training_loop_prints_the_test_errors_of_both(tmp_path):
    title, head, *rows = run("own_training_loop.py", tmp_path)
    assert title == "test error in %"
    assert head.split() == ["epoch", "K-FAC", "Adam"]
    table = [[float(word) for word in row.split()] for row in rows]
    assert [row[0] for row in table] == list(range(1, len(table) + 1))
    _, kfac, adam = table[-1]
    assert 0 < kfac < 5
    assert 0 < adam < 20
