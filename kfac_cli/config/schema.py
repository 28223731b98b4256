"""The typed shape of conf/: one frozen dataclass a section, each field with the rule it obeys.

Defaults live in the YAML files alone, next to the sentence that explains them.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from kfac_cli.config.rules import (
    Choice,
    Flag,
    Label,
    ListOf,
    Number,
    Optional,
    PathText,
    Rule,
    Whole,
)

COUNT = 10**9
LARGEST_SEED = 2**63 - 1
LARGEST_WIDTH = 100_000
LARGEST_GAMMA = 1e6


def setting(rule: Rule) -> Any:
    """A dataclass field whose raw value `rule` reads."""
    return field(metadata={"rule": rule})


def section(key: str | None, variants: dict[str | None, type]) -> Any:
    """A dataclass field that is itself a section; its `key` chooses among the variants."""
    return field(metadata={"key": key, "variants": variants})


def fraction() -> Number:
    """The share of a mini-batch: more than nothing, at most all of it."""
    return Number(0, 1, low_open=True)


def decay() -> Number:
    """A constant strictly between 0 and 1."""
    return Number(0, 1, low_open=True, high_open=True)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The network that a dataset is trained with: the settings that all datasets share."""

    layer_sizes: tuple[int, ...] = setting(ListOf(Whole(1, LARGEST_WIDTH), 2, 1000))
    activations: tuple[str, ...] = setting(
        ListOf(Choice(("logistic", "tanh", "relu", "linear")), 0, 998)
    )
    output: str = setting(Choice(("bernoulli", "gaussian")))


@dataclass(frozen=True, kw_only=True)
class CurvesConfig(NetworkConfig):
    """CURVES, generated."""

    name: Literal["curves"] = setting(Choice(("curves",)))
    train_cases: int = setting(Whole(1, 1_000_000))
    test_cases: int = setting(Whole(1, 1_000_000))
    seed: int = setting(Whole(0, LARGEST_SEED))
    spread: float = setting(Number(0, 1))
    ink: float = setting(Number(0, 10, low_open=True))


@dataclass(frozen=True, kw_only=True)
class MnistConfig(NetworkConfig):
    """MNIST's images, reproduced by an autoencoder."""

    name: Literal["mnist"] = setting(Choice(("mnist",)))
    train_cases: int | None = setting(Optional(Whole(1, 60_000)))
    test_cases: int | None = setting(Optional(Whole(1, 10_000)))


@dataclass(frozen=True, kw_only=True)
class FacesConfig(NetworkConfig):
    """FACES, built from the Olivetti photographs."""

    name: Literal["faces"] = setting(Choice(("faces",)))
    crops_per_photograph: int = setting(Whole(1, 10_000))
    subsampling: float = setting(Number(1, 2.6))
    seed: int = setting(Whole(0, LARGEST_SEED))
    train_cases: int | None = setting(Optional(Whole(1, COUNT)))
    test_cases: int | None = setting(Optional(Whole(1, COUNT)))


@dataclass(frozen=True, kw_only=True)
class ArraysConfig(NetworkConfig):
    """The user's own arrays, from one .npz file or from .npy files."""

    name: Literal["arrays"] = setting(Choice(("arrays",)))
    file: str | None = setting(Optional(PathText()))
    train_inputs: str | None = setting(Optional(PathText()))
    train_targets: str | None = setting(Optional(PathText()))
    test_inputs: str | None = setting(Optional(PathText()))
    test_targets: str | None = setting(Optional(PathText()))
    image_shape: tuple[int, int] | None = setting(Optional(ListOf(Whole(1, LARGEST_WIDTH), 2, 2)))


DatasetConfig = CurvesConfig | MnistConfig | FacesConfig | ArraysConfig


@dataclass(frozen=True, kw_only=True)
class KFACConfig:
    """K-FAC, algorithm 2; null stands for the value derived from other settings."""

    name: str = setting(Label())
    kind: Literal["kfac"] = setting(Choice(("kfac",)))
    inverse: str = setting(Choice(("block_tridiagonal", "block_diagonal")))
    lambda_initial: float = setting(Number(0, 1e12, low_open=True))
    gamma_initial: float | None = setting(Optional(Number(0, LARGEST_GAMMA, low_open=True)))
    gamma_min: float | None = setting(Optional(Number(0, LARGEST_GAMMA)))
    gamma_max: float | None = setting(Optional(Number(0, LARGEST_GAMMA, low_open=True)))
    tau1: float = setting(fraction())
    tau2: float = setting(fraction())
    t1: int = setting(Whole(1, COUNT))
    t2: int = setting(Whole(1, COUNT))
    t3: int = setting(Whole(1, COUNT))
    omega1: float | None = setting(Optional(decay()))
    omega2: float | None = setting(Optional(decay()))
    epsilon_max: float = setting(Number(0, 1, high_open=True))
    momentum: bool = setting(Flag())


@dataclass(frozen=True, kw_only=True)
class NesterovConfig:
    """The baseline: SGD with Nesterov momentum."""

    name: str = setting(Label())
    kind: Literal["nesterov"] = setting(Choice(("nesterov",)))
    learning_rate: float = setting(Number(0, 1000, low_open=True))
    mu_max: float = setting(Number(0, 1, high_open=True))
    mu_schedule: str = setting(Choice(("increasing", "fixed")))
    mu_final: float = setting(Number(0, 1, high_open=True))
    final_iterations: int = setting(Whole(0, COUNT))


OptimizerConfig = KFACConfig | NesterovConfig


@dataclass(frozen=True, kw_only=True)
class ExponentialScheduleConfig:
    """Mini-batches that grow exponentially up to the whole training set."""

    kind: Literal["exponential"] = setting(Choice(("exponential",)))
    initial: int = setting(Whole(1, COUNT))
    full_at: int = setting(Whole(2, COUNT))


@dataclass(frozen=True, kw_only=True)
class FixedScheduleConfig:
    """Mini-batches of one size."""

    kind: Literal["fixed"] = setting(Choice(("fixed",)))
    size: int = setting(Whole(1, COUNT))


ScheduleConfig = ExponentialScheduleConfig | FixedScheduleConfig


@dataclass(frozen=True, kw_only=True)
class PolyakConfig:
    """Exponentially decayed averaging of the iterates, section 13."""

    decay: float = setting(Number(0, 1, high_open=True))
    start: int = setting(Whole(0, COUNT))


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, checked and complete."""

    dataset: DatasetConfig = section(
        "name",
        {"arrays": ArraysConfig, "curves": CurvesConfig, "faces": FacesConfig, "mnist": MnistConfig},
    )
    optimizer: OptimizerConfig = section("kind", {"kfac": KFACConfig, "nesterov": NesterovConfig})
    schedule: ScheduleConfig = section(
        "kind", {"exponential": ExponentialScheduleConfig, "fixed": FixedScheduleConfig}
    )
    polyak: PolyakConfig = section(None, {None: PolyakConfig})
    iterations: int = setting(Whole(1, COUNT))
    seed: int = setting(Whole(0, LARGEST_SEED))
    device: str = setting(Choice(("auto", "cpu", "cuda")))
    dtype: str = setting(Choice(("float32", "float64")))
    chunk_size: int = setting(Whole(1, COUNT))
    data_dir: str | None = setting(Optional(PathText()))
    evaluate_every: int = setting(Whole(1, COUNT))
    target_error: float | None = setting(Optional(Number(0, 1e12)))
    max_seconds: float | None = setting(Optional(Number(0, 1e9, low_open=True)))
    l2: float = setting(Number(0, 1000))
    tensorboard: bool = setting(Flag())
    threads: int | None = setting(Optional(Whole(1, 1024)))
