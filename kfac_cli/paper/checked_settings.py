"""The settings of `kfac-run` for what a study does itself."""

from collections.abc import Sequence

from kfac_cli.commands.messages import explain
from kfac_cli.config.completion import complete
from kfac_cli.config.compose import composed
from kfac_cli.config.schema import RunConfig
from kfac_cli.errors import UserError


def checked(words: Sequence[str]) -> RunConfig:
    """The settings of `kfac-run *words`, later words winning; raises UserError for a wrong one."""
    try:
        settings = composed(words)
    except Exception as error:
        raise UserError(explain(error, words)) from error
    return complete(settings)
