"""Long runs in float32 with λ and γ at their lower bounds, compared with float64."""

import math
import sys

import torch

from kfac_cli.engine import KFAC, KFACOptions, Network, evaluate, sparse_initialization

from .test_kfac import EACH_INVERSE

ITERATIONS = 800
FAST = {"t1": 1, "t2": 5, "t3": 5, "omega1": 0.1}
"""λ decreases tenfold each iteration, to the smallest positive number."""


def run(inverse, dtype, targets_seed=0):
    """An autoencoder's optimizer after many full-batch steps, its data and its records."""
    generator = torch.Generator().manual_seed(0)
    network = Network([12, 6, 3, 6, 12], ["logistic", "linear", "logistic"], "bernoulli")
    parameters = [w.to(dtype) for w in sparse_initialization(network, generator)]
    code = torch.randn(80, 3, generator=generator, dtype=torch.float64)
    mixing = torch.randn(3, 12, generator=generator, dtype=torch.float64)
    inputs = torch.sigmoid(code @ mixing).to(dtype)
    options = KFACOptions(inverse=inverse, l2=1e-6, tau1=1, tau2=1, **FAST)
    optimizer = KFAC(network, parameters, options, torch.Generator().manual_seed(targets_seed))
    records = [optimizer.step(inputs, inputs) for _ in range(ITERATIONS)]
    loss = evaluate(network, optimizer.parameters, inputs, inputs, 100).loss
    floor = float(-(inputs.xlogy(inputs) + (1 - inputs).xlogy(1 - inputs)).sum(1).mean())
    return optimizer, records, loss - floor


@EACH_INVERSE
def test_float32_neither_fails_nor_drifts_with_both_dampings_at_their_lower_bounds(inverse):
    """Three float64 runs that differ in sampled targets end between 1.6e-4 and 3.3e-4."""
    single, records, distance = run(inverse, torch.float32)
    _, double_records, double_distance = run(inverse, torch.float64)
    assert single.damping == sys.float_info.min
    assert min(record.gamma for record in records) <= 2 * math.sqrt(single.options.l2)
    assert not any(record.outcome != "accepted" for record in [*records, *double_records])
    assert set(vars(single.curvature.fallbacks).values()) == {0}
    assert double_records[0].objective > double_distance + 8  # nearly all of which is learnt
    assert 0.4 < distance / double_distance < 2.5
