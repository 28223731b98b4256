"""A small experiment: a 12-6-3-6-12 autoencoder on 80 cases of rank 3."""

from functools import cache
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_module
from omegaconf import DictConfig

from kfac_cli.config.choices import CONFIG_MODULE
from kfac_cli.config.compose import CONFIG_NAME, HYDRA_VERSION_BASE
from kfac_cli.config.settings_file import write_settings

OPTIMIZERS = ("kfac_tridiag", "kfac_diag", "nesterov_sgd")
TORCH_OPTIMIZERS = ("adam", "adamw", "sgd", "muon")


def write_cases(path: Path) -> None:
    """Write an .npz file with 80 training and 20 test cases in [0, 1]."""
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(100, 3)) @ generator.normal(size=(3, 12))
    cases = (1 / (1 + np.exp(-hidden))).astype(np.float32)
    np.savez(path, train_inputs=cases[:80], test_inputs=cases[80:])


def overrides(file: Path, optimizer: str = "kfac_tridiag", iterations: int = 24) -> list[str]:
    """The command line of a run of a few iterations, with periods that fit."""
    if optimizer == "nesterov_sgd":
        specific = ["optimizer.mu_schedule=fixed", "optimizer.final_iterations=4"]
    elif optimizer in TORCH_OPTIMIZERS:
        specific = ["optimizer.rate_schedule=cosine", "optimizer.warmup=3"]
    else:
        periods = ["optimizer.t1=2", "optimizer.t2=10", "optimizer.t3=5"]
        specific = [*periods, "optimizer.lambda_initial=10"]
    return [
        "dataset=arrays",
        f"dataset.file={file}",
        "dataset.layer_sizes=[12,6,3,6,12]",
        "dataset.activations=[logistic,linear,logistic]",
        "dataset.output=bernoulli",
        "dataset.image_shape=[3,4]",
        f"optimizer={optimizer}",
        *specific,
        "schedule.initial=20",
        "schedule.full_at=16",
        f"iterations={iterations}",
        "evaluate_every=4",
        "polyak.start=7",
        "checkpoint.minutes=null",
    ]


def prepare(folder: Path, words: list[str]) -> Path:
    """Create the folder of a run that was killed at its start; `kfac-run resume=` runs all of it.

    This saves a test the half second that Hydra takes.
    """
    folder.mkdir(parents=True)
    write_settings(composed(tuple(words)), folder)
    return folder


@cache
def composed(words: tuple[str, ...]) -> DictConfig:
    """The composed settings of a command line."""
    with initialize_config_module(CONFIG_MODULE, version_base=HYDRA_VERSION_BASE):
        settings = compose(CONFIG_NAME, overrides=list(words))
    assert isinstance(settings, DictConfig)
    return settings
