"""The commit that a run records: that of the checkout around the current folder, if any."""

import os
import shutil
import subprocess

import pytest

from kfac_cli.recording.git_commit import git_commit

OTHER = "0123456789abcdef0123456789abcdef01234567"


def git(folder, *words):
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one commit, made by git itself."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "topic/one")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


def test_it_is_what_git_says_also_in_a_folder_below(checkout):
    below = checkout / "a/b"
    below.mkdir(parents=True)
    assert git_commit(checkout) == git_commit(below) == git(checkout, "rev-parse", "HEAD")


def test_of_packed_branches_it_is_the_one_that_is_checked_out(checkout):
    git(checkout, "branch", "topic/one-more")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    git(checkout, "pack-refs", "--all")
    assert not (checkout / ".git/refs/heads/topic/one").exists()
    assert git_commit(checkout) == git(checkout, "rev-parse", "topic/one")


def test_a_branch_outside_the_packed_ones_is_newer(checkout):
    git(checkout, "pack-refs", "--all")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    assert git_commit(checkout) == git(checkout, "rev-parse", "HEAD")


def test_a_detached_head_is_a_commit_itself(checkout):
    git(checkout, "checkout", "-q", "--detach")
    assert git_commit(checkout) == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("packed", [False, True])
def test_a_worktree_has_its_own_branch(checkout, packed):
    worktree = checkout.parent / "worktree"
    git(checkout, "worktree", "add", "-q", "-b", "two", str(worktree))
    git(worktree, "commit", "-q", "--allow-empty", "-m", "second")
    if packed:
        git(checkout, "pack-refs", "--all")
    assert git_commit(worktree) == git(checkout, "rev-parse", "two") != git_commit(checkout)


def test_before_the_first_commit_there_is_none(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    assert git_commit(tmp_path) is None


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff\xfe",
        b"ref: ",
        b"ref: refs/heads/../../../commit",
        b"ref: /etc/passwd",
        b"ref: refs/heads/" + b"x" * 5000,
        b"ref: refs/heads/a\0b",
        OTHER[:-1].encode(),
        b"g" * 40,
    ],
    ids=lambda head: ascii(head[:30]),
)
def test_a_head_that_makes_no_sense_gives_none(tmp_path, head):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_bytes(head)
    (tmp_path / "commit").write_text(OTHER)
    assert git_commit(tmp_path) is None


@pytest.mark.parametrize("text", ["", "gitdir: nowhere", "gitdir: .", "\0", "gitdir: a\0b"])
def test_a_git_file_that_leads_nowhere_gives_none(tmp_path, text):
    (tmp_path / ".git").write_text(text)
    assert git_commit(tmp_path) is None


def test_a_pipe_instead_of_head_is_not_waited_for(tmp_path):
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git/HEAD")
    assert git_commit(tmp_path) is None
