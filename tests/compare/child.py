"""Call kfac-run many times in this process, which sees one tree only: the plan is a JSON file.

The plan has `package`, the folder that kfac_cli must come from; `train`, false if no run may start;
and `tasks`, pairs of a folder and the command lines to call there one after the other. What each
task's calls come to, see `Answer`, is written to `answers`.

Started by tree.py with -P, so that the current folder is not where modules come from.
"""

import contextlib
import io
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from tests.tidy import tidied

STARTS_A_RUN = "starts a run"


class NoTorch(MetaPathFinder):
    """Keeps runs from starting: none starts without torch, and nothing before one needs it.

    This holds whatever the modules of kfac_cli are called.
    """

    def __init__(self) -> None:
        self.asked = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "torch":
            self.asked = True
            raise ModuleNotFoundError("no torch here")


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    sys.meta_path[:] = [finder for finder in sys.meta_path if not is_editable_install(finder)]
    no_torch = None
    if not plan["train"]:
        no_torch = NoTorch()
        sys.meta_path.insert(0, no_torch)
    answers = [
        [call(words, Path(folder), no_torch) for words in lines] for folder, lines in plan["tasks"]
    ]
    check_origin(Path(plan["package"]))
    Path(plan["answers"]).write_text(json.dumps(answers))


def is_editable_install(finder: object) -> bool:
    """Whether this would import from the working tree what the tree at hand lacks."""
    return str(getattr(finder, "__module__", "")).startswith("__editable__")


def check_origin(package: Path) -> None:
    """Fail unless every module of kfac_cli, and its settings, come from one tree."""
    import kfac_cli.conf

    assert Path(kfac_cli.conf.__file__).parent == package / "conf", kfac_cli.conf.__file__
    for name, module in sys.modules.items():
        if name.partition(".")[0] == "kfac_cli":
            assert package in Path(str(module.__file__)).parents, module


def call(words: Sequence[str], folder: Path, no_torch: NoTorch | None) -> dict[str, object]:
    """Call `kfac-run *words` in a folder, which is made if absent."""
    from kfac_cli.__main__ import main as kfac_run

    folder.mkdir(parents=True, exist_ok=True)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(arguments(["kfac-run", *words]))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        stack.enter_context(tidied())
        code: object
        try:
            code = kfac_run()
        except SystemExit as leaving:
            code = leaving.code
        except Exception as error:
            code = type(error).__name__
            traceback.print_exc()
    if no_torch is None or not no_torch.asked:
        return {"code": code, "out": out.getvalue(), "err": err.getvalue()}
    no_torch.asked = False
    # Its traceback shows names of modules and numbers of lines. In a sweep other jobs may be wrong.
    lines = [line for line in err.getvalue().splitlines() if line.startswith("kfac-run: error: ")]
    return {"code": STARTS_A_RUN, "out": "", "err": "\n".join(lines)}


@contextlib.contextmanager
def arguments(words: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = before


if __name__ == "__main__":
    main()
