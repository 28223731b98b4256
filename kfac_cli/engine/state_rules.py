"""What the values of a saved state may be, declared beside each `state_dict`.

A checkpoint with the right checksum may still hold anything. So every class with a state says in
`state_rules` which names, types, shapes and ranges it has, and a run checks a whole state before it
loads any of it. Importing this needs no torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kfac_cli.errors import listed, shown

if TYPE_CHECKING:
    from torch import Tensor, dtype

Rule = Callable[[Any, str], None]
"""Checks a value with a dotted name; raises StateError if it is not allowed."""

Rules = Mapping[str, Rule]

LARGEST_COUNT = 2**53
LARGEST_NUMBER = sys.float_info.max


class StateError(ValueError):
    """A value that no saved state has: one line with its dotted name, itself and what is allowed.

    Only the value is shortened, if it is long.
    """


def refusal(name: str, value: object, allowed: str) -> StateError:
    """The error for a value that is not `allowed`, which completes "must be ..."."""
    return StateError(f"{name}={_described(value)}: must be {allowed}")


def count(low: int = 0, high: int = LARGEST_COUNT) -> Rule:
    """A whole number from `low` to `high`."""

    def check(value: Any, name: str) -> None:
        if type(value) is not int or not low <= value <= high:
            raise refusal(name, value, f"a whole number from {low} to {high}")

    return check


def number(low: float = 0.0, high: float = LARGEST_NUMBER) -> Rule:
    """A number from `low` to `high`, which may be infinite; never NaN."""

    def check(value: Any, name: str) -> None:
        whole = type(value) is int and abs(value) <= LARGEST_COUNT
        if not (whole or type(value) is float) or not low <= value <= high:
            raise refusal(name, value, f"a number from {low:g} to {high:g}")

    return check


def flag(value: Any, name: str) -> None:
    """True or false."""
    if type(value) is not bool:
        raise refusal(name, value, "true or false")


def absent(value: Any, name: str) -> None:
    """None."""
    if value is not None:
        raise refusal(name, value, "null")


def word(*choices: str) -> Rule:
    """One of some words."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, str) or value not in choices:
            raise refusal(name, value, listed(choices))

    return check


def optional(rule: Rule) -> Rule:
    """None, or what another rule allows."""

    def check(value: Any, name: str) -> None:
        if value is not None:
            rule(value, name)

    return check


def items(rules: Sequence[Rule], *, or_none: bool = False) -> Rule:
    """A list with an item for each rule; with `or_none`, it may be empty."""

    def check(value: Any, name: str) -> None:
        if isinstance(value, list) and not value and or_none:
            return
        if not isinstance(value, list) or len(value) != len(rules):
            raise refusal(name, value, f"a list of {len(rules)}")
        for index, rule in enumerate(rules):
            rule(value[index], f"{name}[{index}]")

    return check


def up_to(most: int, rule: Rule) -> Rule:
    """A list of at most so many items, each of which a rule allows."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, list) or len(value) > most:
            raise refusal(name, value, f"a list of at most {most}")
        items([rule] * len(value))(value, name)

    return check


def record(
    rules: Rules, then: Callable[[Mapping[str, Any]], Rules] | None = None, *, others: bool = False
) -> Rule:
    """A dict with a value for each rule and, unless `others` are allowed, no more.

    `then` makes further rules from the values that `rules` allowed, for these or for others.
    """

    def check(value: Any, name: str) -> None:
        _check_values(rules, value, name)
        more = {} if then is None else then(value)
        _check_values(more, value, name)
        for key in () if others else value.keys() - rules.keys() - more.keys():
            raise refusal(_below(name, shown(key)), value[key], "absent")

    return check


def variant(kinds: Rules) -> Rule:
    """What the rule for the value's `type` allows."""

    def check(value: Any, name: str) -> None:
        record({"type": word(*kinds)}, others=True)(value, name)
        kinds[value["type"]](value, name)

    return check


def _check_values(rules: Rules, value: Any, name: str) -> None:
    if not isinstance(value, dict):
        raise refusal(name, value, "a group of values")
    for key, rule in rules.items():
        if key not in value:
            raise StateError(f"{_below(name, key)}: is missing")
        rule(value[key], _below(name, key))


def _below(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def tensor(
    shape: Sequence[int],
    *dtypes: dtype,
    finite: bool = True,
    nan: bool = False,
    nonnegative: Callable[[Tensor], Tensor] | None = None,
) -> Rule:
    """A tensor of a shape and one of some dtypes.

    Its values are `finite` or, if that is not asked for, not NaN, unless `nan` is allowed too.
    `nonnegative` picks the values that must not be negative.
    """

    def check(value: Any, name: str) -> None:
        from torch import Tensor

        if not isinstance(value, Tensor) or value.dtype not in dtypes or value.shape != (*shape,):
            kinds = listed([str(kind) for kind in dtypes])
            raise refusal(name, value, f"{kinds} of the shape {list(shape)}")
        if not nan and not bool((value.isfinite() if finite else ~value.isnan()).all()):
            raise StateError(f"{name}: must be {'finite' if finite else 'free of NaN'} throughout")
        if nonnegative is not None and bool((nonnegative(value) < 0).any()):
            raise StateError(f"{name}: has a negative value where none can be")

    return check


def entries(matrix: Tensor) -> Tensor:
    """All values, as those that must not be negative."""
    return matrix


def diagonal(matrix: Tensor) -> Tensor:
    """Those on the diagonal, which are not negative in a positive semi-definite matrix."""
    return matrix.diagonal()


def square(size: int, kind: dtype) -> Rule:
    """A positive semi-definite matrix, as far as its diagonal says."""
    return tensor((size, size), kind, nonnegative=diagonal)


def like(tensors: Sequence[Tensor], *, or_none: bool = False) -> Rule:
    """A list of finite tensors of the shapes and dtypes of others; with `or_none`, or empty."""
    return items([tensor(each.shape, each.dtype) for each in tensors], or_none=or_none)


def generator(value: Any, name: str) -> None:
    """The state of a random generator on the CPU."""
    from torch import Generator

    own = Generator()
    tensor(own.get_state().shape, own.get_state().dtype)(value, name)
    try:
        own.set_state(value)
    except RuntimeError as error:
        raise refusal(name, value, "the state of a random generator") from error


def _described(value: object) -> str:
    """A value in a few words: of a tensor its dtype and shape, of a dict its names."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"({value.dtype} of the shape {list(value.shape)})"
    if isinstance(value, dict):
        return f"({', '.join(map(shown, value))[:60]})"
    if isinstance(value, list):
        return f"(a list of {len(value)})"
    return shown(value)
