"""On a GPU: what a step computes, and that a run there resumes bit for bit."""

import json
import warnings

import pytest
import torch

from benchmarks.common.problems import SMALL
from kfac_cli.paper.cost.methods import INVERSES, fixed

pytestmark = pytest.mark.gpu

BACKGROUND = tuple(
    f"optimizer.{word}"
    for word in ("tikhonov=factored", "refresh=background", "refresh_delay=2", "t2=4", "t3=4")
)
"""An inverse is being computed when the run is interrupted after iteration 5."""


@pytest.mark.parametrize("optimizer", [*INVERSES.values(), "nesterov_sgd", "adam"])
def test_the_first_objective_is_that_of_the_cpu(optimizer):
    settings = (f"optimizer={optimizer}", "dtype=float64", *fixed(40))
    records = [SMALL.session(settings, device).step()[1] for device in ("cpu", "cuda")]
    assert records[1].objective == pytest.approx(records[0].objective, rel=1e-10)


@pytest.mark.parametrize("optimizer", INVERSES.values())
def test_k_fac_trains_there(optimizer):
    made = SMALL.session((f"optimizer={optimizer}", *fixed(200)), "cuda")
    errors = [made.step()[1].error for _ in range(25)]
    assert errors[-1] < 0.7 * errors[0]
    assert all(p.is_cuda and bool(torch.isfinite(p).all()) for p in made.optimizer.parameters)


@pytest.mark.parametrize(
    ("inverse", "candidate"), [("block-tridiagonal", 2), ("block-diagonal", 1)]
)
def test_it_waits_twice_a_step_once_more_for_rho_and_once_or_twice_a_candidate(inverse, candidate):
    """What CUDA itself reports as synchronising."""
    settings = (f"optimizer={INVERSES[inverse]}", "optimizer.lambda_initial=1", *fixed(200))
    made = SMALL.session(settings, "cuda")
    counts = {iteration: waits(made.step) for iteration in range(1, 21)}
    assert [counts[19], counts[15], counts[20]] == [2, 3, 3 + 3 * candidate]


def waits(step):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(each.message) for each in caught)


@pytest.mark.parametrize("more", [(), BACKGROUND], ids=["immediate", "background"])
def test_a_run_there_resumes_bit_for_bit(kfac_run, tmp_path, more):
    start = ("experiment=smoke", "device=cuda", *more)
    assert kfac_run(*start, "hydra.run.dir=whole").code == 0
    assert kfac_run(*start, "iterations=5", "hydra.run.dir=parts").code == 0
    assert kfac_run("resume=parts", "iterations=10").code == 0
    summaries = [
        json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "parts")
    ]
    assert summaries[0]["device"].startswith("cuda")
    assert summaries[0]["final_train_error"] == summaries[1]["final_train_error"]
