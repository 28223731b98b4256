"""Figures 2, 3, 5 and 6: what is compared in each."""

from collections.abc import Iterator, Sequence

from kfac_cli.paper.fisher.blocks import block_means
from kfac_cli.paper.fisher.heat_map import HeatMap, Panel, block_sizes, panel, same_scale, top_of
from kfac_cli.paper.fisher.matrices import Matrices

AXIS = "weights of layer"

FISHER, INVERSE, DIFFERENCE = 0.98, 0.96, 0.9
"""The part of the entries that the scale resolves; the largest of an inverse are on its diagonal.

Figure 6 resolves less of them, so that the differences can be seen.
"""


def figures(m: Matrices, layers: Sequence[int]) -> Iterator[HeatMap]:
    """The four figures; `layers` are the numbers of the layers, the first of all being 0."""

    def picture(number: int, title: str, *rows: tuple[Panel, ...]) -> HeatMap:
        names = tuple(str(layer + 1) for layer in layers)
        return HeatMap(f"figure-{number}", title, rows, block_sizes(m.where), names, AXIS)

    yield picture(
        2,
        "F and its Kronecker-factored approximation F̃",
        same_scale(FISHER, ("|F|", m.exact), ("|F̃|", m.tilde), ("|F − F̃|", m.exact - m.tilde)),
    )
    means = block_means(m.tilde_inverse, m.where)
    yield picture(
        3,
        "F̃ and its damped inverse",
        (
            panel("|F̃|", m.tilde, top_of(m.tilde, FISHER)),
            panel("|F̃⁻¹|", m.tilde_inverse, top_of(m.tilde_inverse, INVERSE)),
            Panel("mean of |F̃⁻¹| in each block", means, float(means.max()), numbers=True),
        ),
    )
    yield picture(
        5,
        "F̃ and its approximations F̆ (block-diagonal) and F̂ (block-tridiagonal inverse)",
        same_scale(FISHER, ("|F̃|", m.tilde), ("|F̆|", m.breve), ("|F̃ − F̆|", m.tilde - m.breve)),
        same_scale(FISHER, ("|F̃|", m.tilde), ("|F̂|", m.hat), ("|F̃ − F̂|", m.tilde - m.hat)),
    )
    exact = ("|F̃⁻¹|", m.tilde_inverse)
    yield picture(
        6,
        "F̃⁻¹ and its approximations F̆⁻¹ and F̂⁻¹, all damped",
        same_scale(
            DIFFERENCE,
            exact,
            ("|F̆⁻¹|", m.breve_inverse),
            ("|F̃⁻¹ − F̆⁻¹|", m.tilde_inverse - m.breve_inverse),
        ),
        same_scale(
            DIFFERENCE,
            exact,
            ("|F̂⁻¹|", m.hat_inverse),
            ("|F̃⁻¹ − F̂⁻¹|", m.tilde_inverse - m.hat_inverse),
        ),
    )
