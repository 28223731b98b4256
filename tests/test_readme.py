"""The README's commands and code run as they are written, on less data and for fewer iterations."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from kfac_cli.paper.arguments import parse as kfac_paper
from kfac_cli.report.command import main as kfac_report

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FEW_CASES = ["schedule=fixed", "schedule.size=20", "chunk_size=50"]
SMALL = [
    "dataset.train_cases=60",
    "dataset.test_cases=20",
    "dataset.layer_sizes=[784,20,6,20,784]",
    "dataset.activations=[logistic,linear,logistic]",
]
"""CURVES, unless a command names other data."""
DOWNLOADED = ("dataset=mnist", "dataset=faces", "experiment=mnist")
SHORTER = 50
"""How many times fewer iterations are done."""


def blocks(language):
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(block):
    """The words of each command of a block, without comments."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = [words for block in blocks("sh") for words in commands(block)]


def test_there_is_something_to_test():
    assert {words[0] for words in COMMANDS} >= {"make", "pip", "kfac-run", "kfac-report"}
    assert blocks("python")


@pytest.mark.parametrize("words", [w for w in COMMANDS if w[0] == "make"], ids=" ".join)
def test_the_targets_of_make_exist(words):
    subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("words", [w for w in COMMANDS if w[0] == "pip"], ids=" ".join)
def test_the_extras_that_pip_is_asked_for_exist(words):
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = [name for names in re.findall(r"\[(.*?)\]", words[-1]) for name in names.split(",")]
    assert set(asked) <= set(known)
    assert words[-1].partition("[")[0] == "."


def shortened(words):
    """The arguments of a training command, for fewer iterations on fewer cases."""
    counts = [word for word in words if word.startswith("iterations=")]
    iterations = int(counts[0].partition("=")[2]) // SHORTER if counts else 2
    kept = [word for word in words if word not in counts]
    if "hydra/launcher=joblib" in kept:  # tests/commands/test_parallel_sweeps.py has processes
        kept.append("hydra.launcher.n_jobs=1")
    if not any(word.startswith(("resume=", "start_from=")) for word in words):
        others = {word.partition("=")[0] for word in words}
        kept += [word for word in FEW_CASES if word.partition("=")[0] not in others]
        if "dataset" not in others:
            kept += SMALL
    elif any(word.startswith("start_from=") for word in words):
        kept += [*FEW_CASES, *SMALL]
    if "-m" in words and any(word.startswith("resume=") for word in words):
        return kept
    return [*kept, f"iterations={iterations}", "threads=1"]


def test_the_commands_and_the_code_do_what_they_say(kfac_run, monkeypatch, tmp_path, capsys):
    numbers = np.random.default_rng(0).normal(size=(60, 64))
    np.savez(tmp_path / "my.npz", train_inputs=numbers, test_inputs=numbers[:20])
    for command, *words in COMMANDS:
        if command == "kfac-run":
            asks = any(word.startswith("--") for word in words)
            if any(word.startswith(DOWNLOADED) for word in words):
                words, asks = [*words, "--cfg", "job"], True
            answer = kfac_run(*(words if asks else shortened(words)))
            assert answer.code in (0, None), (words, answer.err)
        elif command == "kfac-report":
            monkeypatch.setattr(sys, "argv", [command, *words])
            # 2 says that so few runs allow no verdict on a claim.
            assert kfac_report() in ((0, 1, 2) if "--claim" in words else (0,)), words
        elif command == "kfac-paper" and words != ["list"]:
            assert kfac_paper(words).name in words
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert (tmp_path / "report/report.html").exists()
