"""A tree of the project that is compared: a copy of its package, and calls of its kfac-run."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{8}")
MAX_SECONDS = 1800

Lines = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Answer:
    """A call of kfac-run: its exit code, or that it would start a run, and what it printed."""

    code: int | str | None
    out: str
    err: str


class Tree:
    """A copy of the package in `folder`, laid out as it is installed: settings in kfac_cli/conf."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "stage/kfac_cli"
        compiled = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / "kfac_cli", self.package, ignore=compiled)
        shutil.copytree(source / "conf", self.package / "conf", ignore=compiled)

    @classmethod
    def of_commit(cls, commit: str, folder: Path) -> "Tree":
        """The tree of a commit. Raises CalledProcessError if git does not know it."""
        command = ["git", "archive", "--format=tar", f"{commit}^{{commit}}"]
        archive = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder / "source", filter="data")
        return cls(folder / "source", folder)

    def call(
        self, kind: str, tasks: Mapping[str, Lines], *, train: bool
    ) -> dict[str, list[Answer]]:
        """Call the command lines of each task in folder/kind/task, all in one new process.

        Unless `train`, a command line that would start a run does not. Raises CalledProcessError
        and TimeoutExpired if the process fails.
        """
        plan, answers = self.folder / f"{kind}.json", self.folder / f"{kind}_answers.json"
        contents = {
            "package": str(self.package),
            "train": train,
            "tasks": [[str(self.folder / kind / name), lines] for name, lines in tasks.items()],
            "answers": str(answers),
        }
        plan.write_text(json.dumps(contents))
        subprocess.run(
            [sys.executable, "-P", "-m", "tests.compare.child", str(plan)],
            env=self._environment(),
            timeout=MAX_SECONDS,
            check=True,
        )
        read = zip(tasks, json.loads(answers.read_text()), strict=True)
        return {name: [self._answer(**answer) for answer in task] for name, task in read}

    def _answer(self, code: int | str | None, out: str, err: str) -> Answer:
        return Answer(code, self._neutral(out), self._neutral(err))

    def _neutral(self, text: str) -> str:
        """A text without what differs between trees and between calls in any case."""
        return STAMP.sub("<stamp>", text.replace(str(self.folder), "<folder>"))

    def _environment(self) -> dict[str, str]:
        """One thread, no GPU, no folder of the user's, no data that another tree generated."""
        home = str(self.folder / "home")
        return os.environ | {
            "PYTHONPATH": os.pathsep.join([str(self.package.parent), str(ROOT)]),
            "PYTHONHASHSEED": "0",
            "PYTHONUTF8": "1",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "COLUMNS": "100",
            "HYDRA_FULL_ERROR": "0",
            "HOME": home,
            "XDG_CACHE_HOME": home,
            "MPLCONFIGDIR": home,
            "KFAC_DATA_DIR": str(self.folder / "data"),
        }
