"""Settings that are each allowed but do not go together; every check refuses in one line."""

import math

from kfac_cli.config.schema import (
    AdaptiveScheduleConfig,
    ArraysConfig,
    DatasetConfig,
    KFACConfig,
    RunConfig,
)
from kfac_cli.errors import refuse

PIXELS = {"curves": 28 * 28, "mnist": 28 * 28, "mnist_labels": 28 * 28, "faces": 25 * 25}
DIGITS = 10


def check_together(config: RunConfig) -> None:
    """Raise UserError, naming one of the settings, for the first pair that contradicts itself."""
    _check_network(config.dataset)
    if isinstance(config.dataset, ArraysConfig):
        _check_arrays(config.dataset)
    if isinstance(config.optimizer, KFACConfig):
        _check_curvature(config.optimizer)
        _check_damping(config.optimizer, config.l2)
        _check_step(config.optimizer)
    if isinstance(config.schedule, AdaptiveScheduleConfig):
        _check_adaptive(config.schedule)


def _check_network(dataset: DatasetConfig) -> None:
    sizes, activations = dataset.layer_sizes, dataset.activations
    if len(activations) != len(sizes) - 2:
        raise refuse(
            "dataset.activations",
            activations,
            f"must be {len(sizes) - 2} words, one for each layer between the first and the last "
            f"of dataset.layer_sizes; there are {len(activations)}",
        )
    pixels = PIXELS.get(dataset.name)
    if dataset.name == "mnist_labels":
        if (sizes[0], sizes[-1]) != (pixels, DIGITS):
            raise refuse(
                "dataset.layer_sizes",
                sizes,
                f"must begin with {pixels}, the pixels of an image, and end with {DIGITS}, the "
                "digits",
            )
    elif pixels is not None and (sizes[0] != pixels or sizes[-1] != pixels):
        raise refuse(
            "dataset.layer_sizes",
            sizes,
            f"must begin and end with {pixels}, the pixels of an image of {dataset.name}",
        )
    if dataset.name == "faces" and dataset.output == "bernoulli":
        raise refuse("dataset.output", "bernoulli", "must be gaussian; faces are not in [0, 1]")


def _check_arrays(dataset: ArraysConfig) -> None:
    _check_paths(dataset)
    sizes, shape = dataset.layer_sizes, dataset.image_shape
    if dataset.output == "categorical":
        if sizes[-1] < 2:
            raise refuse(
                "dataset.layer_sizes", sizes, "must end with the number of classes, 2 or more"
            )
        if shape is not None:
            raise refuse(
                "dataset.image_shape", shape, "must be null with dataset.output=categorical"
            )
    if shape is not None and math.prod(shape) != sizes[-1]:
        raise refuse(
            "dataset.image_shape",
            shape,
            f"must have as many pixels as the last of dataset.layer_sizes, {sizes[-1]}",
        )


def _check_paths(dataset: ArraysConfig) -> None:
    inputs = {"train_inputs": dataset.train_inputs, "test_inputs": dataset.test_inputs}
    targets = {"train_targets": dataset.train_targets, "test_targets": dataset.test_targets}
    if dataset.file is not None:
        for name, path in (inputs | targets).items():
            if path is not None:
                raise refuse(f"dataset.{name}", path, "must be null when dataset.file is given")
        return
    for name, path in inputs.items():
        if path is None:
            raise refuse(f"dataset.{name}", None, "must be a path, or give dataset.file")
    if (dataset.train_targets is None) != (dataset.test_targets is None):
        missing = "train_targets" if dataset.train_targets is None else "test_targets"
        raise refuse(f"dataset.{missing}", None, "give both targets or neither")
    if dataset.train_targets is None and dataset.output == "categorical":
        raise refuse(
            "dataset.train_targets", None, "must be a path, since dataset.output=categorical"
        )
    if dataset.train_targets is None and dataset.layer_sizes[0] != dataset.layer_sizes[-1]:
        raise refuse(
            "dataset.layer_sizes",
            dataset.layer_sizes,
            "without targets the net reproduces its inputs: first and last must be equal",
        )


def _check_curvature(optimizer: KFACConfig) -> None:
    tridiagonal = optimizer.inverse == "block_tridiagonal"
    if optimizer.tikhonov == "exact" and tridiagonal:
        raise refuse(
            "optimizer.tikhonov",
            "exact",
            "needs optimizer.inverse=block_diagonal; the other has no efficient exact form",
        )
    if optimizer.tikhonov == "exact" and optimizer.pi != "trace":
        raise refuse(
            "optimizer.pi",
            optimizer.pi,
            "exact Tikhonov damping has no pi; leave it at trace, or optimizer.tikhonov=factored",
        )
    if optimizer.sigma_solver != "decomposition" and not tridiagonal:
        raise refuse(
            "optimizer.sigma_solver",
            optimizer.sigma_solver,
            "needs optimizer.inverse=block_tridiagonal; the other has no Sigma",
        )
    if optimizer.samples > 1 and optimizer.fisher != "sampled":
        raise refuse(
            "optimizer.samples",
            optimizer.samples,
            f"needs optimizer.fisher=sampled; {optimizer.fisher} samples nothing",
        )


def _check_damping(optimizer: KFACConfig, l2: float) -> None:
    if optimizer.gamma_rule != "search":
        return
    if optimizer.t2 % optimizer.t3 != 0:
        raise refuse(
            "optimizer.t2",
            optimizer.t2,
            f"must be a multiple of optimizer.t3, which is {optimizer.t3}",
        )
    floor = math.sqrt(l2) if optimizer.gamma_min is None else optimizer.gamma_min
    if optimizer.gamma_max is not None and optimizer.gamma_max < floor:
        source = "sqrt(l2)" if optimizer.gamma_min is None else "optimizer.gamma_min"
        raise refuse(
            "optimizer.gamma_max",
            optimizer.gamma_max,
            f"must be at least {source}, which is {floor:g}",
        )


def _check_step(optimizer: KFACConfig) -> None:
    if optimizer.rescaling:
        if optimizer.learning_rate != 1:
            raise refuse(
                "optimizer.learning_rate",
                optimizer.learning_rate,
                "needs optimizer.rescaling=false; re-scaling computes alpha instead",
            )
        return
    if optimizer.momentum:
        raise refuse("optimizer.momentum", True, "must be false with optimizer.rescaling=false")
    if optimizer.cg_steps > 1:
        raise refuse(
            "optimizer.cg_steps", optimizer.cg_steps, "must be 1 with optimizer.rescaling=false"
        )


def _check_adaptive(schedule: AdaptiveScheduleConfig) -> None:
    if schedule.maximum is not None and schedule.maximum < schedule.initial:
        raise refuse(
            "schedule.maximum",
            schedule.maximum,
            f"must be null or at least schedule.initial, which is {schedule.initial}",
        )
