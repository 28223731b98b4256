"""How a run can end."""

FINISHED = "finished"
TARGET_REACHED = "target reached"
TIME_LIMIT_REACHED = "time limit reached"
DIVERGED = "diverged"
INTERRUPTED = "interrupted"
