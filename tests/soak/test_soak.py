"""A short soak test; `python -m tests.soak` is the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_runs_that_are_killed_and_resumed_end_as_uninterrupted_ones_do():
    """In a separate process without threads, since its children are forked."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--kills", "4", "--cases", "2"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    counts = json.loads(answer.stdout)
    assert counts["kills"] >= 4
    assert counts["wrong"] == []
