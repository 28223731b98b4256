"""The options of every optimizer, and the range of a learning rate.

Nothing here needs torch.
"""

from typing import Annotated, ClassVar, Literal

from kfac_cli.engine.declaration import options
from kfac_cli.engine.option_types import About, Integer, Number

LearningRate = Annotated[float, Number(0, 1000, low_open=True)]

L2 = Annotated[
    float,
    Number(0, 1000),
    About("ℓ₂ coefficient: the objective is the mean loss + η/2 ‖θ‖², biases included", "η", "13"),
]
ChunkSize = Annotated[
    Literal["auto"] | Annotated[int, Integer(1, 10**9)],
    About(
        "cases computed at once: bounds the memory and does not change results; auto: by the free "
        "memory of a GPU, 2000 on a CPU"
    ),
]


@options
class OptimizerOptions:
    """Options of every optimizer, which a run sets for whichever it has.

    `STATE` says what an optimizer has learnt besides its parameters. `STRUCTURE` names the options
    that decide which tensors that is: where they differ, it is of no use to another optimizer.
    """

    STATE: ClassVar[str]
    STRUCTURE: ClassVar[tuple[str, ...]] = ()

    l2: L2 = 1e-5
    chunk_size: ChunkSize = "auto"

    def planned_values(self, updates_done: int, planned: int) -> tuple[float, ...]:
        """What an update depends on that depends on the number of updates planned; mostly nothing.

        A run that is resumed with another number continues exactly where these are the same.
        """
        return ()
