"""The settings of a run: their shape, their ranges, and how conf/ is read into them."""

from kfac_cli.config.compose import load_config
from kfac_cli.config.schema import (
    ArraysConfig,
    CurvesConfig,
    DatasetConfig,
    ExponentialScheduleConfig,
    FacesConfig,
    FixedScheduleConfig,
    KFACConfig,
    MnistConfig,
    NesterovConfig,
    OptimizerConfig,
    PolyakConfig,
    RunConfig,
    ScheduleConfig,
)
from kfac_cli.config.validation import validate

__all__ = [
    "ArraysConfig",
    "CurvesConfig",
    "DatasetConfig",
    "ExponentialScheduleConfig",
    "FacesConfig",
    "FixedScheduleConfig",
    "KFACConfig",
    "MnistConfig",
    "NesterovConfig",
    "OptimizerConfig",
    "PolyakConfig",
    "RunConfig",
    "ScheduleConfig",
    "load_config",
    "validate",
]
