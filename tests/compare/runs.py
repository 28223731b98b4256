"""The runs whose results must stay the same, each a few seconds long.

A run is a name and one or more command lines, which are called one after the other in a folder of
their own.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

COMMON = ["threads=1", "tensorboard=false", "checkpoint.minutes=null", "hydra.run.dir=run"]
SMOKE = ["experiment=smoke", "iterations=45"]

OPTIMIZERS = {
    "kfac_tridiag": [],
    "kfac_diag": [],
    "nesterov_sgd": [],
    "heskes": ["optimizer.fisher=sampled"],  # exact: 784 backward passes a case, see OTHERS
}
UNSET = ["~schedule.initial", "~schedule.full_at"]  # see runs_for
EXPONENTIAL = ["schedule=exponential", "schedule.initial=50", "schedule.full_at=30"]
SCHEDULES = {
    "exponential": EXPONENTIAL,
    "fixed": ["schedule=fixed", *UNSET, "schedule.size=100"],
    "stepwise": ["schedule=stepwise", *UNSET, "schedule.steps=[[1,50],[20,150],[30,400]]"],
    "adaptive": ["schedule=adaptive", UNSET[1], "schedule.initial=20", "schedule.theta=0.5"],
}

# On smoke, with mini-batches from 50 to all 400 cases; kfac_tridiag unless another is named.
OPTIONS = {
    "tikhonov_factored": ["optimizer.tikhonov=factored"],
    "tikhonov_exact": ["optimizer=kfac_diag", "optimizer.tikhonov=exact"],
    "ekfac": ["optimizer=ekfac"],
    "sigma_doubling": ["optimizer.sigma_solver=doubling"],
    "pi_frobenius": ["optimizer.pi=frobenius"],
    "pi_spectral": ["optimizer.pi=spectral"],
    "pi_one": ["optimizer.pi=one"],
    "fisher_empirical": ["optimizer.fisher=empirical"],
    "samples_2": ["optimizer.samples=2"],
    "cg_steps_3": ["optimizer.cg_steps=3"],
    "cg_steps_3_diag": ["optimizer=kfac_diag", "optimizer.cg_steps=3"],
    "gamma_tied": ["optimizer.gamma_rule=tied"],
    "gamma_fixed": ["optimizer.gamma_rule=fixed"],
    "lambda_fixed": ["optimizer.lambda_rule=fixed"],
    "lambda_150": ["optimizer.lambda_initial=150"],
    "no_momentum": ["optimizer.momentum=false"],
    "no_rescaling": [
        "optimizer.rescaling=false",
        "optimizer.momentum=false",
        "optimizer.learning_rate=0.1",
    ],
    "float64": ["dtype=float64"],
    "float64_diag": ["dtype=float64", "optimizer=kfac_diag"],
    # Mini-batches that begin so small that the low-rank shortcut pays
    "low_rank": ["optimizer=kfac_diag", "l2=0", "schedule.initial=4"],
}

# Mini-batches of two cases and too little damping, so that some steps raise the objective too much
TWO_CASES = ["schedule=fixed", *UNSET, "schedule.size=2"]
REJECTIONS = {
    "rejections": [*TWO_CASES, "optimizer.lambda_initial=0.01"],
    "rejections_diag": [*TWO_CASES, "optimizer=kfac_diag", "optimizer.lambda_initial=0.001"],
}

DATA_FOLDER = "../../.."  # seen from a run's folder
AUTOENCODER_FILE, CLASSES_FILE = "autoencoder.npz", "classes.npz"
SMALL = [
    "dataset=arrays",
    "iterations=45",
    "evaluate_every=5",
    "polyak.start=7",
    "schedule.initial=20",
    "schedule.full_at=30",
]
AUTOENCODER = [
    *SMALL,
    f"dataset.file={DATA_FOLDER}/{AUTOENCODER_FILE}",
    "dataset.layer_sizes=[12,6,3,6,12]",
]
BERNOULLI = [
    *AUTOENCODER,
    "dataset.activations=[logistic,linear,logistic]",
    "dataset.output=bernoulli",
]
GAUSSIAN = [*AUTOENCODER, "dataset.activations=[tanh,linear,relu]", "dataset.output=gaussian"]
CLASSES = [
    *SMALL,
    f"dataset.file={DATA_FOLDER}/{CLASSES_FILE}",
    "dataset.layer_sizes=[12,8,6,4]",
    "dataset.activations=[relu,tanh]",
    "dataset.output=categorical",
]

OTHERS = {
    "heskes_exact": [["experiment=smoke", *EXPONENTIAL, "optimizer=heskes", "iterations=5"]],
    "fisher_exact": [[*BERNOULLI, "optimizer.fisher=exact"]],
    "fisher_exact_diag": [[*BERNOULLI, "optimizer=kfac_diag", "optimizer.fisher=exact"]],
    "gaussian": [GAUSSIAN],
    "gaussian_exact": [[*GAUSSIAN, "optimizer.fisher=exact"]],
    "classes": [CLASSES],
    "classes_diag": [[*CLASSES, "optimizer=kfac_diag"]],
    "classes_exact": [[*CLASSES, "optimizer.fisher=exact"]],
    "classes_heskes": [[*CLASSES, "optimizer=heskes"]],
    "classes_nesterov": [[*CLASSES, "optimizer=nesterov_sgd"]],
    "resumed": [
        ["experiment=smoke", *EXPONENTIAL, "iterations=23"],
        ["resume=run", "iterations=45"],
    ],
}


def runs_for(conf: Path, only: str = "") -> dict[str, list[list[str]]]:
    """The command lines of the runs with `only` in their name, as the settings in `conf` need them.

    Where experiment=smoke itself sets the exponential schedule's sizes, another schedule does not
    know them and they must be unset; where it does not, there is nothing to unset.
    """
    smoke_sets_sizes = "full_at" in (conf / "experiment/smoke.yaml").read_text(encoding="utf-8")
    return {
        name: [[word for word in line if smoke_sets_sizes or word not in UNSET] for line in lines]
        for name, lines in _runs()
        if only in name
    }


def _runs() -> Iterator[tuple[str, list[list[str]]]]:
    for optimizer, options in OPTIMIZERS.items():
        for schedule, sizes in SCHEDULES.items():
            words = [*SMOKE, f"optimizer={optimizer}", *options, *sizes]
            yield f"{optimizer}_{schedule}", [[*words, *COMMON]]
    for name, words in OPTIONS.items():
        yield name, [[*SMOKE, *EXPONENTIAL, *words, *COMMON]]
    for name, words in REJECTIONS.items():
        yield name, [[*SMOKE, *words, *COMMON]]
    for name, (first, *more) in OTHERS.items():
        yield name, [[*first, *COMMON], *more]


def write_data(folder: Path) -> None:
    """Leave the arrays of the small problems: 100 cases of rank 3 in 12 dimensions, 4 classes."""
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(100, 3)) @ generator.normal(size=(3, 12))
    cases = (1 / (1 + np.exp(-hidden))).astype(np.float32)
    labels = (hidden @ generator.normal(size=(12, 4))).argmax(axis=1)
    inputs = {"train_inputs": cases[:80], "test_inputs": cases[80:]}
    targets = {"train_targets": labels[:80], "test_targets": labels[80:]}
    np.savez(folder / AUTOENCODER_FILE, **inputs)
    np.savez(folder / CLASSES_FILE, **inputs, **targets)
