"""Products of three matrices."""

from torch import Tensor

from kfac_cli.engine.products import BLAS, Products


def sandwich(left: Tensor, matrix: Tensor, right: Tensor, products: Products = BLAS) -> Tensor:
    """`left` (k, p) times `matrix` (p, q) times `right` (q, n), in the order that is cheaper.

    The multiplications are k q (p + n) from the left and n p (q + k) from the right.
    """
    multiply = products.multiply
    (rows, p), (q, columns) = left.shape, right.shape
    if rows * q * (p + columns) <= columns * p * (q + rows):
        return multiply(multiply(left, matrix), right)
    return multiply(left, multiply(matrix, right))
