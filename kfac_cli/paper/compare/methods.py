"""The methods that figures 10 and 11 compare, and some that are newer."""

from kfac_cli.paper.methods import PAPERS_T3, Method, first_order, kfac, kfac_without_momentum

TRIDIAGONAL, DIAGONAL = "tridiagonal", "diagonal"
TRIDIAGONAL_NO_MOMENTUM = "tridiagonal-no-momentum"
BASELINE = "nesterov"

METHODS: tuple[Method, ...] = (
    kfac(TRIDIAGONAL, "kfac_tridiag"),
    kfac(DIAGONAL, "kfac_diag", PAPERS_T3),
    kfac("diagonal-default", "kfac_diag"),
    kfac("ekfac", "ekfac"),
    kfac("tridiagonal-paper", "kfac_tridiag", "preset=paper"),
    kfac("tridiagonal-companion", "kfac_tridiag", "preset=companion"),
    kfac_without_momentum(TRIDIAGONAL_NO_MOMENTUM, "kfac_tridiag"),
    kfac_without_momentum("diagonal-no-momentum", "kfac_diag", PAPERS_T3),
    first_order(BASELINE, "nesterov_sgd"),
    first_order("adam", "adam"),
    first_order("adamw", "adamw"),
    first_order("muon", "muon"),
)
