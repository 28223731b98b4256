"""What stands beside resume= on the command line: any folder, and mistakes in one line each."""

import pytest

from tests.commands.resume.helpers import refusal


@pytest.mark.parametrize("name", ["a=b c", "ünï, {x}", "'quoted'", "$HOME"])
@pytest.mark.parametrize("quotes", ["", "'", '"'])
def test_a_folder_may_have_any_name(kfac_run, half, tmp_path, name, quotes):
    half.rename(tmp_path / name)
    answer = kfac_run(f"resume={quotes}{name}{quotes}")
    assert answer.code == 0
    assert answer.out.startswith(f"{name}: finished after 12 iterations")


def test_an_absolute_path_and_one_through_a_link_work(kfac_run, half, tmp_path):
    (tmp_path / "link").symlink_to(half)
    for path in (half, tmp_path / "link", "./run/"):
        assert kfac_run(f"resume={path}").code == 0


MISTAKES = [
    (["resume="], "resume=: must be followed by the folder of a run"),
    (["resume=nowhere"], "resume=nowhere: no such folder"),
    (["resume=\0"], 'resume="\\u0000": no such folder'),
    (["resume=\ud800"], 'resume="\\ud800": no such folder'),
    (["resume=a\nb"], 'resume="a\\nb": no such folder'),
    (["resume=" + "r" * 5000], f"resume={'r' * 57}...: no such folder"),
    (["resume=''"], "resume=: must be followed by the folder of a run"),
    (["resume=cases.npz"], "resume=cases.npz: no such folder"),
    (["resume=empty"], "resume=empty: holds no run: it has no config.yaml"),
    (
        ["resume=."],
        "resume=.: holds no run: it has no config.yaml; -m resumes a sweep, or resume one of its "
        "folders [run]",
    ),
    (["resume=run", "resume=run"], "resume=run: one folder at a time"),
    (["-m", "resume=run"], "resume=run: has no multirun.yaml: it holds a single run; remove -m"),
    (["--cfg", "job", "resume=run"], "resume=run: resumes one run and takes no options"),
    (["resume=run", "seed=0,1"], "seed=0,1: several values, but resume= continues one run"),
    (["resume=run", "iteration=9"], "iteration=9: no such setting; did you mean iterations?"),
    (
        ["resume=run", "optimizer.lr=1"],
        "optimizer.lr=1: no such setting; did you mean optimizer.learning_rate, or with torch's ",
    ),
    (["resume=run", "iterations=0"], "iterations=0: must be a whole number from 1 to 1000000000"),
    (
        ["resume=run", "optimizer=kfac_diag"],
        "optimizer=kfac_diag: a resumed run keeps its optimizer",
    ),
    (["resume=run", "preset=paper"], "preset=paper: a resumed run keeps its preset"),
    (["resume=run", "preset.name=paper"], "preset.name=paper (was default): a resumed run keeps"),
    (["resume=run", "preset.tau2=1"], "preset.tau2=1: no such setting"),
    (["resume=run", "+iterations=9"], "+iterations=9: with resume=, write SETTING=VALUE"),
    (["resume=run", "~iterations"], "~iterations: with resume=, write SETTING=VALUE"),
    (["resume=run", "iterations=[9"], "iterations=[9: cannot be read"),
    (["resume=run", "hydra.run.dir=x"], "hydra.run.dir=x: no such setting"),
    (["resume=run", "nonsense"], "nonsense: must have the form SETTING=VALUE"),
    (["resume=run", "polyak=3"], "polyak=3: must be a group of settings"),
    (["resume=run", "iterations.x=3"], "iterations.x=3: "),
    (["resume=run", "iterations=${nowhere}"], "iterations: Interpolation key 'nowhere' not found"),
]


@pytest.mark.parametrize(
    ("arguments", "line"), MISTAKES, ids=[ascii(" ".join(m[0])[:40]) for m in MISTAKES]
)
def test_a_mistake_next_to_resume_is_one_line(kfac_run, half, tmp_path, arguments, line):
    (tmp_path / "empty").mkdir()
    found = refusal(kfac_run, half, *arguments)
    assert found.startswith(line)
