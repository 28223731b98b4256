"""The settings to which a resumed run may give other values; it keeps all others."""

from kfac_cli.config.completion import path_settings

MAY_CHANGE = (
    # when to stop
    "iterations",
    "max_seconds",
    "max_optimizer_seconds",
    "target_error",
    "require_target",
    "max_rejections",
    # what is recorded
    "evaluate_every",
    "tags",
    "tensorboard",
    "checkpoint.every",
    "checkpoint.minutes",
    "checkpoint.keep",
    # where and how it is computed: results then agree up to rounding and, between a CPU and a GPU,
    # up to the targets that are sampled
    "device",
    "threads",
    "matmul",
    "chunk_size",
    "optimizer.activation_memory",
    # where the data are, whose contents are compared
    *dict.fromkeys(name for name in path_settings() if name != "start_from"),
)
