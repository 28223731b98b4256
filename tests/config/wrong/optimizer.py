"""Wrong values of the settings of an optimizer."""

from tests.config.helpers import WHOLE

LISTED = "kfac-run --cfg job lists them all"

OPTIMIZER = [
    (["optimizer.tau1=0"], "optimizer.tau1=0: must be a number in (0, 1]"),
    (["optimizer.tau1=2"], "optimizer.tau1=2: must be a number in (0, 1]"),
    (["optimizer.tau2=0"], "optimizer.tau2=0: must be a number in (0, 1]"),
    (["optimizer.momentum=maybe"], "optimizer.momentum=maybe: must be true or false"),
    (["optimizer.t3=0"], f"optimizer.t3=0: {WHOLE} 1 to 1000000000"),
    (
        ["optimizer.t2=32"],
        "optimizer.t2=32: must be a multiple of optimizer.t3, which is 5",
    ),
    (
        ["optimizer.gamma_min=2"],
        "optimizer.gamma_max=1.0: must be at least optimizer.gamma_min, which is 2",
    ),
    (["l2=100"], "optimizer.gamma_max=1.0: must be at least sqrt(l2), which is 10"),
    (["optimizer.kind=adam"], "optimizer.kind=adam: must be kfac, nesterov or torch"),
    (["~optimizer.tau1"], "optimizer.tau1: has no value; give one as optimizer.tau1=VALUE"),
    (["optimizer.pi=???"], "optimizer.pi: has no value; give one as optimizer.pi=VALUE"),
    (
        ["optimizer=heskes", "~optimizer.momentum"],
        "optimizer.momentum: has no value; give one as optimizer.momentum=VALUE",
    ),
    (["+optimizer.l2=1"], "optimizer.l2=1: no such setting; did you mean l2? " + LISTED),
    (["optimizer.omega1=1"], "optimizer.omega1=1: must be null or a number in (0, 1)"),
    (
        ["optimizer.name=../elsewhere"],
        "optimizer.name=../elsewhere: must be 1 to 64 letters, digits, - or _",
    ),
    (
        ["optimizer=nesterov_sgd", "optimizer.learning_rate=-1"],
        "optimizer.learning_rate=-1: must be a number in (0, 1000]",
    ),
    (
        ["optimizer=nesterov_sgd", "optimizer.learning_rate=nan"],
        "optimizer.learning_rate=nan: must be a number in (0, 1000]",
    ),
    (
        ["optimizer=nesterov_sgd", "optimizer.mu_max=1"],
        "optimizer.mu_max=1: must be a number in [0, 1)",
    ),
    (
        ["+optimizer.tau3=1"],
        "optimizer.tau3=1: no such setting; did you mean optimizer.tau2? "
        "kfac-run --cfg job lists them all",
    ),
    (
        ["+optimizer.mu_max=1"],
        "optimizer.mu_max=1: no such setting with this choice of optimizer, but with "
        "optimizer=nesterov_sgd; kfac-run --cfg job lists them all",
    ),
    (
        ["optimizer.lambda_initial=automatic"],
        "optimizer.lambda_initial=automatic: must be auto or a number in (0, 1e+12]",
    ),
    (
        ["optimizer.lambda_initial=0"],
        "optimizer.lambda_initial=0: must be auto or a number in (0, 1e+12]",
    ),
    (["optimizer.pi=two"], "optimizer.pi=two: must be trace, frobenius, spectral or one"),
    (["optimizer.fisher=true"], "optimizer.fisher=true: must be sampled, exact or empirical"),
    (
        ["optimizer=kfac_tridiag", "optimizer.tikhonov=exact"],
        "optimizer.tikhonov=exact: needs optimizer.inverse=block_diagonal; no other has an "
        "efficient exact form",
    ),
    (
        ["optimizer=kfac_diag", "optimizer.tikhonov=exact", "optimizer.pi=one"],
        "optimizer.pi=one: exact Tikhonov damping has no pi; leave it at trace, or "
        "optimizer.tikhonov=factored",
    ),
    (
        ["optimizer=kfac_diag", "optimizer.sigma_solver=doubling"],
        "optimizer.sigma_solver=doubling: needs optimizer.inverse=block_tridiagonal; no other "
        "has a Sigma",
    ),
    (
        ["optimizer.fisher=empirical", "optimizer.samples=2"],
        "optimizer.samples=2: needs optimizer.fisher=sampled; empirical samples nothing",
    ),
    (
        ["optimizer.rescaling=false"],
        "optimizer.momentum=true: must be false with optimizer.rescaling=false, or optimizer.mu "
        "a number",
    ),
    (
        ["optimizer.momentum=false", "optimizer.mu=0.5"],
        "optimizer.mu=0.5: must be null with optimizer.momentum=false",
    ),
    (
        ["optimizer.mu=0.5", "optimizer.cg_steps=2"],
        "optimizer.cg_steps=2: must be 1 with optimizer.mu=0.5",
    ),
    (
        ["optimizer.rescaling=false", "optimizer.mu=0.5", "optimizer.alpha_scale=0.5"],
        "optimizer.alpha_scale=0.5: must be 1 with optimizer.rescaling=false; the step size is "
        "optimizer.learning_rate",
    ),
    (
        ["optimizer.rescaling=false", "optimizer.momentum=false", "optimizer.cg_steps=2"],
        "optimizer.cg_steps=2: must be 1 with optimizer.rescaling=false",
    ),
    (
        ["optimizer.learning_rate=0.1"],
        "optimizer.learning_rate=0.1: needs optimizer.rescaling=false; re-scaling computes alpha "
        "instead",
    ),
]
"""Each command line with the line that refuses it."""
