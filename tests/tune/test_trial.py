"""The rule that stops a trial's run."""

from types import SimpleNamespace

import pytest

from kfac_cli.tune.trial import PRUNED_AT, _rule


class FakeTrial:
    """A trial of Optuna's with a pruner that stops it at a step."""

    def __init__(self, stop=None, reported=None, attributes=None):
        self.number, self.stop = 0, stop
        self.reports = dict(reported or {})
        self.user_attrs = dict(attributes or {})
        self.asked = []
        frozen = SimpleNamespace(intermediate_values=self.reports)
        self.study = SimpleNamespace(get_trials=lambda deepcopy: [frozen])

    def report(self, value, step):
        assert step not in self.reports
        self.reports[step] = value

    def should_prune(self):
        self.asked.append(max(self.reports))
        return self.asked[-1] == self.stop

    def set_user_attr(self, name, value):
        self.user_attrs[name] = value


def row(step, seconds=1.0):
    return {"iteration": step, "train_error_best": 1 / step, "seconds": seconds}


def test_each_evaluation_is_reported_and_asked_about_once_across_a_kill():
    trial = FakeTrial(reported={1: 1.0, 2: 0.5})
    rule = _rule(trial, None)
    assert [rule(row(step)) for step in (1, 2, 3)] == [None, None, None]
    assert trial.reports == {1: 1.0, 2: 0.5, 3: 1 / 3}
    assert trial.asked == [2, 3]


def test_a_pruners_decision_outlives_a_kill():
    trial = FakeTrial(stop=2)
    assert [_rule(trial, None)(row(step)) for step in (1, 2)] == [None, "pruned"]
    again = FakeTrial(reported=trial.reports, attributes=trial.user_attrs)
    assert trial.user_attrs == {PRUNED_AT: 2}
    assert [_rule(again, None)(row(step)) for step in (1, 2)] == [None, "pruned"]


@pytest.mark.parametrize(("seconds", "status"), [(9.9, None), (10.0, "time limit reached")])
def test_the_time_of_all_processes_counts(seconds, status):
    assert _rule(FakeTrial(), 10.0)(row(1, seconds)) == status
