"""From the composed configuration to a RunConfig, or to one line that says what is wrong."""

import math
from collections.abc import Mapping
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kfac_cli.config.names import suggestion
from kfac_cli.config.rules import Rule, listed, refuse
from kfac_cli.config.schema import ArraysConfig, DatasetConfig, KFACConfig, RunConfig
from kfac_cli.config.structure import Section, members
from kfac_cli.errors import UserError

PIXELS = {"curves": 28 * 28, "mnist": 28 * 28, "faces": 25 * 25}
MISSING = "???"


def validate(settings: DictConfig) -> RunConfig:
    """Check every setting and return them typed; UserError names the first that is wrong."""
    try:
        raw = OmegaConf.to_container(settings, resolve=True)
    except OmegaConfBaseException as error:
        name = error.full_key or "a setting"
        reason = " ".join(str(error).partition("full_key:")[0].split())
        raise UserError(f"{name}: {reason}") from error
    config = cast(RunConfig, _read_section(RunConfig, raw, ""))
    _check_network(config.dataset)
    if isinstance(config.dataset, ArraysConfig):
        _check_arrays(config.dataset)
    if isinstance(config.optimizer, KFACConfig):
        _check_kfac(config.optimizer, config.l2)
    return config


def _read_section(kind: type, raw: object, prefix: str) -> Any:
    """Read one section's mapping into its dataclass; `prefix` is "" or ends in a dot."""
    if not isinstance(raw, Mapping):
        raise refuse(prefix.rstrip("."), raw, "must be a group of settings")
    known = members(kind)
    for key in raw:
        if key not in known:
            raise refuse(f"{prefix}{key}", raw[key], f"no such setting{suggestion(prefix, key)}")
    for key in known:
        if key not in raw or raw[key] == MISSING:
            raise UserError(f"{prefix}{key}: has no value; give one as {prefix}{key}=VALUE")
    return kind(**{key: _read(member, f"{prefix}{key}", raw[key]) for key, member in known.items()})


def _read(member: Rule | Section, name: str, raw: object) -> object:
    if not isinstance(member, Section):
        return member.read(name, raw)
    if member.tag is None:
        return _read_section(member.variants[""], raw, f"{name}.")
    if not isinstance(raw, Mapping):
        raise refuse(name, raw, "must be a group of settings")
    chosen = raw.get(member.tag)
    if not isinstance(chosen, str) or chosen not in member.variants:
        raise refuse(f"{name}.{member.tag}", chosen, f"must be {listed(sorted(member.variants))}")
    return _read_section(member.variants[chosen], raw, f"{name}.")


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
    if pixels is not None and (sizes[0] != pixels or sizes[-1] != pixels):
        raise refuse(
            "dataset.layer_sizes",
            sizes,
            f"must begin and end with {pixels}, the pixels of an image of {dataset.name}",
        )
    if dataset.name == "faces" and dataset.output == "bernoulli":
        raise refuse("dataset.output", "bernoulli", "must be gaussian; faces are not in [0, 1]")


def _check_arrays(dataset: ArraysConfig) -> None:
    single = {"train_inputs": dataset.train_inputs, "test_inputs": dataset.test_inputs}
    targets = {"train_targets": dataset.train_targets, "test_targets": dataset.test_targets}
    if dataset.file is not None:
        for name, path in (single | targets).items():
            if path is not None:
                raise refuse(f"dataset.{name}", path, "must be null when dataset.file is given")
    else:
        for name, path in single.items():
            if path is None:
                raise refuse(f"dataset.{name}", None, "must be a path, or give dataset.file")
        if (dataset.train_targets is None) != (dataset.test_targets is None):
            missing = "train_targets" if dataset.train_targets is None else "test_targets"
            raise refuse(f"dataset.{missing}", None, "give both targets or neither")
        if dataset.train_targets is None and dataset.layer_sizes[0] != dataset.layer_sizes[-1]:
            raise refuse(
                "dataset.layer_sizes",
                dataset.layer_sizes,
                "without targets the net reproduces its inputs: first and last must be equal",
            )
    shape = dataset.image_shape
    if shape is not None and math.prod(shape) != dataset.layer_sizes[0]:
        raise refuse(
            "dataset.image_shape",
            shape,
            f"must have as many pixels as the first of dataset.layer_sizes, "
            f"{dataset.layer_sizes[0]}",
        )


def _check_kfac(optimizer: KFACConfig, l2: float) -> None:
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
