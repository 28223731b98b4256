"""What a run does besides its iterations, as the displays show it."""


def activity_text(what: str, done: int, total: int) -> str:
    """An activity in words, with the share that is done if the total is known."""
    return f"{what}: {100 * done // total} %" if total else what
