"""A ready-made value that is a share of the iterations, such as `iterations/20`."""

import re
from collections.abc import Sequence

from kfac_cli.config.compose import composed
from kfac_cli.errors import UserError, shown
from kfac_cli.tune.dimension import Dimension

SHARE = re.compile(r"(?P<key>[^=]+)=iterations/(?P<parts>[1-9]\d*)")

TIME_LIMITS = ("max_seconds", "max_optimizer_seconds")


def with_shares(words: Sequence[str], searched: Sequence[Dimension]) -> list[str]:
    """The words with such values as whole numbers, the same for all runs of a search.

    They are 0 where a time limit ends the run, which then does not know its last iterations. Raises
    UserError where the iterations or a time limit are searched.
    """
    shares = {word: found for word in words if (found := SHARE.fullmatch(word))}
    if not shares:
        return list(words)
    for d in searched:
        if d.name in ("iterations", *TIME_LIMITS):
            word, share = next(iter(shares.items()))
            raise UserError(
                f"{shown(d.word)}: the ready-made {word} needs a single value of {d.name}; give "
                f"that, or {share['key']}=N"
            )
    first = [d.override(d.extremes()[0]) for d in searched]
    iterations = _iterations([*(word for word in words if word not in shares), *first])
    values = {
        word: f"{found['key']}={iterations // int(found['parts'])}"
        for word, found in shares.items()
    }
    return [values.get(word, word) for word in words]


def _iterations(words: Sequence[str]) -> int:
    """The iterations that a run is known to end at; 0 if time ends it, or for wrong settings."""
    try:
        settings = composed(words)
    except Exception:
        return 0  # the check of the space says what is wrong
    limited = any(settings.get(name) is not None for name in TIME_LIMITS)
    known = settings.get("iterations")
    return known if isinstance(known, int) and known > 0 and not limited else 0
