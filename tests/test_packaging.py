"""Set-up, packaging and CI: the wheel, the Makefile and .ci/run."""

import os
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def call(*command, cwd, **environment):
    """Run a command without the settings of an outer make; return the completed process."""
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project's wheel, built from a copy so that nothing is left in the repository."""
    source = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("kfac_cli", "conf"):
        shutil.copytree(ROOT / folder, source / folder, ignore=ignore)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    built = call(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", cwd=source
    )
    assert built.returncode == 0, built.stderr
    [path] = (source / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder into which the wheel alone is installed; its dependencies are this Python's."""
    folder = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-index", "--disable-pip-version-check", "--target")
    done = call(sys.executable, "-m", "pip", "install", *options, folder, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_wheel_holds_every_module_and_every_configuration(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in ROOT.glob("kfac_cli/**/*.py")}
    yaml = {f"kfac_cli/{path.relative_to(ROOT)}" for path in ROOT.glob("conf/**/*.yaml")}
    report = ROOT / "kfac_cli/report"
    read = [*report.glob("templates/*"), *report.glob("published/*.*")]
    assert {path.parent.name for path in read} == {"templates", "published"}
    data = {str(path.relative_to(ROOT)) for path in read}
    assert modules | yaml | data | {"kfac_cli/conf/__init__.py"} <= packed
    foreign = {name for name in packed if not name.startswith(("kfac_cli/", "kfac_run-"))}
    assert not foreign


def test_the_wheel_is_typed_and_carries_its_license(wheel):
    archive = zipfile.ZipFile(wheel)
    packed = archive.namelist()
    assert "kfac_cli/py.typed" in packed
    [license_file] = [name for name in packed if name.endswith("/LICENSE")]
    assert archive.read(license_file).decode() == (ROOT / "LICENSE").read_text()
    [metadata] = [name for name in packed if name.endswith(".dist-info/METADATA")]
    assert "License-Expression: MIT\n" in archive.read(metadata).decode()


def test_the_wheel_runs_an_experiment_from_any_folder(installed, tmp_path):
    code = (
        "import sys\n"
        "from kfac_cli.__main__ import main\n"
        "code = main()\n"
        "ours = [m for name, m in sys.modules.items() if name.split('.')[0] == 'kfac_cli']\n"
        "print(*{m.__file__ for m in ours}, sep='\\n', file=open('modules.txt', 'w'))\n"
        "sys.exit(code)\n"
    )
    settings = ("experiment=smoke", "iterations=2", f"data_dir={tmp_path}", "hydra.run.dir=run")
    answer = call(sys.executable, "-c", code, *settings, cwd=tmp_path, PYTHONPATH=str(installed))
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "run/summary.json").exists()
    used = (tmp_path / "modules.txt").read_text().split()
    assert len(used) > 10
    assert all(Path(file).is_relative_to(installed) for file in used)


def test_the_console_script_is_the_command(installed, tmp_path):
    command = installed / "bin/kfac-run"
    answer = call(command, "--cfg", "job", cwd=tmp_path, PYTHONPATH=str(installed))
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("iterations: 500\n")


def test_the_version_is_written_once(kfac_run):
    number = PROJECT["project"]["version"]
    assert version("kfac-run") == number
    assert kfac_run("--version").out == f"kfac-run {number}\n"
    sources = [*ROOT.glob("kfac_cli/**/*.py"), *ROOT.glob("conf/**/*.yaml")]
    assert not [path for path in sources if path.is_file() and f'"{number}"' in path.read_text()]


def test_every_package_is_listed():
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("kfac_cli/**/__init__.py")}
    packages = {".".join(folder.parts) for folder in folders} | {"kfac_cli.conf"}
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(packages)


# The Makefile


@pytest.fixture
def checkout(tmp_path):
    """A copy of the files that set-up reads."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for file in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / file, folder)
    return folder


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def stub_python(tmp_path):
    """A Python that creates a .venv whose tools only log how they were called.

    Its pip fails while the file `broken` exists.
    """
    log, broken = tmp_path / "calls", tmp_path / "broken"
    tool = f'echo "$(basename "$0") $*" >> {log}'
    fail = f'case "$*" in *"pip install"*) test ! -e {broken} || exit 1;; esac'
    inner = script(tmp_path / "inner", f"{tool}\n{fail}")
    tools = "python kfac-run ruff mypy lint-imports"
    make = f"mkdir -p .venv/bin; for t in {tools}; do cp {inner} .venv/bin/$t; done"
    text = f'case "$*" in "-m venv .venv") echo venv >> {log}; {make};; esac'
    return SimplePython(script(tmp_path / "stub-python", text), log, broken)


class SimplePython:
    """The stub's path, and its log of calls."""

    def __init__(self, path, log, broken):
        self.path, self.log, self.broken = path, log, broken

    def calls(self):
        """Calls since the last time, without the check of the Python in .venv."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line for line in lines if "import pip" not in line]


INSTALL = "python -m pip install --disable-pip-version-check -e .[dev]"


@needs_make
def test_the_first_run_sets_up_and_the_second_installs_nothing(checkout, stub_python):
    run = ("make", "run", f"PYTHON={stub_python.path}", "ARGS=dataset=mnist iterations=150")
    assert call(*run, cwd=checkout).returncode == 0
    assert stub_python.calls() == ["venv", INSTALL, "kfac-run dataset=mnist iterations=150"]
    assert call(*run, cwd=checkout).returncode == 0
    assert stub_python.calls() == ["kfac-run dataset=mnist iterations=150"]


@needs_make
def test_changed_dependencies_are_installed_into_the_same_environment(checkout, stub_python):
    run = ("make", "run", f"PYTHON={stub_python.path}")
    call(*run, cwd=checkout)
    stub_python.calls()
    later = (checkout / ".venv/.installed").stat().st_mtime + 10
    os.utime(checkout / "pyproject.toml", (later, later))
    assert call(*run, cwd=checkout).returncode == 0
    assert stub_python.calls() == [INSTALL, "kfac-run "]


@needs_make
def test_a_copy_of_the_folder_gets_an_environment_of_its_own(checkout, stub_python):
    """Its commands would run the code of the folder that was copied."""
    run = ("make", "run", f"PYTHON={stub_python.path}")
    call(*run, cwd=checkout)
    copy = shutil.copytree(checkout, checkout.with_name("copy"))
    stub_python.calls()
    assert call(*run, cwd=copy).returncode == 0
    assert stub_python.calls() == ["venv", INSTALL, "kfac-run "]
    assert call(*run, cwd=copy).returncode == 0
    assert stub_python.calls() == ["kfac-run "]


@needs_make
def test_a_set_up_that_failed_is_resumed(checkout, stub_python):
    run = ("make", "run", f"PYTHON={stub_python.path}")
    stub_python.broken.touch()
    assert call(*run, cwd=checkout).returncode != 0
    assert stub_python.calls() == ["venv", INSTALL]
    stub_python.broken.unlink()
    assert call(*run, cwd=checkout).returncode == 0
    assert stub_python.calls() == [INSTALL, "kfac-run "]


@needs_make
def test_tests_come_after_lint_format_and_type_check(checkout, stub_python):
    done = call("make", "test", f"PYTHON={stub_python.path}", "PYTEST_ARGS=-k x", cwd=checkout)
    assert done.returncode == 0
    assert stub_python.calls() == [
        "venv",
        INSTALL,
        "ruff check .",
        "ruff format --check .",
        "mypy ",
        "lint-imports ",
        "python -m pytest -k x",
    ]


@needs_make
def test_without_a_suitable_python_one_line_says_so(checkout):
    done = call("make", "-s", "run", "PYTHON=false", cwd=checkout)
    assert done.returncode != 0
    first = done.stderr.splitlines()[0]
    assert first.startswith("kfac-run needs Python 3.11, 3.12 or 3.13 and found none")
    assert not (checkout / ".venv").exists()


@needs_make
def test_an_unsupported_python_is_skipped(checkout, stub_python):
    bin_folder = checkout.parent / "bin"
    for name in ("python3", "python3.13"):
        script(bin_folder / name, "exit 1")
    shutil.copy(stub_python.path, bin_folder / "python3.12")
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    assert call("make", "run", cwd=checkout, PATH=path).returncode == 0
    assert stub_python.calls() == ["venv", INSTALL, "kfac-run "]


@needs_make
def test_help_lists_the_targets(checkout):
    page = call("make", "help", cwd=checkout).stdout
    for target in ("run", "smoke", "test", "lint", "format", "clean", "help", "bench-gpu"):
        assert f"  make {target} " in page
    assert not (checkout / ".venv").exists()


@needs_make
def test_peers_are_installed_into_an_environment_of_their_own(checkout, stub_python):
    wanted = checkout / "benchmarks/peers/requirements.txt"
    wanted.parent.mkdir(parents=True)
    shutil.copy(ROOT / "benchmarks/peers/requirements.txt", wanted)
    (checkout / ".venv-peers").mkdir()
    compare = ("make", "bench-peers", f"PYTHON={stub_python.path}")
    run = "python -m benchmarks.peers --jax-python .venv-peers/bin/python"
    assert call(*compare, cwd=checkout).returncode == 0
    assert stub_python.calls() == [
        "venv",
        INSTALL,
        "python -m venv --clear --without-pip .venv-peers",
        "python -m pip --python .venv-peers/bin/python install --disable-pip-version-check "
        "-r benchmarks/peers/requirements.txt",
        run,
    ]
    assert call(*compare, cwd=checkout).returncode == 0
    assert stub_python.calls() == [run]


@needs_make
def test_clean_keeps_runs_and_the_environment(checkout):
    for folder in ("outputs", ".venv", "build", ".mypy_cache", "kfac_cli/__pycache__"):
        (checkout / folder).mkdir(parents=True)
    assert call("make", "clean", cwd=checkout).returncode == 0
    left = {path.name for path in checkout.rglob("*") if path.is_dir()}
    assert left == {"outputs", ".venv", "kfac_cli"}


# CI


@pytest.fixture
def ci(tmp_path):
    """A checkout whose `make test` logs its data folder, then writes there."""
    folder = tmp_path / "checkout"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", folder / ".ci/run")
    recipe = 'echo "$${KFAC_DATA_DIR-unset}" > seen; if [ -n "$$KFAC_DATA_DIR" ]; then '
    recipe += (
        'cp "$$KFAC_DATA_DIR/sub/file" copied; echo x > "$$KFAC_DATA_DIR/sub/new"; fi; exit $$RC'
    )
    (folder / "Makefile").write_text(f"test:\n\t@{recipe}\n")
    (folder / "bin").mkdir()
    for name in ("bash", "chmod", "cp", "dirname", "env", "make", "mktemp", "rm", "sh"):
        if (program := shutil.which(name)) is not None:
            (folder / "bin" / name).symlink_to(program)
    add_program(folder, "chromium", "exit 0")
    return folder


def add_program(folder, name, script):
    """Put a program of this name where .ci/run finds its programs, and nowhere else."""
    program = folder / "bin" / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def run_ci(folder, code):
    path = str(folder / "bin")
    return call(folder / ".ci/run", cwd="/", RC=str(code), KFAC_DATA_DIR="", PATH=path)


@needs_make
@pytest.mark.parametrize("code", [0, 1])
def test_ci_passes_on_a_scratch_copy_of_shared_data_and_the_exit_code(ci, code):
    data = ci.parent / "shared/data/sub"
    data.mkdir(parents=True)
    (data / "file").write_text("pixels")
    (data / "file").chmod(0o444)
    data.chmod(0o555)
    try:
        assert (run_ci(ci, code).returncode != 0) == bool(code)
        assert [path.name for path in data.iterdir()] == ["file"]
    finally:
        data.chmod(0o755)
    assert (ci / "copied").read_text() == "pixels"
    scratch = Path((ci / "seen").read_text().strip())
    assert scratch.is_absolute()
    assert not scratch.exists()


@needs_make
def test_ci_works_without_shared_data(ci):
    assert run_ci(ci, 0).returncode == 0
    assert (ci / "seen").read_text() == "\n"


@needs_make
@pytest.mark.parametrize("outcome", [0, 1])
def test_ci_installs_chromium_where_it_is_missing_and_continues_without_it(ci, outcome):
    (ci / "bin" / "chromium").unlink()
    add_program(ci, "id", "echo 0")
    add_program(ci, "apt-get", f'echo "$@" >> {ci}/installed; exit {outcome}')
    done = run_ci(ci, 0)
    assert done.returncode == 0
    lines = (ci / "installed").read_text().splitlines()
    assert lines[0].startswith("update")
    assert len(lines) == 2 - outcome
    assert all(line.endswith("chromium") for line in lines[1:])
    assert ("could not be installed" in done.stderr) == bool(outcome)


@needs_make
def test_ci_installs_nothing_where_it_may_not(ci):
    (ci / "bin" / "chromium").unlink()
    add_program(ci, "id", "echo 1000")
    add_program(ci, "apt-get", f'echo "$@" >> {ci}/installed')
    assert run_ci(ci, 0).returncode == 0
    assert not (ci / "installed").exists()


def test_ci_is_executable():
    assert os.stat(ROOT / ".ci/run").st_mode & stat.S_IXUSR
