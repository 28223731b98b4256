"""Real processes that find each other as those of torchrun do, with a limit on their time."""

import contextlib
import faulthandler
import io
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECONDS = 200.0
"""After which processes count as hanging: they show where, are killed, and the test fails.

Fewer than those that a run waits for another process, and more than a busy machine needs.
"""

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "torch._dynamo",  # which torch.optim imports at the first optimizer
        "kfac_cli.commands.main",
        "kfac_cli.run.follower",
        "kfac_cli.run.runner",
    ]
)


@dataclass
class Launch:
    """Processes that run, and the folder with what they print."""

    processes: list
    folder: Path

    def kill(self, rank: int, number: int = signal.SIGKILL) -> None:
        os.kill(self.processes[rank].pid, number)

    def printed(self, rank: int) -> str:
        return (self.folder / f"printed-{rank}").read_text(encoding="utf-8")

    def await_text(self, rank: int, text: str, seconds: float = SECONDS) -> None:
        end = time.monotonic() + seconds
        while text not in self.printed(rank):
            waiting = time.monotonic() < end and self.processes[rank].is_alive()
            assert waiting, self.everything()
            time.sleep(0.05)

    def codes(self, seconds: float = SECONDS) -> list[int]:
        """The exit codes, once all have ended."""
        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, end - time.monotonic()))
        late = [rank for rank, process in enumerate(self.processes) if process.is_alive()]
        for rank in late:
            with contextlib.suppress(ProcessLookupError):  # it ends because another one has
                self.kill(rank, signal.SIGABRT)  # prints where each of its threads is
        for rank in late:
            self.processes[rank].join(5.0)
        self.end()
        assert not late, f"processes {late} hang: {self.everything()}"
        return [process.exitcode for process in self.processes]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()

    def everything(self) -> str:
        return "\n".join(self.printed(rank) for rank in range(len(self.processes)))


@contextlib.contextmanager
def launched(count: int, folder: Path, work: Callable[..., int | None], *arguments, **variables):
    """`work(*arguments)` in so many processes, with these variables in their environment."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    processes = []
    for rank in range(count):
        (folder / f"printed-{rank}").touch()
        own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        kept = {name: os.environ[name] for name in ("XDG_CACHE_HOME",) if name in os.environ}
        environment = {name: str(value) for name, value in {**kept, **own, **where}.items()}
        task = environment | variables, folder, rank, work, arguments
        process = CONTEXT.Process(target=_child, args=task, daemon=True)
        process.start()
        processes.append(process)
    launch = Launch(processes, folder)
    try:
        yield launch
    finally:
        launch.end()


def launch(count: int, folder: Path, work: Callable[..., int | None], *arguments, **variables):
    """As `launched`, until all have ended: their exit codes, and the launch."""
    with launched(count, folder, work, *arguments, **variables) as started:
        return started.codes(), started


def kfac_run(*arguments: str) -> int:
    """The command, in a process of `launch`."""
    from kfac_cli.__main__ import main

    sys.argv = ["kfac-run", *arguments]
    return main()


def kfac_tune(*arguments: str) -> int:
    """The command kfac-tune, in a process of `launch`."""
    from kfac_cli.tune.__main__ import main

    sys.argv = ["kfac-tune", *arguments]
    return main()


def kfac_run_with_a_fault(*arguments: str) -> int:
    """`kfac_run`, where the last bits of a weight of process 1 change in its second step."""
    from kfac_cli.run.session import Session

    step = Session.step

    def faulty(self):
        result = step(self)
        if os.environ["RANK"] == "1" and self.iteration == 2:
            self.optimizer.parameters[0][0, 0] += 1e-12
        return result

    Session.step = faulty
    return kfac_run(*arguments)


def kfac_run_on_other_data(*arguments: str) -> int:
    """`kfac_run`, where process 1 finds other values in its data folder."""
    from dataclasses import replace

    from kfac_cli.run import follower

    load = follower.load_dataset

    def changed(*source):
        dataset = load(*source)
        return replace(dataset, test_inputs=1 - dataset.test_inputs)

    follower.load_dataset = changed
    return kfac_run(*arguments)


def kfac_run_that_hangs(rank: int, *arguments: str) -> int:
    """`kfac_run`, where one process stops in its second step: the others wait 2 seconds."""
    from datetime import timedelta

    import torch
    from torch import distributed

    from kfac_cli.run.session import Session

    step = Session.step

    def hanging(self):
        if self.iteration == 1 and int(os.environ["RANK"]) == rank:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.iteration == 1:
            os.environ["KFAC_PROCESS_TIMEOUT"] = "2"
            group = distributed.group.WORLD
            group._get_backend(torch.device("cpu"))._set_default_timeout(timedelta(seconds=2))
        return step(self)

    Session.step = hanging
    return kfac_run(*arguments)


def _child(environment, folder, rank, work, arguments) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    printed = os.open(f"printed-{rank}", os.O_WRONLY | os.O_APPEND)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(n, "w")) for n in (1, 2))
    faulthandler.enable()
    sys.exit(work(*arguments))
