"""Watching the operators of torch that some work calls, in this thread."""

from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

from torch.utils._python_dispatch import TorchDispatchMode


class Call(NamedTuple):
    """A call of an operator: its arguments, its result, and its seconds on the host."""

    operator: Any
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    result: Any
    seconds: float

    @property
    def name(self) -> str:
        """The operator's name without namespace, overload and the mark of changing in place."""
        return str(self.operator._schema.name).partition("::")[2].removesuffix("_")


class _Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, observe: Callable[[Call], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._observe = observe

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        started = perf_counter()
        result = func(*args, **named)
        self._observe(Call(func, args, named, result, perf_counter() - started))
        return result


def watch(work: Callable[[], object], observe: Callable[[Call], None]) -> None:
    """Do the work, and hand each call of an operator to `observe` when it is done."""
    with _Watching(observe):
        work()
