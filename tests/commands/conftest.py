"""A stub for the runner, with which a command line takes no time."""

import io
import signal
import sys
from types import SimpleNamespace

import pytest

from kfac_cli.commands import jobs
from kfac_cli.recording.progress import Progress
from kfac_cli.recording.summary import write_summary


@pytest.fixture
def runner(monkeypatch):
    """A stub for kfac_cli.run.runner: records the calls; `behave` decides how a run ends."""
    stub = SimpleNamespace(
        calls=[], behave=lambda config: "finished", shown=[], done=None, best=1.5
    )

    class Silent(Progress):
        def __init__(self, total, label=None):
            super().__init__(total, io.StringIO(), label=label)

        def start(self, title):
            stub.shown.append(title)

        def close(self):
            stub.shown.append("closed")

    def run(config, folder, progress, **how):
        assert stub.shown[-1] == config.title
        stub.calls.append((config, folder))
        status = stub.behave(config)
        number = signal.SIGTERM if status == "terminated" else None
        status = "interrupted" if status == "terminated" else status
        ending = {"status": status, "iterations": config.iterations, "best_train_error": stub.best}
        write_summary(folder, ending)
        ended = {"signal": number, "iterations": stub.done or config.iterations}
        return SimpleNamespace(
            status=status,
            best_train_error=stub.best,
            reason=None,
            optimizer_time_is_up=False,
            **ended,
        )

    monkeypatch.setattr(jobs, "Progress", Silent)
    monkeypatch.setitem(sys.modules, "kfac_cli.run.runner", SimpleNamespace(run=run))
    return stub
