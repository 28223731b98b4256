"""The methods that figures 10 and 11 compare, and some that are newer."""

from kfac_cli.paper.methods import (
    FEWER_CASES,
    PAPERS_T3,
    Method,
    first_order,
    first_order_on_fewer,
    kfac,
    kfac_without_momentum,
)

TRIDIAGONAL, DIAGONAL = "tridiagonal", "diagonal"
TRIDIAGONAL_NO_MOMENTUM = "tridiagonal-no-momentum"
BASELINE = "nesterov"
BASELINE_ON_FEWER, ADAM_ON_FEWER = f"{BASELINE}-{FEWER_CASES}", f"adam-{FEWER_CASES}"

PRESETS = {"paper": "the paper's values", "companion": "the values of its authors' code"}
"""Those with which both inverses are compared, with each other and with the baseline, besides this
project's."""

METHODS: tuple[Method, ...] = (
    kfac(TRIDIAGONAL, "kfac_tridiag"),
    kfac(DIAGONAL, "kfac_diag", PAPERS_T3),
    kfac("diagonal-default", "kfac_diag"),
    kfac("ekfac", "ekfac"),
    *(kfac(f"{TRIDIAGONAL}-{preset}", "kfac_tridiag", f"preset={preset}") for preset in PRESETS),
    *(kfac(f"{DIAGONAL}-{preset}", "kfac_diag", f"preset={preset}") for preset in PRESETS),
    kfac_without_momentum(TRIDIAGONAL_NO_MOMENTUM, "kfac_tridiag"),
    kfac_without_momentum("diagonal-no-momentum", "kfac_diag", PAPERS_T3),
    first_order(BASELINE, "nesterov_sgd"),
    first_order("adam", "adam"),
    first_order("adamw", "adamw"),
    first_order("muon", "muon"),
    first_order_on_fewer(BASELINE_ON_FEWER, "nesterov_sgd"),
    first_order_on_fewer(ADAM_ON_FEWER, "adam"),
)
