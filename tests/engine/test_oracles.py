"""The oracles against each other: independent computations of the same matrices."""

import ast
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.func import vmap

from kfac_cli.engine.curvature import dense

from . import oracles
from .oracles import OUTPUTS, Architecture, every_architecture, problem

CHAIN = Architecture((3, 2, 3, 2), ("logistic", "tanh"), "bernoulli")


@pytest.mark.parametrize("architecture", every_architecture(), ids=str)
def test_fisher_is_the_covariance_of_the_score(architecture):
    """Appendix C's mean of J^T F_R J is section 2.2's E[D theta D theta^T]."""
    _, theta, inputs, _ = problem(architecture, cases=4)
    cases, targets, weights = oracles.exact_cases(architecture, theta, inputs)
    scores = vmap(lambda x, y: oracles.gradient(architecture, theta, x[None], y[None], 0.0))(
        cases, targets
    )
    expected = torch.einsum("k,ka,kb->ab", weights, scores, scores)
    torch.testing.assert_close(oracles.fisher(architecture, theta, inputs), expected)


@pytest.mark.parametrize("output", OUTPUTS)
def test_output_fisher_is_the_closed_form(output):
    natural = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    p, q = natural.sigmoid(), natural.softmax(0)
    expected = {
        "bernoulli": (p * (1 - p)).diag(),
        "gaussian": torch.eye(3, dtype=torch.float64),
        "categorical": q.diag() - q.outer(q),
    }[output]
    torch.testing.assert_close(oracles.output_fisher(output, natural), expected)


def test_f_tilde_of_a_single_case_is_exact():
    """Eqn. 1 has nothing to average over then, which verifies vec, the Kronecker order and g."""
    architecture, theta, inputs, targets = problem(CHAIN, cases=1)
    stats = oracles.statistics(architecture, theta, inputs, targets)
    score = oracles.gradient(architecture, theta, inputs, targets, l2=0.0)
    torch.testing.assert_close(oracles.f_tilde(stats), score.outer(score))


def test_f_hat_equals_the_directed_model_of_section_4_3():
    """The junction-tree formula against F-hat^-1 = Xi^T Lambda Xi with dense blocks."""
    architecture, theta, inputs, targets = problem(CHAIN)
    tilde = oracles.f_tilde(
        oracles.damped(oracles.statistics(architecture, theta, inputs, targets), gamma=0.3)
    )
    where = oracles.blocks(architecture.layer_sizes)
    xi, sigmas = torch.eye(len(tilde), dtype=torch.float64), []
    for block, following in pairwise(where):
        psi = tilde[block, following] @ torch.linalg.inv(tilde[following, following])
        xi[block, following] = -psi
        sigmas.append(tilde[block, block] - psi @ tilde[following, following] @ psi.T)
    sigmas.append(tilde[where[-1], where[-1]])
    inverse = xi.T @ torch.linalg.inv(torch.block_diag(*sigmas)) @ xi
    torch.testing.assert_close(torch.linalg.inv(oracles.f_hat(tilde, where)), inverse)


def test_f_hat_agrees_with_f_tilde_and_has_a_block_tridiagonal_inverse():
    """The definition of F-hat in section 4.3."""
    architecture, theta, inputs, targets = problem(
        Architecture((2, 3, 2, 3, 2), ("tanh",) * 3, "gaussian")
    )
    stats = oracles.damped(oracles.statistics(architecture, theta, inputs, targets), gamma=0.5)
    tilde, where = oracles.f_tilde(stats), oracles.blocks(architecture.layer_sizes)
    hat = oracles.f_hat(tilde, where)
    precision = torch.linalg.inv(hat)
    for i, row in enumerate(where):
        for j, column in enumerate(where):
            if abs(i - j) <= 1:
                torch.testing.assert_close(hat[row, column], tilde[row, column])
            else:
                assert precision[row, column].abs().max() < 1e-9 * precision.abs().max()
                assert (hat - tilde)[row, column].abs().max() > 1e-3


def test_vec_stacks_columns():
    matrix = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert oracles.vec([matrix]).tolist() == [1.0, 3.0, 2.0, 4.0]
    assert torch.equal(oracles.unvec(oracles.vec([matrix]), (1, 2))[0], matrix)


def test_the_dense_matrices_in_the_package_use_nothing_of_the_code_they_are_compared_with():
    tree = ast.parse(Path(dense.__file__).read_text(encoding="utf-8"))
    imported = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    imported += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    ours = [name for name in imported if name.startswith("kfac_cli")]
    assert ours == ["kfac_cli.errors"]
