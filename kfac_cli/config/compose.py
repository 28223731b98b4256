"""Composing conf/ inside a process, for checks and for tests."""

from collections.abc import Sequence
from importlib.resources import files

from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

from kfac_cli.config.choices import CONFIG_MODULE
from kfac_cli.config.schema import RunConfig
from kfac_cli.config.validation import validate

CONFIG_NAME = "config"
HYDRA_VERSION_BASE = "1.3"


def packaged_log_format() -> str:
    """The format of the lines in run.log, which Hydra reads from conf/config.yaml."""
    text = files(CONFIG_MODULE).joinpath(f"{CONFIG_NAME}.yaml").read_text(encoding="utf-8")
    name = "hydra.job_logging.formatters.simple.format"
    return str(OmegaConf.select(OmegaConf.create(text), name))


def composed(overrides: Sequence[str] = (), hydra: bool = False) -> DictConfig:
    """The settings of `kfac-run *overrides`, not yet checked; with Hydra's own if `hydra`.

    Raises Hydra's errors for a key or a group that does not exist.
    """
    with initialize_config_module(CONFIG_MODULE, version_base=HYDRA_VERSION_BASE):
        return compose(CONFIG_NAME, overrides=list(overrides), return_hydra_config=hydra)


def load_config(overrides: Sequence[str] = ()) -> RunConfig:
    """The checked settings of `kfac-run *overrides`.

    Raises UserError for a value that is not allowed, otherwise as `composed`.
    """
    return validate(composed(overrides))
