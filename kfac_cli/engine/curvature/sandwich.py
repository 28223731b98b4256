"""Products of three matrices."""

from torch import Tensor


def sandwich(left: Tensor, matrix: Tensor, right: Tensor) -> Tensor:
    """`left` (k, p) times `matrix` (p, q) times `right` (q, n), in the order that is cheaper.

    The multiplications are k q (p + n) from the left and n p (q + k) from the right.
    """
    (rows, p), (q, columns) = left.shape, right.shape
    if rows * q * (p + columns) <= columns * p * (q + rows):
        return (left @ matrix) @ right
    return left @ (matrix @ right)
