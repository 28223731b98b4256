"""Hydra's sweep grammar as Optuna's distributions."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from kfac_cli.errors import UserError
from kfac_cli.tune.dimension import dimension
from kfac_cli.tune.space import parsed_word


def read(word):
    return dimension(parsed_word(word))


@pytest.mark.parametrize(
    ("range_", "distribution"),
    [
        ("interval(0,1)", FloatDistribution(0, 1)),
        ("tag(log,interval(1e-4,0.1))", FloatDistribution(1e-4, 0.1, log=True)),
        ("int(interval(1,10))", IntDistribution(1, 10)),
        ("tag(log,int(interval(1,100)))", IntDistribution(1, 100, log=True)),
        ("int(tag(log,interval(1,100)))", IntDistribution(1, 100, log=True)),
        ("float(interval(1,10))", FloatDistribution(1, 10)),
        ("range(1,10,2)", IntDistribution(1, 9, step=2)),
        ("range(4)", IntDistribution(0, 3)),
        ("range(10,0,-3)", IntDistribution(1, 10, step=3)),
        ("tag(log,range(1,9))", IntDistribution(1, 8, log=True)),
        ("range(0,1,0.1)", FloatDistribution(0, 0.9, step=0.1)),
        ("2,2.5,true,null,word", CategoricalDistribution([2, 2.5, True, None, "word"])),
        ("choice(5)", CategoricalDistribution([5])),
        ("shuffle(3,1,2)", CategoricalDistribution([3, 1, 2])),
        ("int(1.0,2.0)", CategoricalDistribution([1, 2])),
    ],
)
def test_a_range_is_the_distribution_that_hydra_means(range_, distribution):
    assert read(f"x={range_}").distribution == distribution


def test_lists_quoted_texts_and_added_settings_reach_kfac_run_as_they_were_typed():
    betas = read("+optimizer.arguments.betas=[0.9,0.99],[0.9,0.999]")
    assert betas.name == "optimizer.arguments.betas"
    words = [betas.override(value) for value in betas.distribution.choices]
    assert words == [
        "+optimizer.arguments.betas=[0.9,0.99]",
        "+optimizer.arguments.betas=[0.9,0.999]",
    ]
    quoted = read("x='0.1',true,null")
    assert [quoted.override(v) for v in quoted.distribution.choices] == [
        "x='0.1'",
        "x=true",
        "x=null",
    ]
    equal = read("x=1,true")  # one value for Python, two for a setting
    assert [equal.override(v) for v in equal.distribution.choices] == ["x=1", "x=true"]


def test_a_number_reaches_kfac_run_exactly():
    assert read("x=interval(0,1)").override(0.1 + 0.2) == "x=0.30000000000000004"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("x=glob(*)", "x=glob(*): glob is not for a search; list the choices: A,B,C"),
        ("x=interval(2,1)", "must be interval(LOW,HIGH) with LOW not above HIGH"),
        ("x=interval(0,inf)", "must be interval(LOW,HIGH) with LOW not above HIGH"),
        ("x=tag(log,interval(0,1))", "a logarithmic range must be above 0"),
        ("x=tag(log,range(0,3))", "a logarithmic range must be above 0"),
        ("x=tag(log,range(1,9,2))", "log is for interval(A,B) and ranges with a step of 1"),
        ("x=tag(uniform,interval(0,1))", "tag uniform is not known; log is the only tag"),
        ("x=tag(log,choice(1,2))", "tag log is not known; choices take no tag"),
        ("x=range(3,3)", "has no values"),
        ("x=range(1,3,0)", "must be range(START,STOP) or range(START,STOP,STEP)"),
        ("x=1,2,1", "1 is given twice"),
    ],
)
def test_a_range_that_is_none_is_refused_in_one_line(word, reason):
    with pytest.raises(UserError) as caught:
        read(word)
    assert str(caught.value).startswith(word)
    assert str(caught.value).endswith(reason)


@pytest.mark.parametrize("word", ["x=interval(2,3)", "x=tag(log,interval(2,3))", "x=range(2,9,2)"])
def test_positions_cover_a_range(word):
    d = read(word)
    low, high = d.extremes()
    assert d.value_at(0.0) == pytest.approx(low)
    assert d.value_at(1 - 1e-12) == pytest.approx(high)
    assert d.value_at(0.0) <= d.value_at(0.3) <= d.value_at(0.6)


def test_positions_give_whole_numbers_of_a_logarithmic_range_their_share():
    d = read("x=tag(log,int(interval(1,4)))")
    values = [d.value_at((i + 0.5) / 1000) for i in range(1000)]
    assert all(isinstance(value, int) for value in values)
    assert [values.count(n) for n in (1, 2, 3, 4)] == sorted(
        (values.count(n) for n in (1, 2, 3, 4)), reverse=True
    )
    assert set(values) == {1, 2, 3, 4}
