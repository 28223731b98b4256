"""Values at the ends of what is allowed, and settings that go together, are taken."""

import pytest

from kfac_cli.config.compose import load_config
from kfac_cli.config.schema import RunConfig
from tests.config.helpers import CLASSES


def test_values_at_the_ends_of_what_is_allowed_are_taken():
    config = load_config(
        ["optimizer.tau1=1", "optimizer.tau2=1e-9", "l2=0", "optimizer.gamma_max=null", "seed=0"]
    )
    assert (config.optimizer.tau1, config.optimizer.tau2, config.l2) == (1.0, 1e-9, 0.0)
    assert config.optimizer.gamma_max is None


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer.lambda_initial=auto"],
        ["optimizer.gamma_rule=fixed", "optimizer.t2=30"],  # T_2 belongs to the search
        ["optimizer.gamma_rule=tied", "l2=100"],  # and so does the cap
        ["optimizer=kfac_diag", "optimizer.tikhonov=exact"],
        ["optimizer=kfac_tridiag", "optimizer.fisher=exact", "optimizer.sigma_solver=doubling"],
        ["optimizer.samples=3", "optimizer.cg_steps=4"],
        ["optimizer=heskes", "optimizer.fisher=sampled", "optimizer.learning_rate=0.5"],
        ["schedule=adaptive", "schedule.maximum=1000", "schedule.theta=1"],
        ["schedule=stepwise", "schedule.steps=[[1,9],[4,3],[1000000000,70]]"],
        [*CLASSES],
    ],
    ids=" ".join,
)
def test_what_goes_together_is_taken(overrides):
    assert isinstance(load_config(overrides), RunConfig)
