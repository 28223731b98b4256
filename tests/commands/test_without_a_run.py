"""Help, completion and printed settings: what kfac-run answers without a run."""

import os
import re
import signal
import subprocess
import sys

import pytest

from kfac_cli.commands.help_page import PAGE
from kfac_cli.config.choices import choices
from kfac_cli.config.compose import load_config
from kfac_cli.signals import EXIT_SIGNAL, NAMES, WARNING_NAMES


@pytest.mark.parametrize("part", [[], ["--package", "optimizer"]], ids=["all", "part"])
def test_the_settings_are_shown_with_their_values(kfac_run, part):
    answer = kfac_run("--cfg", "job", *part, "preset=paper")
    assert re.search(r"^ *lambda_initial: 150$", answer.out, re.M)
    assert "${" not in answer.out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_help_that_cannot_be_written_is_one_line():
    code = "import sys; from kfac_cli.__main__ import main; sys.exit(main())"
    with open("/dev/full", "w") as full:
        answer = subprocess.run(
            [sys.executable, "-c", code, "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert answer.returncode == 1
    assert answer.stderr == "kfac-run: error: standard output: No space left on device\n"


def test_values_are_checked_where_settings_are_only_printed(kfac_run, runner):
    answer = kfac_run("iterations=0", "--cfg", "job")
    assert answer.code == 1
    assert answer.out.startswith("iterations: 0\n")
    assert answer.err == (
        "kfac-run: error: iterations=0: must be a whole number from 1 to 1000000000\n"
    )
    answer = kfac_run("dataset=arrays", "--cfg", "job", "--package", "dataset")
    assert "layer_sizes: ???" in answer.out
    assert answer.err.startswith("kfac-run: error: dataset.layer_sizes: has no value; give one as")


def without_torch(*arguments, **environment):
    """Call kfac-run in a process where importing torch, or what needs it, fails."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'matplotlib', "
        "'sklearn', 'scipy', 'tensorboard'))); sys.argv[0] = 'kfac-run'; "
        "from kfac_cli.__main__ import main; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--version"], r"\Akfac-run \d+\.\d+\.\d+\n\Z"),
        (["--help"], r"usage:  kfac-run"),
        (["--cfg", "job"], r"\Aiterations: 500\n(.*\n)*dataset:\n  name: curves\n"),
        (["--info"], r"Config search path"),
        (["-sc", "install=bash"], r"complete -o nospace -o default -F hydra_bash_completion"),
        (["iterations=0"], r"\A\Z"),
    ],
)
def test_without_a_run_torch_is_not_needed(arguments, expected):
    answer = without_torch(*arguments)
    assert re.search(expected, answer.stdout), answer
    assert answer.returncode == (1 if arguments == ["iterations=0"] else 0)
    assert "Traceback" not in answer.stderr


def test_the_tab_key_completes_choices():
    typed = "kfac-run experiment=mnist_mu"
    answer = without_torch("-sc", "query=bash", COMP_LINE=typed, COMP_POINT=str(len(typed)))
    assert answer.stdout == "experiment=mnist_muon\n"


@pytest.mark.parametrize("key", ["resume", "start_from"])
def test_the_tab_key_completes_the_folders_of_runs(tmp_path, key):
    for name in ("runs/a1/config.yaml", "runs/a2/b/config.yaml", "runs/other/config.yaml"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "runs/a3.txt").touch()

    def completions(text):
        typed = f"kfac-run iterations=9 {key}={tmp_path}/{text}"
        answer = without_torch("-sc", "query=bash", COMP_LINE=typed, COMP_POINT=str(len(typed)))
        return [word.removeprefix(f"{key}={tmp_path}/") for word in answer.stdout.split()]

    assert completions("ru") == ["runs/"]
    assert completions("runs/a") == ["runs/a1", "runs/a2/"]
    assert completions("runs/nope") == []


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["iterations=3", "--help"]], ids=str)
def test_help_loads_nothing_else(arguments):
    """It answers before a command of Hydra's would have been imported."""
    code = (
        "import sys; from kfac_cli.__main__ import main; main()\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'torch', 'pydantic', 'hydra'})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    assert answer.stdout.startswith("kfac-run trains")
    assert answer.stdout.splitlines()[-1] == "set()"


@pytest.mark.skipif(sys.platform != "linux", reason="the page has the numbers of Linux")
def test_the_help_page_has_the_exit_code_of_every_signal():
    names = {f"{signal.Signals[name] + EXIT_SIGNAL} {name}" for name in (*NAMES, *WARNING_NAMES)}
    codes = PAGE.partition("128 plus")[2]
    assert names - {"130 SIGINT"} | {"130 Ctrl-C"} == set(
        re.findall(r"\d+ (?:SIG\w+|Ctrl-C)", codes)
    )


def test_help_names_every_choice(kfac_run):
    page = kfac_run("--help").out
    for group in ("dataset", "preset", "optimizer", "schedule"):
        assert group in page
        assert all(choice in page for choice in choices(group))
    for experiment in choices("experiment"):
        problem = load_config([f"experiment={experiment}"]).dataset.name
        assert problem in page
        assert experiment.removeprefix(f"{problem}_") in page
    assert max(map(len, page.splitlines())) <= 100


def test_the_defaults_that_help_shows_are_the_defaults(kfac_run):
    page = kfac_run("--help").out
    config = load_config()
    for name in ("iterations", "seed", "device", "evaluate_every", "chunk_size", "l2"):
        [value] = re.findall(rf"^  {name}=(\S+)", page, re.M)
        assert type(getattr(config, name))(value) == getattr(config, name)
    [tau2] = re.findall(r"^  optimizer.tau2=(\S+)", page, re.M)
    assert float(tau2) == config.optimizer.tau2
