"""What processes tell one another when a run fails, through the launcher's store.

So one of them, the first one if it is still there, prints one line for all.
"""

import contextlib
import time

from torch.distributed.distributed_c10d import Store, _get_default_store

FAILURE, REPORTED, ENDED = (f"kfac-run/{name}" for name in ("failure", "reported", "ended"))

REASON_SECONDS = 2.0
"""How long the first process waits for the reason of another one."""

REPORT_SECONDS = 5.0
"""How long it stays for the others to see that it reports, and they wait for that."""


class LastWords:
    """The notes of this process and of the others; none where the store is gone."""

    def __init__(self) -> None:
        self._store: Store | None = None
        with contextlib.suppress(ValueError):
            self._store = _get_default_store()

    def leave_reason(self, text: str) -> None:
        """Say why this process fails."""
        self._set(FAILURE, text)

    def reason(self) -> str | None:
        """Why another process has failed, if it says so."""
        if not self._await(FAILURE, REASON_SECONDS) or self._store is None:
            return None
        return str(self._store.get(FAILURE).decode())

    def report(self) -> None:
        """Say that the first process reports the failure."""
        self._set(REPORTED, "")

    def is_reported(self) -> bool:
        """Whether the first process reports the failure."""
        return self._await(REPORTED, REPORT_SECONDS)

    def end(self) -> None:
        """Say that this process has seen what it has to, and ends."""
        with contextlib.suppress(RuntimeError):
            if self._store is not None:
                self._store.add(ENDED, 1)

    def await_ends(self, count: int) -> None:
        """Keep the store, which this process may hold, until so many others end."""
        limit = time.monotonic() + REPORT_SECONDS
        with contextlib.suppress(RuntimeError):
            while self._store is not None and self._store.add(ENDED, 0) < count:
                if time.monotonic() > limit:
                    return
                time.sleep(0.02)

    def _set(self, key: str, text: str) -> None:
        with contextlib.suppress(RuntimeError):
            if self._store is not None:
                self._store.set(key, text)

    def _await(self, key: str, seconds: float) -> bool:
        limit = time.monotonic() + seconds
        with contextlib.suppress(RuntimeError):
            while self._store is not None:
                if self._store.check([key]):
                    return True
                if time.monotonic() > limit:
                    return False
                time.sleep(0.02)
        return False
