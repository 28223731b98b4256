"""The form in which claims are written."""

import pytest

from kfac_cli.errors import UserError
from kfac_cli.report.claim import Claim, CostToError, ErrorAtIteration, parse_claim


def test_a_claim_names_two_groups_of_runs_and_what_is_smaller_in_the_first() -> None:
    claim = parse_claim("optimizer=kfac_tridiag < optimizer=adam at error 5 by seconds")
    assert claim.better.settings == {"optimizer.name": "kfac_tridiag"}
    assert claim.worse.settings == {"optimizer.name": "adam"}
    assert claim.measure == CostToError(5.0, "seconds")


def test_any_settings_name_the_groups_and_iterations_are_counted_unless_said_otherwise() -> None:
    claim = parse_claim(" optimizer=adam  optimizer.arguments.lr=1e-3<seed=0   at  error 0.5 ")
    assert claim.better.text == "optimizer=adam optimizer.arguments.lr=1e-3"
    assert claim.better.holds({"optimizer.name": "adam", "optimizer.arguments.lr": 0.001})
    assert not claim.better.holds({"optimizer.name": "adam", "optimizer.arguments.lr": 0.002})
    assert not claim.better.holds({"optimizer.name": "adam"})
    assert claim.measure == CostToError(0.5, "iterations")


def test_a_schedule_is_named_by_its_kind() -> None:
    claim = parse_claim("schedule=fixed < schedule=exponential at iteration 200")
    assert claim.better.settings == {"schedule.kind": "fixed"}


def test_greater_is_the_other_way_round() -> None:
    assert parse_claim("dataset=a > dataset=b at iteration 200") == parse_claim(
        "dataset=b < dataset=a at iteration 200"
    )
    assert parse_claim("l2=1 > l2=2 at iteration 200").measure == ErrorAtIteration(200)


@pytest.mark.parametrize(
    ("written", "recorded", "holds"),
    [
        ("optimizer.momentum=true", True, True),
        ("optimizer.momentum=true", 1, False),
        ("optimizer.momentum=1", True, False),
        ("optimizer.momentum=null", None, True),
        ("optimizer.momentum=5", 5.0, True),
        ("optimizer.momentum=auto", "auto", True),
        ("optimizer.momentum=auto", 0.5, False),
        ("optimizer.momentum=[1,2]", [1, 2], True),
        ("optimizer.momentum=2024-06-01", "2024-06-01", True),
        ("optimizer.momentum=2024-13-01", "2024-13-01", True),
        ("optimizer.momentum=on", "on", True),
        ("optimizer.momentum=1:30", "1:30", True),
        ("optimizer.momentum=1e-3", 0.001, True),
        ("optimizer.momentum=" + "[" * 3000, 1, False),
    ],
)
def test_values_are_compared_as_the_command_line_reads_them(
    written: str, recorded: object, holds: bool
) -> None:
    claim: Claim = parse_claim(f"{written} < seed=7 at error 1")
    assert claim.better.holds({"optimizer.momentum": recorded}) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must have the form"),
        ("optimizer=adam at error 5", "must have the form"),
        ("optimizer=adam < optimizer=sgd", "must have the form"),
        ("optimizer=adam < optimizer=sgd at loss 5", "must have the form"),
        ("adam < optimizer=sgd at error 5", "adam is no setting"),
        ("optimizer=adam < =sgd at error 5", "=sgd is no setting"),
        ("optimizer=adam < optimizer=adam at error 5", "both sides name the same runs"),
        ("optimizer=adam < optimizer=sgd at error five", "error five must be a number above 0"),
        ("optimizer=adam < optimizer=sgd at error -1", "error -1 must be a number above 0"),
        ("optimizer=adam < optimizer=sgd at error inf", "error inf must be a number above 0"),
        ("optimizer=adam < optimizer=sgd at iteration 1.5", "must be a whole number from 0"),
        ("optimizer=adam < optimizer=sgd at iteration inf", "must be a whole number from 0"),
        ("optimizer=adam < optimizer=sgd at iteration 5 by cases", "belongs to 'at error'"),
        ("optimizer=adam < optimizer=sgd at error 5 by hours", "iterations, cases or seconds"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as refused:
        parse_claim(text)
    assert "\n" not in str(refused.value)
