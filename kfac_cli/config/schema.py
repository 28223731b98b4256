"""The typed shape of conf/: a frozen dataclass for each section, each field with its range.

A field's annotation is all there is to it: `Annotated[type, rule]` for a value with a range, a
`Literal` for a choice of words, `bool`, or other dataclasses of this module for a section inside,
which are told apart by their one-word `Literal`. Defaults live in the YAML files alone, next to the
sentence that explains them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from kfac_cli.config.rules import Choice, Label, ListOf, Number, OrWord, PathText, Steps, Whole

COUNT = 10**9
LARGEST_SEED = 2**63 - 1
LARGEST_WIDTH = 100_000
LARGEST_GAMMA = 1e6


Count = Annotated[int, Whole(1, COUNT)]
CountFromZero = Annotated[int, Whole(0, COUNT)]
Seed = Annotated[int, Whole(0, LARGEST_SEED)]
Share = Annotated[float, Number(0, 1, low_open=True)]
BelowOne = Annotated[float, Number(0, 1, high_open=True)]
LearningRate = Annotated[float, Number(0, 1000, low_open=True)]


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The network that a dataset is trained with: the settings that all datasets share."""

    layer_sizes: Annotated[tuple[int, ...], ListOf(Whole(1, LARGEST_WIDTH), 2, 1000)]
    activations: Annotated[
        tuple[str, ...], ListOf(Choice(("logistic", "tanh", "relu", "linear")), 0, 998)
    ]


@dataclass(frozen=True, kw_only=True)
class CurvesConfig(NetworkConfig):
    """CURVES, generated."""

    name: Literal["curves"]
    output: Literal["bernoulli", "gaussian"]
    train_cases: Annotated[int, Whole(1, 1_000_000)]
    test_cases: Annotated[int, Whole(1, 1_000_000)]
    seed: Seed
    spread: Annotated[float, Number(0, 1)]
    ink: Annotated[float, Number(0, 10, low_open=True)]


@dataclass(frozen=True, kw_only=True)
class MnistConfig(NetworkConfig):
    """MNIST's images, reproduced by an autoencoder."""

    name: Literal["mnist"]
    output: Literal["bernoulli", "gaussian"]
    train_cases: Annotated[int | None, Whole(1, 60_000)]
    test_cases: Annotated[int | None, Whole(1, 10_000)]


@dataclass(frozen=True, kw_only=True)
class MnistLabelsConfig(NetworkConfig):
    """MNIST's images, told apart by a classifier."""

    name: Literal["mnist_labels"]
    output: Literal["categorical"]
    train_cases: Annotated[int | None, Whole(1, 60_000)]
    test_cases: Annotated[int | None, Whole(1, 10_000)]


@dataclass(frozen=True, kw_only=True)
class FacesConfig(NetworkConfig):
    """FACES, built from the Olivetti photographs."""

    name: Literal["faces"]
    output: Literal["bernoulli", "gaussian"]
    crops_per_photograph: Annotated[int, Whole(1, 10_000)]
    subsampling: Annotated[float, Number(1, 2.6)]
    seed: Seed
    train_cases: Annotated[int | None, Whole(1, COUNT)]
    test_cases: Annotated[int | None, Whole(1, COUNT)]


@dataclass(frozen=True, kw_only=True)
class ArraysConfig(NetworkConfig):
    """The user's own arrays, from one .npz file or from .npy files."""

    name: Literal["arrays"]
    output: Literal["bernoulli", "gaussian", "categorical"]
    file: Annotated[str | None, PathText()]
    train_inputs: Annotated[str | None, PathText()]
    train_targets: Annotated[str | None, PathText()]
    test_inputs: Annotated[str | None, PathText()]
    test_targets: Annotated[str | None, PathText()]
    image_shape: Annotated[tuple[int, int] | None, ListOf(Whole(1, LARGEST_WIDTH), 2, 2)]


DatasetConfig = CurvesConfig | MnistConfig | MnistLabelsConfig | FacesConfig | ArraysConfig


@dataclass(frozen=True, kw_only=True)
class KFACConfig:
    """K-FAC, algorithm 2; null stands for the value derived from other settings.

    The names are those of the engine's `KFACOptions`.
    """

    name: Annotated[str, Label()]
    kind: Literal["kfac"]
    inverse: Literal["block_tridiagonal", "block_diagonal"]
    tikhonov: Literal["factored", "exact"]
    pi: Literal["trace", "frobenius", "spectral", "one"]
    sigma_solver: Literal["decomposition", "doubling"]
    fisher: Literal["sampled", "exact", "empirical"]
    samples: Annotated[int, Whole(1, 1000)]
    lambda_initial: Annotated[float | str, OrWord("auto", Number(0, 1e12, low_open=True))]
    lambda_rule: Literal["levenberg_marquardt", "fixed"]
    gamma_initial: Annotated[float | None, Number(0, LARGEST_GAMMA, low_open=True)]
    gamma_rule: Literal["search", "tied", "fixed"]
    gamma_min: Annotated[float | None, Number(0, LARGEST_GAMMA)]
    gamma_max: Annotated[float | None, Number(0, LARGEST_GAMMA, low_open=True)]
    tau1: Share
    tau2: Share
    t1: Count
    t2: Count
    t3: Count
    omega1: Annotated[float | None, Number(0, 1, low_open=True, high_open=True)]
    omega2: Annotated[float | None, Number(0, 1, low_open=True, high_open=True)]
    growth_max: Annotated[float | None, Number(1, 1e12, low_open=True)]
    epsilon_max: BelowOne
    rescaling: bool
    learning_rate: LearningRate
    momentum: bool
    cg_steps: Annotated[int, Whole(1, 1000)]


@dataclass(frozen=True, kw_only=True)
class NesterovConfig:
    """The baseline: SGD with Nesterov momentum."""

    name: Annotated[str, Label()]
    kind: Literal["nesterov"]
    learning_rate: LearningRate
    mu_max: BelowOne
    mu_schedule: Literal["increasing", "fixed"]
    mu_final: BelowOne
    final_iterations: CountFromZero


OptimizerConfig = KFACConfig | NesterovConfig


@dataclass(frozen=True, kw_only=True)
class ExponentialScheduleConfig:
    """Mini-batches that grow exponentially up to the whole training set."""

    kind: Literal["exponential"]
    initial: Count
    full_at: Annotated[int, Whole(2, COUNT)]


@dataclass(frozen=True, kw_only=True)
class FixedScheduleConfig:
    """Mini-batches of one size."""

    kind: Literal["fixed"]
    size: Count


@dataclass(frozen=True, kw_only=True)
class StepwiseScheduleConfig:
    """Mini-batches of the sizes in a table: pairs of an iteration and the size from there on."""

    kind: Literal["stepwise"]
    steps: Annotated[tuple[tuple[int, int], ...], Steps(Whole(1, COUNT), COUNT, 1000)]


@dataclass(frozen=True, kw_only=True)
class AdaptiveScheduleConfig:
    """Mini-batches that grow when the gradient's noise is too large beside the gradient."""

    kind: Literal["adaptive"]
    initial: Annotated[int, Whole(2, COUNT)]
    maximum: Annotated[int | None, Whole(2, COUNT)]
    theta: Share


ScheduleConfig = (
    ExponentialScheduleConfig
    | FixedScheduleConfig
    | StepwiseScheduleConfig
    | AdaptiveScheduleConfig
)


@dataclass(frozen=True, kw_only=True)
class PolyakConfig:
    """Exponentially decayed averaging of the iterates, section 13."""

    decay: BelowOne
    start: CountFromZero


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When a run that goes on keeps what it needs to be taken up again."""

    every: Annotated[int | None, Whole(1, COUNT)]
    minutes: Annotated[float | None, Number(0, 1e6, low_open=True)]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, checked and complete."""

    dataset: DatasetConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    polyak: PolyakConfig
    checkpoint: CheckpointConfig
    iterations: Count
    seed: Seed
    device: Literal["auto", "cpu", "cuda"]
    dtype: Literal["float32", "float64"]
    chunk_size: Count
    data_dir: Annotated[str | None, PathText()]
    evaluate_every: Count
    target_error: Annotated[float | None, Number(0, 1e12)]
    max_seconds: Annotated[float | None, Number(0, 1e9, low_open=True)]
    max_rejections: Count
    l2: Annotated[float, Number(0, 1000)]
    tensorboard: bool
    threads: Annotated[int | None, Whole(1, 1024)]

    @property
    def title(self) -> str:
        """What the run is called on the screen and in pictures."""
        return f"{self.dataset.name}, {self.optimizer.name}"


def flat_settings(config: RunConfig) -> dict[str, Any]:
    """Dotted name to value, lists being lists: what JSON gives back as it was."""
    return {name: _plain(value) for name, value in _flat(asdict(config), "")}


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
