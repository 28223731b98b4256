"""The mean absolute entry of every block of every matrix, as a table."""

from collections.abc import Sequence

from kfac_cli.paper.fisher.blocks import block_means
from kfac_cli.paper.fisher.matrices import Matrices
from kfac_cli.report.table import Cell, Table, number_cell, text_cell


def block_table(m: Matrices, layers: Sequence[int]) -> Table:
    """A row for each block; `layers` are the numbers of the layers, the first of all being 0."""
    matrices = {
        "F": m.exact,
        "F̃": m.tilde,
        "F - F̃": m.exact - m.tilde,
        "bound of F - F̃": m.bound,
        "F̆": m.breve,
        "F̂": m.hat,
        "F̃ - F̆": m.tilde - m.breve,
        "F̃ - F̂": m.tilde - m.hat,
        "F⁻¹": m.exact_inverse,
        "F̃⁻¹": m.tilde_inverse,
        "F̆⁻¹": m.breve_inverse,
        "F̂⁻¹": m.hat_inverse,
        "F̃⁻¹ - F̆⁻¹": m.tilde_inverse - m.breve_inverse,
        "F̃⁻¹ - F̂⁻¹": m.tilde_inverse - m.hat_inverse,
    }
    rows: list[tuple[Cell, ...]] = []
    for name, matrix in matrices.items():
        for i, row in enumerate(block_means(matrix, m.where).tolist()):
            for j, mean in enumerate(row):
                place = number_cell(layers[i] + 1), number_cell(layers[j] + 1)
                rows.append((text_cell(name), *place, number_cell(mean)))
    columns = "matrix", "row layer", "column layer", "mean absolute entry"
    return Table("blocks", "Mean absolute entries of the blocks", columns, tuple(rows))
