"""Sinks: each gets everything in order; one that fails is dropped, unless it is required."""

import pytest

from kfac_cli.recording.sink import Sink, Sinks

ROW = {"iteration": 1}


class Noted(Sink):
    """Notes its name and what it was given; fails at some of it."""

    def __init__(self, name, notes, fails_at=()):
        self.name, self.notes, self.fails_at = name, notes, fails_at

    def note(self, what, value=None):
        self.notes.append((self.name, what, value))
        if what in self.fails_at:
            raise OSError(5, f"no {what}")

    def iteration(self, row):
        self.note("iteration", row)

    def evaluation(self, row):
        self.note("evaluation", row)

    def flush(self):
        self.note("flush")

    def finish(self, summary):
        self.note("finish", summary)

    def close(self):
        self.note("close")


@pytest.fixture
def notes():
    return []


@pytest.fixture
def sinks():
    return Sinks()


def use_all(sinks):
    sinks.iteration(ROW)
    sinks.evaluation(ROW)
    sinks.flush()
    sinks.finish(lambda: {"status": "finished"})
    sinks.close()


def test_every_sink_gets_everything_in_the_order_in_which_they_were_added(sinks, notes):
    for name in "ab":
        sinks.add(name, lambda name=name: Noted(name, notes))
    use_all(sinks)
    assert notes == [
        (name, what, value)
        for what, value in (
            ("iteration", ROW),
            ("evaluation", ROW),
            ("flush", None),
            ("finish", {"status": "finished"}),
            ("close", None),
        )
        for name in "ab"
    ]


def test_the_summary_is_asked_for_anew_for_each_sink(sinks, notes):
    for name in "ab":
        sinks.add(name, lambda name=name: Noted(name, notes))
    sinks.finish(lambda: {"sinks before": len(notes)})
    assert [value for *_, value in notes] == [{"sinks before": 0}, {"sinks before": 1}]


@pytest.mark.parametrize("what", ["iteration", "evaluation", "flush", "finish", "close"])
def test_a_sink_that_fails_is_dropped_with_one_warning(sinks, notes, caplog, what):
    sinks.add("broken", lambda: Noted("broken", notes, [what]))
    sinks.add("sound", lambda: Noted("sound", notes))
    use_all(sinks)
    assert [note[1] for note in notes if note[0] == "broken"][-1] == what
    assert [note[1] for note in notes if note[0] == "sound"][-1] == "close"
    [record] = caplog.records
    assert record.getMessage() == f"broken failed; continuing without it: [Errno 5] no {what}"


def test_a_sink_that_cannot_be_made_is_left_out_with_a_warning(sinks, notes, caplog):
    def fail():
        raise RuntimeError("no room")

    sinks.add("broken", fail)
    sinks.add("sound", lambda: Noted("sound", notes))
    use_all(sinks)
    assert len(notes) == 5
    [record] = caplog.records
    assert record.getMessage() == "broken failed; continuing without it: no room"


def test_what_a_required_sink_raises_ends_the_run(sinks, notes):
    sinks.add("required", lambda: Noted("required", notes, ["iteration"]), required=True)
    with pytest.raises(OSError, match="no iteration"):
        sinks.iteration(ROW)

    def fail():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        sinks.add("another", fail, required=True)


def test_an_error_in_the_summary_itself_is_no_sinks_failure_to_hide(sinks, notes):
    """It would be logged as one of every sink."""
    sinks.add("sound", lambda: Noted("sound", notes))

    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sinks.finish(broken)
