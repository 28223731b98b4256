"""On a GPU: what a step computes, and that a run there resumes bit for bit."""

import json

import pytest
import torch

from benchmarks.common.problems import INVERSES, SMALL, fixed

pytestmark = pytest.mark.gpu


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


def test_a_run_there_resumes_bit_for_bit(kfac_run, tmp_path):
    whole = ("experiment=smoke", "device=cuda", "hydra.run.dir=whole")
    assert kfac_run(*whole).code == 0
    assert kfac_run(*whole[:2], "iterations=5", "hydra.run.dir=parts").code == 0
    assert kfac_run("resume=parts", "iterations=10").code == 0
    summaries = [
        json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "parts")
    ]
    assert summaries[0]["device"].startswith("cuda")
    assert summaries[0]["final_train_error"] == summaries[1]["final_train_error"]
