"""EKFAC beside an independent one, `EKFACLinearOperator` of curvlinops-for-pytorch, if installed.

Both treat a layer's weights and bias as one matrix and take the eigenvectors of the same Ā and G.
The definitions differ in the reduction: curvlinops' matrices are those of the loss of torch, summed
or averaged over cases, and twice ours for half the squared error (four times, from its gradients);
ours is the mean over cases. Sampled targets come from other generators, so the exact and the
empirical Fisher are compared. curvlinops has no damping, running average or change of bases.
"""

import warnings

import pytest
import torch
from torch import nn

from engine import oracles
from engine.oracles import Architecture, problem
from kfac_cli.engine import KFACOptions
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.options.curvature import FIRST_ITERATIONS

from .test_ekfac import diagonal, eigenvectors, measured

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it imports
    curvlinops = pytest.importorskip("curvlinops")

CASES = 12
LOSSES = {
    "categorical": (nn.CrossEntropyLoss(reduction="mean"), 1, 1),
    "bernoulli": (nn.BCEWithLogitsLoss(reduction="sum"), CASES, CASES),
    "gaussian": (nn.MSELoss(reduction="sum"), 2 * CASES, 4 * CASES),
}
"""The loss of torch, and how many times our matrix its exact and its empirical Fisher are."""


def module_of(small):
    """The network with its parameters, in float64."""
    sizes = small.architecture.layer_sizes
    layers = []
    for weights in oracles.unvec(small.theta, sizes):
        linear = nn.Linear(weights.shape[1] - 1, weights.shape[0]).double()
        linear.weight.data, linear.bias.data = weights[:, :-1].clone(), weights[:, -1].clone()
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("fisher", ["exact", "empirical"])
@pytest.mark.parametrize("output", LOSSES)
def test_the_same_product_on_a_small_network(output, fisher):
    small = problem(Architecture((4, 3, 5, 3), ("tanh", "tanh"), output), CASES)
    loss, exact, empirical = LOSSES[output]
    targets = small.targets.argmax(1) if output == "categorical" else small.targets
    module = module_of(small)
    kind = curvlinops.FisherType.TYPE2 if fisher == "exact" else curvlinops.FisherType.EMPIRICAL
    operator = curvlinops.EKFACLinearOperator(
        module,
        loss,
        list(module.parameters()),
        [(small.inputs, targets)],
        fisher_type=kind,
        separate_weight_and_bias=False,
        check_deterministic=False,
    )
    vectors = oracles.unvec(oracles.some_vector(len(small.theta)), small.architecture.layer_sizes)
    parts = [part for v in vectors for part in (v[:, :-1].contiguous(), v[:, -1].contiguous())]
    product = operator @ parts
    theirs = [
        torch.cat([w, b[:, None]], 1) for w, b in zip(product[::2], product[1::2], strict=True)
    ]

    curvature = make_curvature(KFACOptions(inverse="ekfac"))
    curvature.update(measured(small, None, fisher), FIRST_ITERATIONS)
    curvature.inverses([1.0])
    bases = curvature.needs.bases
    for layer, scalings in enumerate(measured(small, bases, fisher).scalings):
        u = eigenvectors(bases, layer)
        ours = u @ diagonal(scalings) @ u.T @ oracles.vec([vectors[layer]])
        scale = exact if fisher == "exact" else empirical
        torch.testing.assert_close(oracles.vec([theirs[layer]]) / scale, ours)
