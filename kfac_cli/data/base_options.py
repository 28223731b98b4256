"""What all datasets share: the network, and where their files are.

Nothing here needs torch.
"""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from kfac_cli.engine.declaration import OptionError, options
from kfac_cli.engine.option_types import About, Integer, Items
from kfac_cli.engine.options.network import CONNECTIONS, Activation, Initialization, Output
from kfac_cli.errors import counted

Report = Callable[[str, int, int], None]
"""Takes what is being done, how much of it is done, and how much it is."""

WIDEST = 100_000
"""Units that a layer may have."""

Width = Annotated[int, Integer(1, WIDEST)]
Pixelwise = Annotated[
    Literal["bernoulli", "gaussian"],
    About(
        "distribution of the outputs: logistic units and cross-entropy, or half the squared error"
    ),
]


def silent(what: str, done: int, total: int) -> None:
    """A report that nobody reads."""


@options
class DatasetOptions:
    """Options of every dataset: the network that is trained on it.

    `FOLDER` is where its files are within the data folder, None for files named by options.
    """

    FOLDER: ClassVar[str | None]

    layer_sizes: Annotated[
        tuple[Width, ...], Items(2, 1000), About("widths of the layers, d_0 … d_l", "d_i", "2.1")
    ]
    activations: Annotated[
        tuple[Activation, ...],
        Items(0, 998),
        About("activation function of every layer but the last", "φ_i", "2.1"),
    ]
    initialization: Annotated[
        Initialization,
        About(
            "initial weights: sparse (Martens 2010), glorot (Glorot and Bengio 2010, uniform) or "
            "he (He et al. 2015, normal, for relu)",
            "θ₁",
            "13",
        ),
    ] = "sparse"
    connections: Annotated[
        Width,
        About("incoming weights of a unit that are not 0, for initialization=sparse"),
    ] = CONNECTIONS
    name: str
    output: Output

    def __post_init__(self) -> None:
        if self.initialization != "sparse" and self.connections != CONNECTIONS:
            reason = "needs {initialization}=sparse; the others connect a unit to all its inputs"
            raise OptionError("connections", self.connections, reason)
        between = len(self.layer_sizes) - 2
        if len(self.activations) != between:
            reason = (
                f"must be {counted(between, 'word')}, one for each layer between the first and "
                f"the last of {{layer_sizes}}, and has {len(self.activations)}"
            )
            raise OptionError("activations", self.activations, reason)


@options
class AutoencoderOptions(DatasetOptions):
    """Options of every dataset of square images, `SIDE` pixels wide, that are to be reproduced."""

    SIDE: ClassVar[int]

    def __post_init__(self) -> None:
        super().__post_init__()
        pixels = self.SIDE**2
        if (self.layer_sizes[0], self.layer_sizes[-1]) != (pixels, pixels):
            reason = f"must begin and end with {pixels}, the pixels of an image of {self.name}"
            raise OptionError("layer_sizes", self.layer_sizes, reason)
