"""The options of each dataset. Nothing here needs torch."""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator
from pydantic_core import ArgsKwargs

from kfac_cli.data.base_options import AutoencoderOptions, DatasetOptions, Pixelwise, Width
from kfac_cli.data.idx_defaults import completed
from kfac_cli.engine.declaration import OptionError, options
from kfac_cli.engine.option_types import About, Count, FilePath, Integer, Items, Number, Seed
from kfac_cli.engine.options.network import Activation, Output

DIGITS = 10


@options
class CurvesOptions(AutoencoderOptions):
    """CURVES, generated."""

    SIDE: ClassVar[int] = 28
    FOLDER: ClassVar[str] = "curves"

    name: Literal["curves"]
    output: Pixelwise
    train_cases: Annotated[int, Integer(1, 1_000_000), About("images to train on")]
    test_cases: Annotated[int, Integer(1, 1_000_000), About("images to test on")]
    seed: Annotated[Seed, About("seed of the generated images, not of the run")]
    spread: Annotated[
        float, Number(0, 1), About("how far ink spreads; calibrated, not published", "a")
    ]
    ink: Annotated[
        float,
        Number(0, 10, low_open=True),
        About("how dark a stroke is; calibrated, not published", "b"),
    ]


MnistTrainCases = Annotated[
    Annotated[int, Integer(1, 60_000)] | None,
    About("leading images to train on; null for all 60,000"),
]
MnistTestCases = Annotated[
    Annotated[int, Integer(1, 10_000)] | None,
    About("leading images to test on; null for all 10,000"),
]


@options
class MnistOptions(AutoencoderOptions):
    """MNIST's images, reproduced by an autoencoder."""

    SIDE: ClassVar[int] = 28
    FOLDER: ClassVar[str] = "MNIST"

    name: Literal["mnist"]
    output: Pixelwise
    train_cases: MnistTrainCases
    test_cases: MnistTestCases


@options
class MnistLabelsOptions(DatasetOptions):
    """MNIST's images, classified."""

    FOLDER: ClassVar[str] = "MNIST"

    name: Literal["mnist_labels"]
    output: Annotated[
        Literal["categorical"], About("distribution of the outputs: a softmax over the classes")
    ]
    train_cases: MnistTrainCases
    test_cases: MnistTestCases

    def __post_init__(self) -> None:
        super().__post_init__()
        pixels = MnistOptions.SIDE**2
        if (self.layer_sizes[0], self.layer_sizes[-1]) != (pixels, DIGITS):
            reason = (
                f"must begin with {pixels}, the pixels of an image, and end with {DIGITS}, the "
                "digits"
            )
            raise OptionError("layer_sizes", self.layer_sizes, reason)


@options
class FacesOptions(AutoencoderOptions):
    """FACES, built from the Olivetti photographs."""

    SIDE: ClassVar[int] = 25
    FOLDER: ClassVar[str] = "faces"

    name: Literal["faces"]
    output: Pixelwise
    crops_per_photograph: Annotated[
        int,
        Integer(1, 10_000),
        About("images made of each photograph; 414 make 103,500 to train on and 41,400 to test on"),
    ]
    subsampling: Annotated[
        float,
        Number(1, 2.6),
        About("pixels of a photograph between neighbouring pixels at scale 1; calibrated"),
    ]
    seed: Annotated[Seed, About("seed of the rotations, scales and crops, not of the run")]
    train_cases: Annotated[Count | None, About("leading images to train on; null for all")]
    test_cases: Annotated[Count | None, About("leading images to test on; null for all")]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output == "bernoulli":
            raise OptionError("output", "bernoulli", "must be gaussian; faces are not in [0, 1]")


@options
class ArraysOptions(DatasetOptions):
    """The user's own arrays, from one .npz file or from .npy files."""

    FOLDER: ClassVar[None] = None

    name: Literal["arrays"]
    output: Annotated[
        Output,
        About(
            "distribution of the outputs: bernoulli (targets in [0, 1], cross-entropy), gaussian "
            "(half the squared error) or categorical (classes, cross-entropy of a softmax)"
        ),
    ]
    file: Annotated[
        FilePath | None,
        About(
            "an .npz file with all arrays, named as the settings of the .npy files: train_inputs, "
            "and train_targets, test_inputs and test_targets where there are such"
        ),
    ]
    train_inputs: Annotated[FilePath | None, About("a .npy file, (cases, d_0)")]
    train_targets: Annotated[
        FilePath | None,
        About(
            "a .npy file, (cases, d_l), or (cases,) for labels or with one output; null for the "
            "inputs"
        ),
    ]
    test_inputs: Annotated[
        FilePath | None, About("a .npy file, (cases, d_0); null for the training cases")
    ]
    test_targets: Annotated[
        FilePath | None, About("a .npy file like train_targets, where that and test_inputs are")
    ]
    image_shape: Annotated[
        tuple[Width, Width] | None,
        About(
            "[height, width] in pixels, which shows the outputs as images in run.png, TensorBoard "
            "and the report; null for no images"
        ),
    ]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_paths()
        sizes, shape = self.layer_sizes, self.image_shape
        if self.output == "categorical":
            if sizes[-1] < 2:
                reason = "must end with the number of classes, 2 or more"
                raise OptionError("layer_sizes", sizes, reason)
            if shape is not None:
                raise OptionError("image_shape", shape, "must be null with {output}=categorical")
        if shape is not None and math.prod(shape) != sizes[-1]:
            reason = f"must have as many pixels as the last of {{layer_sizes}}, {sizes[-1]}"
            raise OptionError("image_shape", shape, reason)

    def _check_paths(self) -> None:
        inputs = {"train_inputs": self.train_inputs, "test_inputs": self.test_inputs}
        targets = {"train_targets": self.train_targets, "test_targets": self.test_targets}
        if self.file is not None:
            for name, path in (inputs | targets).items():
                if path is not None:
                    raise OptionError(name, path, "must be null when {file} is given")
            return
        if self.train_inputs is None:
            raise OptionError("train_inputs", None, "must be a path, or give {file}")
        tested = self.train_targets is not None and self.test_inputs is not None
        if tested != (self.test_targets is not None):
            expected = "a path" if tested else "null"
            reason = f"must be {expected}: there is one for {{test_inputs}} where there are "
            raise OptionError("test_targets", self.test_targets, reason + "{train_targets}")
        if self.train_targets is None and self.output == "categorical":
            reason = "must be a path, since {output}=categorical"
            raise OptionError("train_targets", None, reason)
        if self.train_targets is None and self.layer_sizes[0] != self.layer_sizes[-1]:
            reason = "without targets the net reproduces its inputs: first and last must be equal"
            raise OptionError("layer_sizes", self.layer_sizes, reason)


@options
class IdxOptions(DatasetOptions):
    """The user's own images in IDX files, the format of MNIST: reproduced, or classified."""

    FOLDER: ClassVar[None] = None

    name: Literal["idx"]
    layer_sizes: Annotated[
        tuple[Width, ...],
        Items(2, 1000),
        About(
            "widths of the layers, d_0 … d_l; null for [d,1000,500,250,30,250,500,1000,d] with the "
            "d pixels of an image or, with labels, [d,400,200,c] with the c classes",
            "d_i",
            "2.1",
        ),
    ]
    activations: Annotated[
        tuple[Activation, ...],
        Items(0, 998),
        About(
            "activation function of every layer but the last; null for logistic, and linear in the "
            "narrowest layer, or, with labels, relu",
            "φ_i",
            "2.1",
        ),
    ]
    output: Annotated[
        Output,
        About(
            "distribution of the outputs; null for categorical with labels, otherwise bernoulli "
            "for images of unsigned bytes and gaussian for others"
        ),
    ]
    images: Annotated[
        FilePath,
        About(
            "an IDX file of images to train on, compressed with gzip or not; unsigned bytes are "
            "divided by 255, other numbers used as they are"
        ),
    ]
    labels: Annotated[
        FilePath | None, About("an IDX file of their labels; null to reproduce the images")
    ]
    test_images: Annotated[
        FilePath | None, About("an IDX file of images to test on; null for those to train on")
    ]
    test_labels: Annotated[FilePath | None, About("an IDX file of the labels of test_images")]
    train_cases: Annotated[Count | None, About("leading images to train on; null for all")]
    test_cases: Annotated[Count | None, About("leading images to test on; null for all")]

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        if isinstance(given, ArgsKwargs):
            return ArgsKwargs(given.args, completed(given.kwargs or {}))
        return completed(given) if isinstance(given, dict) else given

    def __post_init__(self) -> None:
        super().__post_init__()
        classifies = self.output == "categorical"
        if classifies and self.labels is None:
            raise OptionError("labels", None, "must be a path, since {output}=categorical")
        if not classifies and self.labels is not None:
            raise OptionError("output", self.output, "must be categorical with {labels}")
        if not classifies and self.layer_sizes[0] != self.layer_sizes[-1]:
            reason = "without labels the net reproduces its inputs: first and last must be equal"
            raise OptionError("layer_sizes", self.layer_sizes, reason)
        if (self.test_labels is not None) != (classifies and self.test_images is not None):
            expected = "null" if self.test_labels is not None else "a path"
            reason = (
                f"must be {expected}: there is one for {{test_images}} where there are {{labels}}"
            )
            raise OptionError("test_labels", self.test_labels, reason)
        if self.test_cases is not None and self.test_images is None:
            raise OptionError("test_cases", self.test_cases, "must be null without {test_images}")
