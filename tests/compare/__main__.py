"""Compare the working tree's results with those of a commit, bit for bit; exit code 0 if equal.

The working tree is what lies on disk, committed or not. Both run the same small experiments
(runs.py) and answer the same wrong command lines (bad_lines.py).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .bad_lines import bad_lines
from .report import Pair, run_differences, show
from .runs import runs_for, write_data
from .tree import ROOT, Tree

BAD_LINES = "bad_lines"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.compare", description=__doc__)
    parser.add_argument("commit", help="what to compare the working tree with")
    parser.add_argument("--only", default="", help=f"runs with this in their name, or {BAD_LINES}")
    parser.add_argument("--keep", type=Path, help="leave all results in this new folder")
    parser.add_argument(
        "--messages-may-differ", action="store_true", help="show other messages, but accept them"
    )
    options = parser.parse_args()
    if options.keep and options.keep.exists():
        parser.error(f"--keep {options.keep}: exists already")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.keep or Path(temporary)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        try:
            old, new = Tree.of_commit(options.commit, root / "old"), Tree(ROOT, root / "new")
            runs, results, pairs = _compare(root, {"old": old, "new": new}, options.only)
        except subprocess.CalledProcessError as error:
            parser.error(str(error))  # what failed has said why
    if not (runs or pairs):
        parser.error(f"--only {options.only}: no run has this in its name")

    codes = [pair for pair in pairs if pair.other_code]
    messages = [pair for pair in pairs if pair.other_message]
    show("Results that differ", results)
    show("Command lines that end differently", codes)
    show("Messages that differ", messages)
    found = f"{len(results)} results, {len(codes)} endings and {len(messages)} messages differ"
    verdict = found if results or codes or messages else "all equal"
    seconds = time.monotonic() - started
    print(f"{runs} runs and {len(pairs)} command lines in {seconds:.0f} s: {verdict}")
    return 1 if results or codes or (messages and not options.messages_may_differ) else 0


def _compare(root: Path, trees: dict[str, Tree], only: str) -> tuple[int, list[str], list[Pair]]:
    """Call everything in both trees: the number of runs, what differs in them, the wrong lines."""
    write_data(root)
    bad = {str(n): [line] for n, line in enumerate(bad_lines())} if only in BAD_LINES else {}
    with ThreadPoolExecutor(max_workers=len(trees)) as pool:  # a core for each tree
        runs = {
            name: pool.submit(tree.call, "runs", runs_for(tree.package / "conf", only), train=True)
            for name, tree in trees.items()
        }
        lines = [pool.submit(tree.call, BAD_LINES, bad, train=False) for tree in trees.values()]
    answers = {name: future.result() for name, future in runs.items()}
    old, new = (future.result() for future in lines)
    pairs = [Pair(words, old[key][0], new[key][0]) for key, (words,) in bad.items()]
    folders = {name: tree.folder / "runs" for name, tree in trees.items()}
    return len(answers["new"]), list(run_differences(folders, answers)), pairs


if __name__ == "__main__":
    sys.exit(main())
