"""Eigendecompositions of Kronecker factors, of low rank too."""

import pytest
import torch

from kfac_cli.engine.curvature import eigenbasis
from kfac_cli.engine.curvature.eigenbasis import RANK_SHARE, SMALLEST_OF_LOW_RANK, eigenbases
from kfac_cli.engine.curvature.pivoted_cholesky import low_rank_rows

SIZE = SMALLEST_OF_LOW_RANK + 13
EPS = torch.finfo(torch.float64).eps
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def second_moment(cases, size=SIZE, dtype=torch.float64, seed=0):
    """E[x xᵀ] over so many cases of coordinates whose sizes differ a hundredfold."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(cases, size, generator=generator, dtype=dtype)
    rows *= torch.logspace(0, -2, size, dtype=dtype)
    return rows.T @ rows / cases


@pytest.fixture
def decompositions(monkeypatch):
    """The sizes of the matrices that are decomposed by eigh."""
    sizes, eigh = [], torch.linalg.eigh

    def counted(matrix):
        sizes.append(len(matrix))
        return eigh(matrix)

    monkeypatch.setattr(eigenbasis.torch.linalg, "eigh", counted)
    return sizes


@DTYPES
@pytest.mark.parametrize("cases", [0, 1, 5, SIZE // 5])
def test_from_few_cases_only_as_many_rows_are_decomposed(decompositions, cases, dtype):
    matrix = second_moment(cases or 1, dtype=dtype) * min(cases, 1)
    [(values, vectors)] = eigenbases([matrix], few_cases=True)
    assert max(decompositions) <= cases + 32
    assert_decomposes(matrix, values, vectors)
    assert (values[: SIZE - cases - 32] == 0).all()


@DTYPES
@pytest.mark.parametrize("cases", [SIZE // 2, 2 * SIZE])
def test_from_many_cases_all_of_it_is_decomposed(decompositions, cases, dtype):
    matrix = second_moment(cases, dtype=dtype)
    [(values, vectors)] = eigenbases([matrix], few_cases=True)
    assert decompositions == [SIZE]
    assert_decomposes(matrix, values, vectors)


@pytest.mark.parametrize(("cases", "by_rank"), [(SIZE // RANK_SHARE, True), (SIZE // 2, False)])
def test_a_third_of_the_rows_is_the_largest_low_rank(decompositions, cases, by_rank):
    eigenbases([second_moment(cases).float()], few_cases=True)
    assert (max(decompositions) < SIZE) == by_rank


def test_a_low_rank_is_looked_for_only_where_cases_are_few(decompositions):
    """Later it is not there, and a search for it would add a fifth to the decomposition."""
    eigenbases([second_moment(5)])
    assert decompositions == [SIZE]


def test_a_matrix_that_is_indefinite_by_more_than_rounding_is_decomposed_as_it_is(decompositions):
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)
    matrix = second_moment(60)
    scale = matrix.diagonal().sqrt()
    matrix += 1e-6 * scale * scale[:, None] * (noise + noise.T)
    assert low_rank_rows(matrix, SIZE, torch.finfo(torch.float32).eps) is None
    eigenbases([matrix.float()], few_cases=True)
    assert decompositions == [SIZE]


def test_an_indefinite_matrix_with_nothing_on_its_diagonal_is_not_one_of_rank_0():
    matrix = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    matrix[0, 1] = matrix[1, 0] = 1
    assert low_rank_rows(matrix, SIZE, EPS) is None


def test_a_low_rank_has_the_same_bits_for_every_number_of_threads():
    """`eigenbases` works on each matrix with one thread."""
    matrices, made = [second_moment(40, seed=seed).float() for seed in (0, 1)], []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            made.append(eigenbases(matrices, few_cases=True))
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(*made, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def assert_decomposes(matrix, values, vectors):
    wide = matrix.double()
    largest = float(torch.linalg.matrix_norm(wide, 2))
    rounding = 40 * torch.finfo(matrix.dtype).eps * largest
    assert float(((vectors * values) @ vectors.T - wide).abs().max()) <= rounding
    identity = torch.eye(len(matrix), dtype=torch.float64)
    torch.testing.assert_close(vectors.T @ vectors, identity, rtol=0, atol=100 * EPS)
    assert (values >= 0).all() and (values.diff() >= 0).all()
    expected = torch.linalg.eigvalsh(wide)
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=3 * rounding)


def test_the_average_of_two_has_the_rank_of_both(decompositions):
    matrix = (second_moment(20, seed=1) + second_moment(30, seed=2)) / 2
    [(values, vectors)] = eigenbases([matrix], few_cases=True)
    assert max(decompositions) <= 50 + 32
    assert_decomposes(matrix, values, vectors)
    assert float(values[-50]) > 1e-6 > 1e-14 > float(values[-51])


def test_small_matrices_are_decomposed_as_they_are(decompositions):
    eigenbases([second_moment(2, size=SMALLEST_OF_LOW_RANK - 1)], few_cases=True)
    assert decompositions == [SMALLEST_OF_LOW_RANK - 1]


def test_the_rows_are_those_of_a_cholesky_factor_with_pivots():
    """Higham: LᵀL = M; here a pivot is the diagonal entry of which the largest share is left."""
    matrix = second_moment(12)
    rows = low_rank_rows(matrix, SIZE, EPS)
    torch.testing.assert_close(rows.T @ rows, matrix)
    left = matrix.diagonal().clone()
    for row in rows[:12]:
        pivot = int((left / matrix.diagonal()).argmax())
        assert float(row[pivot].square()) == pytest.approx(float(left[pivot]))
        left = (left - row.square()).clamp_min(0)
        left[pivot] = 0
    assert not rows[12:].any()


def test_what_is_small_is_kept_if_it_is_large_beside_its_own_coordinate():
    """A coordinate a million times smaller than the first, and independent of the others."""
    matrix = second_moment(5).float()
    matrix[7] = matrix[:, 7] = 0
    matrix[7, 7] = 1e-12 * matrix[0, 0]
    [(values, vectors)] = eigenbases([matrix], few_cases=True)
    assert float(values[-6]) == pytest.approx(float(matrix[7, 7]))
    assert float(vectors[7, -6].abs()) == pytest.approx(1)


def test_a_rank_above_the_limit_is_none_and_one_at_it_is_found():
    matrix = second_moment(40)
    assert low_rank_rows(matrix, 39, EPS) is None
    rows = low_rank_rows(matrix, 40, EPS)
    torch.testing.assert_close(rows.T @ rows, matrix)


def test_a_matrix_that_is_not_finite_is_refused():
    matrix = second_moment(5)
    matrix[3, 3] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        eigenbases([matrix])
