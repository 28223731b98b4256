"""Inverses from options and from saved states, and their counts of numerical fallbacks."""

import io
import logging
from dataclasses import asdict
from itertools import combinations, product

import pytest
import torch

from engine import oracles
from engine.curvature.appendix_b import inverse_root
from engine.oracles import Architecture, problem
from kfac_cli.engine import BlockDiagonalInverse, BlockTridiagonalInverse, KroneckerFactors
from kfac_cli.engine.curvature.exact_tikhonov import ExactTikhonovInverse
from kfac_cli.engine.curvature.fallbacks import Fallbacks
from kfac_cli.engine.curvature.registry import make_curvature
from kfac_cli.engine.options.kfac import KFACOptions

CHAIN = Architecture((3, 2, 3, 2), ("tanh", "logistic"), "bernoulli")
GAMMA = 0.2
TRIDIAGONAL = {"kind": "block_tridiagonal"}
EVERY_OPTION = [
    *({"kind": "block_diagonal", "pi": pi} for pi in ("trace", "frobenius", "spectral", "one")),
    {"kind": "block_diagonal", "tikhonov": "exact"},
    *(
        {"kind": "block_tridiagonal", "pi": pi, "sigma_solver": solver}
        for pi, solver in product(("trace", "one"), ("decomposition", "doubling"))
    ),
]
EACH_OPTION = pytest.mark.parametrize(
    "options", EVERY_OPTION, ids=[" ".join(options.values()) for options in EVERY_OPTION]
)


def factors(cases=6):
    return oracles.tridiagonal(oracles.statistics(*problem(CHAIN, cases)), KroneckerFactors)


def vectors():
    return oracles.unvec(oracles.some_vector(25), CHAIN.layer_sizes)


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def same_state(left, right):
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same_state(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same_state, left, right))
    return left == right


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, BlockTridiagonalInverse(factors(), GAMMA)),
        ({"kind": "block_tridiagonal"}, BlockTridiagonalInverse(factors(), GAMMA)),
        ({"kind": "block_diagonal"}, BlockDiagonalInverse(factors(), GAMMA)),
        (
            {"kind": "block_diagonal", "pi": "spectral"},
            BlockDiagonalInverse(factors(), GAMMA, pi="spectral"),
        ),
        (
            {"kind": "block_diagonal", "tikhonov": "exact"},
            ExactTikhonovInverse(factors(), GAMMA),
        ),
        (
            {"sigma_solver": "doubling", "pi": "one"},
            BlockTridiagonalInverse(factors(), GAMMA, sigma_solver="doubling", pi="one"),
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else type(value).__name__,
)
def test_options_name_an_inverse(options, expected):
    inverse = inverse_of(factors(), **options)
    assert type(inverse) is type(expected)
    assert same_state(inverse.state_dict(), expected.state_dict())


def test_every_structure_and_rule_makes_a_difference():
    """Except for the solver for Sigma, which leads to the same inverse."""
    different = [options for options in EVERY_OPTION if "doubling" not in options.values()]
    products = [
        oracles.vec(inverse_of(factors(), **options).multiply(vectors())) for options in different
    ]
    for one, other in combinations(products, 2):
        assert oracles.relative_error(one, other) > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kind": "diagonal"},
            "inverse=diagonal: must be block_tridiagonal, block_diagonal, ekfac or identity",
        ),
        (
            {**TRIDIAGONAL, "tikhonov": "none"},
            "tikhonov=none: must be factored, exact or exact_first",
        ),
        ({**TRIDIAGONAL, "pi": "2"}, "pi=2: must be trace, frobenius, spectral or one"),
        (
            {**TRIDIAGONAL, "sigma_solver": "cg"},
            "sigma_solver=cg: must be auto, decomposition or doubling",
        ),
        ({**TRIDIAGONAL, "tikhonov": "exact"}, "tikhonov=exact: needs inverse=block_diag"),
        ({"kind": "block_diagonal", "tikhonov": "exact", "pi": "one"}, "pi=one: exact Tikhonov"),
        (
            {"kind": "block_diagonal", "sigma_solver": "doubling"},
            "sigma_solver=doubling: needs inverse=block_tridiagonal",
        ),
    ],
)
def test_invalid_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        inverse_of(factors(), **options)
    with pytest.raises(ValueError, match=message):
        KFACOptions(**named(options))


@EACH_OPTION
def test_valid_options_pass_the_check(options):
    KFACOptions(**named(options))


def inverse_of(given, gamma=GAMMA, fallbacks=None, **options):
    curvature = make_curvature(KFACOptions(**named(options)), fallbacks)
    curvature.update(given, 1)
    [inverse] = curvature.inverses([gamma])
    return inverse


def restored(state, **options):
    return make_curvature(KFACOptions(**named(options))).restore(state)


def named(options):
    """The same with the names of KFACOptions, and factored damping unless it says otherwise."""
    given = {"inverse" if name == "kind" else name: value for name, value in options.items()}
    return {"tikhonov": "factored"} | given


# --- products ------------------------------------------------------------------------------------


@EACH_OPTION
def test_factors_and_vectors_are_not_modified(options):
    given, v = factors(), vectors()
    before = [tensor.clone() for tensor in (*given.tensors(), *v)]
    inverse_of(given, **options).multiply(v)
    assert same([*given.tensors(), *v], before)


@pytest.mark.parametrize("kind", ["block_diagonal", "block_tridiagonal"])
def test_float32_factors_give_float32_products_close_to_the_dense_ones(kind):
    statistics, gamma = oracles.statistics(*problem(CHAIN, 40)), 0.1
    wide = oracles.tridiagonal(statistics, KroneckerFactors)
    single = KroneckerFactors(*([m.float() for m in ms] for ms in vars(wide).values()))
    result = inverse_of(single, gamma, kind=kind).multiply([w.float() for w in vectors()])
    assert all(w.dtype == torch.float32 for w in result)
    dense = oracles.approximate_fisher(kind, statistics, gamma)
    expected = torch.linalg.solve(dense, oracles.vec(vectors()))
    assert oracles.relative_error(oracles.vec(result).double(), expected) < 1e-4


# --- saved states --------------------------------------------------------------------------------


@EACH_OPTION
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saved_inverse_is_restored_exactly(options, dtype):
    """Through a file of plain containers and tensors, read by torch's safe loader."""
    given = KroneckerFactors(*([m.to(dtype) for m in ms] for ms in vars(factors()).values()))
    inverse, file = inverse_of(given, **options), io.BytesIO()
    torch.save(inverse.state_dict(), file)
    again = restored(torch.load(io.BytesIO(file.getvalue()), weights_only=True), **options)
    assert type(again) is type(inverse)
    cast = [v.to(dtype) for v in vectors()]
    assert same(again.multiply(cast), inverse.multiply(cast))
    assert same_state(again.state_dict(), inverse.state_dict())


def test_a_fallback_from_doubling_to_decompositions_is_restored_as_such():
    given = factors(cases=1)
    given.gradient_next[1].zero_()
    inverse = inverse_of(given, 1e-8, sigma_solver="doubling")
    assert len({type(coupling) for coupling in inverse.couplings}) == 2
    again = restored(inverse.state_dict(), sigma_solver="doubling")
    assert same(again.multiply(vectors()), inverse.multiply(vectors()))


def test_the_state_of_another_class_is_refused():
    state = inverse_of(factors()).state_dict()
    with pytest.raises(ValueError, match=r"a saved Nothing where .*BlockTridiagonalInverse"):
        restored({**state, "type": "Nothing"})
    with pytest.raises(ValueError, match="a saved BlockTridiagonalInverse where"):
        BlockDiagonalInverse.from_state_dict(state)


# --- fallbacks -----------------------------------------------------------------------------------


@EACH_OPTION
def test_nothing_is_counted_without_a_fallback(options):
    fallbacks = Fallbacks()
    inverse_of(factors(), fallbacks=fallbacks, **options)
    assert fallbacks == Fallbacks()


@pytest.mark.parametrize("kind", ["block_diagonal", "block_tridiagonal"])
def test_each_factor_that_is_not_positive_definite_is_counted(kind):
    given, fallbacks = factors(), Fallbacks()
    for matrix in (given.gradient[1], given.activation[2]):
        middle = torch.linalg.eigvalsh(matrix)[-2:].mean()
        matrix -= middle * torch.eye(len(matrix), dtype=matrix.dtype)  # one eigenvalue is still > 0
    for _ in range(2):
        inverse_of(given, 1e-3, kind=kind, fallbacks=fallbacks)
    assert fallbacks.clipped_factors == 4


def test_the_first_of_a_kind_is_a_warning_and_the_others_are_not(caplog):
    indefinite, fallbacks = torch.diag(torch.tensor([1.0, -1.0])), Fallbacks()
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            inverse_root(indefinite, fallbacks)
    assert [r.levelno for r in caplog.records] == [logging.WARNING, logging.DEBUG, logging.DEBUG]
    assert asdict(fallbacks) == {
        "clipped_factors": 3,
        "clipped_sums": 0,
        "unconverged_doublings": 0,
    }
