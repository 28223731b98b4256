"""Class labels as the rows of probabilities that a categorical output is trained on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def one_hot(labels: NDArray[Any], classes: int) -> NDArray[np.float32]:
    """Rows (N, classes) of zeros with a 1 where the label, a whole number 0 … classes-1, says."""
    rows = np.zeros((len(labels), classes), dtype=np.float32)
    rows[np.arange(len(labels)), labels.astype(np.int64)] = 1
    return rows
