"""kfac-paper as it is typed: its pages, its folders, and what it prints."""

import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kfac_cli.config.compose import load_config
from kfac_cli.config.schema import flat_settings
from kfac_cli.errors import UserError
from kfac_cli.paper import registry
from kfac_cli.paper.arguments import parse
from kfac_cli.paper.methods import named
from kfac_cli.paper.registry import STUDIES
from kfac_cli.paper.study import RUNS, Scale

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_page_names_every_option(kfac_paper, flag):
    answer = kfac_paper("compare", flag)
    assert (answer.code, answer.err) == (0, "")
    for option in {option for entry in STUDIES.values() for option in entry.options}:
        assert f"{option}=" in answer.out
    assert all(len(line) <= 100 for line in answer.out.splitlines())


def test_without_arguments_the_page_is_printed_and_nothing_runs(kfac_paper, tmp_path):
    answer = kfac_paper()
    assert answer.code == 1
    assert answer.out.startswith("kfac-paper repeats the experiments of the paper")
    assert not list(tmp_path.iterdir())


def test_the_version_is_that_of_kfac_run(kfac_paper):
    assert kfac_paper("--version").out.startswith("kfac-paper ")


def test_the_list_has_a_line_for_each_study_and_loads_no_torch():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'matplotlib', 'pydantic')));"
        "from kfac_cli.paper.__main__ import main; sys.exit(main())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, "list"], capture_output=True, text=True, timeout=60
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(STUDIES)
    assert all("figure" in line or "section" in line for line in lines)
    assert all("small: " in line and "full: " in line for line in lines)


def test_the_list_has_the_times_of_the_documents():
    page = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \| (.+) \|$", page, re.MULTILINE)
    found = {name: (small, full) for name, small, full in rows if name in STUDIES}
    assert found == {name: (entry.small, entry.full) for name, entry in STUDIES.items()}


@pytest.mark.parametrize(
    ("study", "names", "option"),
    [
        ("compare.methods", ("tridiagonal", "diagonal"), "inverse"),
        ("batch_size.plan", ("tridiagonal", "diagonal"), "inverse"),
        ("options.statements", ("factored-tikhonov", "exact-tikhonov"), "tikhonov"),
    ],
)
def test_methods_that_are_compared_differ_in_one_option(study, names, option):
    methods = importlib.import_module(f"kfac_cli.paper.{study}").METHODS
    pair = [
        flat_settings(load_config(method.words("mnist", Scale.FULL)))
        for method in named(methods, names)
    ]
    differing = {name for name in pair[0] if pair[0][name] != pair[1][name]}
    assert differing - {"optimizer.name"} == {f"optimizer.{option}"}


@pytest.mark.parametrize("entry", STUDIES.values(), ids=STUDIES)
def test_every_study_of_the_list_can_be_loaded(entry):
    assert callable(entry.load())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nonsense"], "nonsense: no such study; the studies are counting"),
        (["scale=full"], "no study given; kfac-paper --help shows how it is used"),
        (["counting", "--fast"], "--fast: no such option; kfac-paper --help shows how it is used"),
        (["counting", "again"], "again: one study at a time, and settings as NAME=VALUE"),
        (["counting", "scale=medium"], "scale=medium: must be full or small"),
        (["counting", "output="], "output=: must name a folder"),
        (["counting", "output=file"], "output=file: is not a folder"),
        (
            ["counting", "output=full"],
            "output=full: holds no study, but thing; choose a new folder",
        ),
    ],
)
def test_a_mistake_is_one_line(kfac_paper, counting, tmp_path, words, line):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").write_text("")
    answer = kfac_paper(*words)
    assert (answer.code, answer.out, answer.err) == (1, "", f"kfac-paper: error: {line}\n")
    assert not counting.jobs


def test_a_study_gets_scale_folder_options_and_settings(kfac_paper, counting, tmp_path):
    assert kfac_paper("counting", "scale=full", "threads=1", "flakes=2", "l2=0").code == 0
    [job] = counting.jobs
    assert job.scale is Scale.FULL
    assert job.folder == tmp_path / "outputs/paper/counting-full"
    assert (job.options, job.settings) == ({"flakes": "2"}, ("threads=1", "l2=0"))


def test_findings_are_printed_and_written_those_not_confirmed_first(kfac_paper, counting, tmp_path):
    answer = kfac_paper("counting", "output=here", "threads=1")
    assert (answer.code, answer.err) == (0, "")
    text = (
        "1 not confirmed, 1 confirmed, 1 not measured\n\n"
        "NOT CONFIRMED: it pours (figure 2)\n  ratio: 0.3333\n  n: 2\n  A note.\n\n"
        "CONFIRMED: it rains (section 1)\n  drops: 3\n  n: 1\n\n"
        "NOT MEASURED: it snows (section 3)\n  Too warm.\n"
    )
    assert text in answer.out
    written = (tmp_path / "here/findings.txt").read_text()
    command = "kfac-paper counting output=here threads=1"
    assert written == f"counting, scale=small: {command}\n\n{text}"
    contents = json.loads((tmp_path / "here/findings.json").read_text())
    assert contents["command"] == command
    assert {"torch", "python", "device_name"} <= set(contents["environment"])
    assert contents["findings"][0] == {
        "statement": "it pours",
        "source": "figure 2",
        "verdict": "not confirmed",
        "numbers": {"ratio": 1 / 3},
        "n": 2,
        "note": "A note.",
    }


def test_a_study_that_has_ended_is_read_and_not_done_again(kfac_paper, counting):
    first = kfac_paper("counting", "flakes=2", "jobs=1")
    second = kfac_paper("counting", "jobs=4", "flakes=2")  # jobs= changes no result
    assert len(counting.jobs) == 1
    assert second.code == 0
    assert second.out.startswith("outputs/paper/counting-small: has ended; its findings are\n")
    assert second.out.endswith(first.out)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["scale=full"], "scale=small, not scale=full"),
        (["threads=2"], "no settings, not the settings threads=2"),
        (["flakes=2"], "no options, not the options flakes=2"),
    ],
)
def test_a_folder_keeps_its_scale_options_and_settings(kfac_paper, counting, words, line):
    kfac_paper("counting", "output=here")
    answer = kfac_paper("counting", "output=here", *words)
    assert answer.code == 1
    assert answer.err == (
        f"kfac-paper: error: output=here: holds a study with {line}; give the same or choose "
        "another output=\n"
    )


def test_a_study_is_extended_by_more_of_what_an_option_lists(kfac_paper, counting):
    kfac_paper("counting", "flakes=1,2")
    assert kfac_paper("counting", "flakes=2,3,1").code == 0
    assert [job.options for job in counting.jobs] == [{"flakes": "1,2"}, {"flakes": "2,3,1"}]
    assert "has ended" in kfac_paper("counting", "flakes=2,3,1").out
    answer = kfac_paper("counting", "flakes=1,2")
    assert "holds a study with the options flakes=2,3,1" in answer.err


def test_an_extension_that_is_refused_leaves_the_study_and_its_findings(kfac_paper, counting):
    first = kfac_paper("counting", "flakes=1")

    def refuse(job):
        raise UserError("flakes='1,x': must be whole numbers")

    acts, counting.acts = counting.acts, refuse
    assert kfac_paper("counting", "flakes=1,x").code == 1
    assert kfac_paper("counting", "flakes=1").out.endswith(first.out)
    counting.acts = acts
    assert kfac_paper("counting", "flakes=1,2").code == 0
    assert "holds a study" in kfac_paper("counting", "flakes=1").err


def test_what_is_not_given_has_its_default_and_can_be_extended(kfac_paper, counting, monkeypatch):
    entry = replace(
        registry.STUDIES["counting"],
        defaults={scale: {"flakes": "0"} for scale in Scale},
    )
    monkeypatch.setitem(registry.STUDIES, "counting", entry)
    kfac_paper("counting")
    assert "has ended" in kfac_paper("counting", "flakes=0").out
    assert kfac_paper("counting", "flakes=0,1").code == 0
    assert kfac_paper("counting", "flakes=all").code == 0
    assert "has ended" in kfac_paper("counting", "flakes=all").out
    assert "holds a study" in kfac_paper("counting").err


def test_the_order_of_settings_and_values_that_later_ones_replace_mean_nothing(
    kfac_paper, counting
):
    kfac_paper("counting", "threads=1", "iterations=3")
    same = kfac_paper("counting", "iterations=2", "iterations=3", "threads=1")
    assert "has ended" in same.out


def test_the_findings_have_the_environment_of_the_runs(kfac_paper, counting, tmp_path):
    def two_runs(job):
        for threads in (7, 8):
            folder = job.folder / RUNS / str(threads)
            folder.mkdir(parents=True)
            summary = {"device_name": "an abacus", "thread_count": threads}
            (folder / "summary.json").write_text(json.dumps(summary))
        return []

    counting.acts = two_runs
    assert kfac_paper("counting", "output=here").code == 0
    where = json.loads((tmp_path / "here/findings.json").read_text())["environment"]
    assert (where["device_name"], where["thread_count"]) == ("an abacus", [7, 8])


def test_a_command_that_failed_before_anything_was_done_leaves_the_folder_free(
    kfac_paper, counting
):
    def refuse(job):
        raise OSError(5, "broken", "disk")

    acts, counting.acts = counting.acts, refuse
    answer = kfac_paper("counting", "output=here", "threads=two")
    assert (answer.code, answer.err) == (1, "kfac-paper: error: disk: broken\n")
    counting.acts = acts
    assert kfac_paper("counting", "output=here", "threads=2").code == 0


def test_an_interrupted_study_says_how_it_continues_and_continues(kfac_paper, counting):
    def interrupt(job):
        os.kill(os.getpid(), signal.SIGTERM)

    acts, counting.acts = counting.acts, interrupt
    answer = kfac_paper("counting", "flakes=2")
    assert (answer.code, answer.err) == (143, "kfac-paper: interrupted\n")
    assert answer.out == "\n  kfac-paper counting flakes=2  continues from here\n"
    counting.acts = acts
    assert kfac_paper("counting", "flakes=2").code == 0


def test_damaged_findings_are_named(kfac_paper, counting, tmp_path):
    kfac_paper("counting", "output=here")
    (tmp_path / "here/findings.json").write_text("{}")
    answer = kfac_paper("counting", "output=here")
    assert answer.code == 1
    assert answer.err.startswith("kfac-paper: error: here/findings.json: is damaged; remove it")


def commands_of(page):
    """The words of each kfac-paper command in a page's blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words and words[0] == "kfac-paper"]


def test_the_commands_of_the_document_are_right_and_every_study_has_a_section():
    page = ROOT / "docs/paper.md"
    commands = [words for words in commands_of(page) if words != ["list"]]
    assert commands
    assert {parse(words).name for words in commands} <= set(STUDIES)
    sections = re.findall(r"^## ([\w-]+): ", page.read_text(), flags=re.MULTILINE)
    assert set(STUDIES) <= set(sections)
