"""Every way to make a product gives A B to rounding, for any view, and no other switch changes."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kfac_cli.engine import KFAC, KFACOptions, Network
from kfac_cli.engine.products import BLAS, Blas, OneDnn, Products, Tf32, onednn_linear

LINEAR = onednn_linear()
WITH_ONEDNN = pytest.mark.skipif(LINEAR is None, reason="this torch has no oneDNN")
EACH = pytest.mark.parametrize(
    "products",
    [BLAS, Tf32(), pytest.param(OneDnn(LINEAR), marks=WITH_ONEDNN)],
    ids=lambda products: products.name,
)
SHAPES = [(512, 256, 128), (131, 517, 257), (1000, 900, 31), (3, 4, 5), (1, 7, 1), (4, 0, 3)]
LAYOUTS = {
    "plain": lambda matrix: matrix,
    "transposed": lambda matrix: matrix.T.contiguous().T,
    "some columns": lambda matrix: torch.nn.functional.pad(matrix, (0, 3))[:, :-3],
    "some columns of the transpose": lambda matrix: (
        torch.nn.functional.pad(matrix.T.contiguous(), (0, 3))[:, :-3].T
    ),
    "every other row": lambda matrix: matrix.repeat_interleave(2, 0)[::2],
}


def normal(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def assert_product(actual, left, right, more=0.0):
    expected = left.double() @ right.double() + more
    error = (actual.double() - expected).norm()
    assert actual.shape == expected.shape
    assert error <= 2e-6 * expected.norm()


@EACH
@pytest.mark.parametrize("right_layout", LAYOUTS)
@pytest.mark.parametrize("left_layout", LAYOUTS)
def test_a_product_is_exact_to_rounding(products, left_layout, right_layout):
    for m, k, n in SHAPES:
        left = LAYOUTS[left_layout](normal(m, k))
        right = LAYOUTS[right_layout](normal(k, n, seed=1))
        before = left.clone(), right.clone()
        assert_product(products.multiply(left, right), left, right)
        assert torch.equal(left, before[0]) and torch.equal(right, before[1])


@EACH
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_a_product_is_written_or_added_to_a_view(products, m, k, n):
    left, right, whole = normal(m, k), normal(k, n, seed=1), normal(m, n + 2, seed=2)
    ones = torch.ones(m, n + 2)
    for out in (ones[:, 2:], ones[:, 1:-1]):
        products.write(left, right, out=out)
        assert_product(out, left, right)
    out = whole[:, 1:-1]
    before = out.double()
    products.add(left, right, out=out)
    assert_product(out, left, right, more=before)


@EACH
def test_a_chain_is_multiplied_from_the_left(products):
    matrices = normal(300, 5), normal(5, 400, seed=1), normal(400, 300, seed=2)
    expected = products.multiply(products.multiply(*matrices[:2]), matrices[2])
    assert torch.equal(products.chain(*matrices), expected)
    assert products.chain(matrices[0]) is matrices[0]


@EACH
def test_float64_stays_with_torch_bit_for_bit(products):
    left, right = (normal(300, 300, seed=seed, dtype=torch.float64) for seed in (0, 1))
    assert torch.equal(products.multiply(left, right), left @ right)


# --- oneDNN --------------------------------------------------------------------------------------


class Recording:
    """A product A Wᵀ that keeps the matrices that it is given."""

    def __init__(self):
        self.weights = []

    def __call__(self, left, weights):
        self.weights.append(weights)
        return left @ weights.T


@pytest.mark.parametrize(
    ("m", "k", "n", "dtype", "taken"),
    [
        (256, 256, 128, torch.float32, True),
        (256, 255, 128, torch.float32, False),  # too few multiply-adds
        (1000, 1000, 127, torch.float32, False),  # too narrow
        (256, 256, 128, torch.float64, False),
        (256, 256, 128, torch.bfloat16, False),
    ],
)
def test_onednn_is_for_large_float32_products_only(m, k, n, dtype, taken):
    recording = Recording()
    products, out = OneDnn(recording), torch.zeros(m, n, dtype=dtype)
    arguments = normal(m, k, dtype=dtype), normal(k, n, dtype=dtype)
    products.multiply(*arguments)
    products.write(*arguments, out=out)
    products.add(*arguments, out=out)
    assert len(recording.weights) == (3 if taken else 0)


def test_products_with_vectors_stay_with_torch():
    recording = Recording()
    matrix, vector = torch.ones(3000, 3000), torch.ones(3000)
    assert torch.equal(OneDnn(recording).multiply(matrix, vector), matrix @ vector)
    assert recording.weights == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_onednn_gets_dense_matrices_or_their_transposes_only(layout):
    """For others it would use a reference implementation, a thousand times slower."""
    recording = Recording()
    OneDnn(recording).multiply(normal(256, 256), LAYOUTS[layout](normal(256, 256)))
    [weights] = recording.weights
    assert weights.is_contiguous() or weights.T.is_contiguous()


def test_without_the_operator_there_is_no_such_product(monkeypatch):
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert onednn_linear() is None


# --- TF32 ----------------------------------------------------------------------------------------


def precision():
    switch = torch.backends.cuda.matmul
    return switch.fp32_precision if hasattr(switch, "fp32_precision") else switch.allow_tf32


@pytest.mark.parametrize("method", ["multiply", "write", "add"])
def test_tf32_is_allowed_during_a_product_only(monkeypatch, method):
    before, during = precision(), []

    def fail(*arguments):
        during.append(precision())
        raise MemoryError

    monkeypatch.setattr(Blas, method, fail)
    out = () if method == "multiply" else (torch.zeros(2, 2),)
    with pytest.raises(MemoryError):
        getattr(Tf32(), method)(torch.ones(2, 2), torch.ones(2, 2), *out)
    assert during in (["tf32"], [True])
    assert precision() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tf32_rounds_the_factors_on_a_gpu_and_blas_does_not():
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    left, right = (normal(512, 512, seed=seed) for seed in (0, 1))
    exact = left.double() @ right.double()

    def error(products):
        product = products.multiply(left.cuda(), right.cuda()).cpu().double()
        return float((product - exact).norm() / exact.norm())

    assert error(BLAS) < 2e-6
    assert 1e-5 < error(Tf32()) < 1e-3


# --- the engine ----------------------------------------------------------------------------------


class Watched(Products):
    """torch's products, during which `busy` is true."""

    name = "watched"

    def __init__(self):
        self.busy = False

    def multiply(self, left, right):
        return self.watch(BLAS.multiply, left, right)

    def write(self, left, right, out):
        self.watch(BLAS.write, left, right, out)

    def add(self, left, right, out):
        self.watch(BLAS.add, left, right, out)

    def watch(self, function, *arguments):
        self.busy = True
        try:
            return function(*arguments)
        finally:
            self.busy = False


class OtherProducts(TorchDispatchMode):
    """Collects products of float32 matrices that are made while `watched` is not busy."""

    def __init__(self, watched):
        super().__init__()
        self.watched, self.made, self.found = watched, 0, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in ("mm", "addmm", "addmm_") and args[-1].dtype == torch.float32:
            self.made += 1
            if not self.watched.busy:
                self.found.append(name)
        return function(*args, **(kwargs or {}))


OPTIONS = {
    "tridiagonal": {},
    "doubling": {"sigma_solver": "doubling"},
    "diagonal": {"inverse": "block_diagonal"},
    "low rank": {"inverse": "block_diagonal", "l2": 0.0, "chunk_size": 100},
    "l2 on its own": {"inverse": "block_diagonal", "l2_product": "refreshed", "chunk_size": 100},
    "exact Tikhonov": {"inverse": "block_diagonal", "tikhonov": "exact"},
    "EKFAC": {"inverse": "ekfac"},
    "identity": {"inverse": "identity", "gamma_rule": "fixed"},
    "samples": {"samples": 3},
    "exact Fisher": {"fisher": "exact"},
    "conjugate gradients": {"cg_steps": 3},
}


def optimizer_for(products, sizes, **options):
    network = Network(sizes, ["logistic"] * (len(sizes) - 2), "bernoulli", products=products)
    parameters = [
        normal(*shape, seed=seed) / shape[1] ** 0.5
        for seed, shape in enumerate(network.parameter_shapes)
    ]
    generator = torch.Generator().manual_seed(0)
    return KFAC(network, parameters, KFACOptions(**options), generator)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_no_float32_product_of_a_step_is_made_elsewhere(options):
    """But for those of a refresh, next to its decompositions."""
    watched = Watched()
    options = {"lambda_initial": 1.0, "t1": 1, "t2": 2, "t3": 2, "chunk_size": 5} | options
    optimizer = optimizer_for(watched, [12, 9, 8, 12], **options)
    refresh = optimizer.curvature.inverses
    optimizer.curvature.inverses = lambda *arguments: watched.watch(refresh, *arguments)
    inputs = normal(12, 12).sigmoid()
    with OtherProducts(watched) as others:
        for _ in range(5):
            optimizer.step(inputs, inputs)
    assert others.made > 50
    assert others.found == []


@WITH_ONEDNN
@pytest.mark.parametrize("name", ["tridiagonal", "diagonal", "exact Tikhonov", "EKFAC"])
def test_training_with_onednn_agrees_with_blas_to_rounding(name):
    """Layers that are large enough for it, with inverses and statistics."""
    calls = []

    def linear(left, weights):
        calls.append(weights.shape)
        return LINEAR(left, weights)

    def objectives(products):
        options = {"lambda_initial": 10.0, "tau1": 1, **OPTIONS[name]}
        optimizer = optimizer_for(products, [256, 192, 256], **options)
        inputs = normal(256, 256).sigmoid()
        return [optimizer.step(inputs, inputs).objective for _ in range(4)]

    expected = objectives(BLAS)
    assert objectives(OneDnn(linear)) == pytest.approx(expected, rel=1e-5)
    assert expected[-1] < expected[0]
    assert len(calls) > 10
