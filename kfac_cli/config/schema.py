"""All settings of a run: the options of its parts under their names in conf/, and its own."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field

from kfac_cli.data.base_options import DatasetOptions
from kfac_cli.data.registry import DATASETS
from kfac_cli.engine.declaration import OptionError, declared_fields, options
from kfac_cli.engine.option_types import (
    About,
    BelowOne,
    Boolean,
    Count,
    CountFromZero,
    Device,
    FilePath,
    FolderName,
    Integer,
    Items,
    Number,
    Seed,
)
from kfac_cli.engine.options.common import L2, ChunkSize, OptimizerOptions
from kfac_cli.engine.registry import OPTIMIZERS
from kfac_cli.schedules import SCHEDULES, ScheduleOptions

Iterations = Annotated[Count, About("parameter updates")]


@options
class OptimizerSection(OptimizerOptions):
    """The section `optimizer`: the options, their kind, and a name for the run's folder."""

    name: Annotated[FolderName, About("names the folder of the run")]
    kind: str


def _section(kind: str, declared: type[OptimizerOptions]) -> type[OptimizerSection]:
    """The section for one kind of optimizer."""
    described = {"__annotations__": {"kind": Literal[kind]}, "__doc__": declared.__doc__}
    return options(type(f"{kind.title()}Section", (declared, OptimizerSection), described))


if TYPE_CHECKING:
    AnyOptimizerSection = OptimizerSection
else:
    _sections = tuple(_section(name, kind.options) for name, kind in OPTIMIZERS.items())
    AnyOptimizerSection = Union[_sections]  # noqa: UP007

SHARED = tuple(declared_fields(OptimizerOptions))
"""Settings of the run that are options of its optimizer too."""


if TYPE_CHECKING:
    AnyDatasetOptions = DatasetOptions
    AnyScheduleOptions = ScheduleOptions
else:
    AnyDatasetOptions = Union[tuple(DATASETS)]  # noqa: UP007
    AnyScheduleOptions = Union[SCHEDULES]  # noqa: UP007


@options
class PresetSettings:
    """Where the values of several settings come from, unless they are given."""

    name: Annotated[FolderName, About("name of the preset; it is chosen as preset=NAME")]


@options
class PolyakSettings:
    """Exponentially decayed averaging of the iterates, section 13."""

    decay: Annotated[
        BelowOne, About("average = decay · average + (1 - decay) · iterate", "ξ", "13")
    ]
    start: Annotated[
        CountFromZero, About("iteration up to which the average is the iterate itself", "", "13")
    ]


@options
class CheckpointSettings:
    """When a run writes checkpoints, besides at its end and on a signal."""

    every: Annotated[Count | None, About("iterations between checkpoints; null for no such rule")]
    minutes: Annotated[
        Annotated[float, Number(0, 1e6, low_open=True)] | None,
        About("minutes between checkpoints; null for no such rule"),
    ]
    keep: Annotated[
        Annotated[int, Integer(0, 1000)],
        About(
            "checkpoints kept, the newest; 0 for two while the run lasts and none once it has "
            "ended as planned, so that it cannot be resumed or started from"
        ),
    ] = 2


@options
class RunConfig:
    """One run, checked and complete."""

    dataset: Annotated[AnyDatasetOptions, Field(discriminator="name")]
    preset: PresetSettings
    optimizer: Annotated[AnyOptimizerSection, Field(discriminator="kind")]
    schedule: Annotated[AnyScheduleOptions, Field(discriminator="kind")]
    polyak: PolyakSettings
    checkpoint: CheckpointSettings
    iterations: Iterations
    seed: Annotated[Seed, About("seed of initial parameters, mini-batches and sampled targets")]
    start_from: Annotated[
        FilePath | None,
        About(
            "folder or checkpoint of another run, whose parameters, average and mini-batches "
            "(whatever the seed) this one continues from and, where it fits, from its optimizer's "
            "state with λ and γ; iterations are counted from that run's beginning; null for "
            "random parameters"
        ),
    ]
    device: Annotated[
        Device,
        About(
            "where to compute; auto: a GPU where there is one; cuda:1: the second one; results on "
            "a CPU and a GPU differ by rounding and by the targets that K-FAC samples"
        ),
    ]
    dtype: Annotated[
        Literal["float32", "float64"],
        About("precision; factors are decomposed in float64 either way"),
    ]
    matmul: Annotated[
        Literal["auto", "blas", "onednn", "tf32"],
        About(
            "how float32 matrices are multiplied: blas, as torch does by itself; onednn, by the "
            "oneDNN in torch, twice as fast on processors of AMD with AVX-512; auto: whichever "
            "suits the processor; tf32, for a GPU: with factors rounded to 10 bits"
        ),
    ]
    chunk_size: ChunkSize
    data_dir: Annotated[
        FilePath | None,
        About("folder of data files; null for $KFAC_DATA_DIR, else ~/.cache/kfac-run"),
    ]
    evaluate_every: Annotated[Count, About("iterations between evaluations on all cases")]
    target_error: Annotated[
        Annotated[float, Number(0, 1e12)] | None,
        About("stop once the training error is at most this; null for never"),
    ]
    require_target: Annotated[
        Boolean,
        About(
            "exit code 1 for a run that ends without having reached target_error, which must be set"
        ),
    ]
    max_seconds: Annotated[
        Annotated[float, Number(0, 1e9, low_open=True)] | None,
        About(
            "stop after so many seconds, without those for loading the data; a resumed run counts "
            "anew; null for never"
        ),
    ]
    max_optimizer_seconds: Annotated[
        Annotated[float, Number(0, 1e9, low_open=True)] | None,
        About(
            "stop once the steps of the run have taken so many seconds, evaluations and logging "
            "excluded and earlier processes included: the same for every optimizer; null for never"
        ),
    ] = None
    max_rejections: Annotated[
        Count, About("steps in a row that are rejected or reverted before a run has diverged")
    ]
    l2: L2
    tags: Annotated[
        tuple[FolderName, ...],
        Items(0, 20, "tags, each 1 to 64 letters, digits, - or _"),
        About("names that the summary lists, to find and compare runs by"),
    ]
    tensorboard: Annotated[Boolean, About("whether to write TensorBoard files")]
    threads: Annotated[
        Annotated[int, Integer(1, 1024)] | None,
        About(
            "CPU threads; null for PyTorch's choice, a thread for each core (or $OMP_NUM_THREADS), "
            "but no more than the process's affinity and the container's CPU quota leave; 1 is the "
            "fastest where other programs are busy"
        ),
    ]

    def __post_init__(self) -> None:
        if self.require_target and self.target_error is None:
            raise OptionError("require_target", True, "needs {target_error}; set it to a number")
        if self.matmul == "tf32" and getattr(self.optimizer, "refresh", None) == "background":
            reason = "needs optimizer.refresh=immediate: others would be rounded now and then"
            raise OptionError("matmul", "tf32", reason)

    @property
    def title(self) -> str:
        """What the run is called on the screen and in pictures."""
        return f"{self.dataset.name}, {self.optimizer.name}"


def settings_tree(config: RunConfig) -> dict[str, Any]:
    """The settings as conf/ nests them."""
    tree = asdict(config)
    for name in SHARED:
        del tree["optimizer"][name]
    return tree


def flat_settings(config: RunConfig) -> dict[str, Any]:
    """Dotted name to value, lists being lists: what JSON gives back as it was."""
    return {name: _plain(value) for name, value in _flat(settings_tree(config), "")}


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
