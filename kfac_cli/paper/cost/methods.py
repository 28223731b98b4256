"""The optimizers whose iterations are timed, and the settings of `kfac-run` that make them so."""

INVERSES = {"block-tridiagonal": "kfac_tridiag", "block-diagonal": "kfac_diag"}
"""What a table calls an inverse, and the optimizer of `kfac-run`."""

BASELINE = "nesterov_sgd"

ORDINARY = {
    BASELINE: ("optimizer.learning_rate=1e-4",),
    **dict.fromkeys(
        INVERSES.values(), ("optimizer.lambda_initial=150", "optimizer.tikhonov=factored")
    ),
}
"""For iterations that are ordinary from the start: no calibration and no exact damping."""


def fixed(cases: int) -> tuple[str, ...]:
    """The settings for mini-batches of one size."""
    return ("schedule=fixed", f"schedule.size={cases}")


def timed(optimizer: str, cases: int) -> tuple[str, ...]:
    """The settings for a session of an optimizer whose iterations are timed."""
    return (f"optimizer={optimizer}", *ORDINARY[optimizer], *fixed(cases))
