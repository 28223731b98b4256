"""The settings of a run: their shape, their ranges, and how conf/ is read into them."""

from kfac_cli.config.compose import load_config
from kfac_cli.config.flat import flat_settings
from kfac_cli.config.schema import (
    AdaptiveScheduleConfig,
    ArraysConfig,
    CheckpointConfig,
    CurvesConfig,
    DatasetConfig,
    ExponentialScheduleConfig,
    FacesConfig,
    FixedScheduleConfig,
    KFACConfig,
    MnistConfig,
    MnistLabelsConfig,
    NesterovConfig,
    OptimizerConfig,
    PolyakConfig,
    RunConfig,
    ScheduleConfig,
    StepwiseScheduleConfig,
)
from kfac_cli.config.validation import validate

__all__ = [
    "AdaptiveScheduleConfig",
    "ArraysConfig",
    "CheckpointConfig",
    "CurvesConfig",
    "DatasetConfig",
    "ExponentialScheduleConfig",
    "FacesConfig",
    "FixedScheduleConfig",
    "KFACConfig",
    "MnistConfig",
    "MnistLabelsConfig",
    "NesterovConfig",
    "OptimizerConfig",
    "PolyakConfig",
    "RunConfig",
    "ScheduleConfig",
    "StepwiseScheduleConfig",
    "flat_settings",
    "load_config",
    "validate",
]
