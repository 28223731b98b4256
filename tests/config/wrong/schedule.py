"""Wrong values of the settings of a schedule."""

from tests.config.helpers import WHOLE

SCHEDULE = [
    (
        ["schedule=fixed", "schedule.size=0"],
        f"schedule.size=0: {WHOLE} 1 to 1000000000",
    ),
    (["schedule.full_at=1"], f"schedule.full_at=1: {WHOLE} 2 to 1000000000"),
    (
        ["schedule=stepwise", "schedule.steps=[]"],
        "schedule.steps=[]: must be a list of 1 to 1000 pairs [iteration,value]",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[1,500]"],
        "schedule.steps[0]=1: must be a pair [iteration,value]",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[[1,500,3]]"],
        "schedule.steps[0]=[1,500,3]: must be a pair [iteration,value]",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[[2,500]]"],
        "schedule.steps[0][0]=2: must be 1: the table begins with the run",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[[1,500],[9,600],[9,700]]"],
        "schedule.steps[2][0]=9: must be later than 9, the one before",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[[1,500],[1.5,600]]"],
        f"schedule.steps[1][0]=1.5: {WHOLE} 0 to 1000000000",
    ),
    (
        ["schedule=stepwise", "schedule.steps=[[1,0]]"],
        f"schedule.steps[0][1]=0: {WHOLE} 1 to 1000000000",
    ),
    (["schedule=adaptive", "schedule.initial=1"], f"schedule.initial=1: {WHOLE} 2 to 1000000000"),
    (
        ["schedule=adaptive", "schedule.maximum=500"],
        "schedule.maximum=500: must be null or at least schedule.initial, which is 1000",
    ),
    (["schedule=adaptive", "schedule.theta=0"], "schedule.theta=0: must be a number in (0, 1]"),
]
"""Each command line with the line that refuses it."""
