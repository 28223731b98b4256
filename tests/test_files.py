"""Files that are replaced atomically."""

import errno
import os
import stat

import pytest

from kfac_cli.files import TEMPORARY, open_for_appending, replace_text, replacing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_new_contents_replace_the_old_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), OSError(5, "bad")])
def test_whatever_goes_wrong_the_old_contents_stay_and_nothing_is_left_over(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(type(error)), replacing(path) as file:
        file.write(b"new")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_file_system_that_cannot_flush_folders_is_none_to_fail_on(tmp_path, monkeypatch):
    flush = os.fsync

    def only_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    replace_text(tmp_path / "a.txt", "written")
    assert (tmp_path / "a.txt").read_text() == "written"


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_an_error_names_the_file_to_be_replaced(tmp_path, monkeypatch, function):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", *map(str, arguments[:0]))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space left") as caught:
        replace_text(tmp_path / "file", "text")
    assert caught.value.filename == str(tmp_path / "file")


def test_the_error_for_a_missing_folder_names_the_file_and_not_a_temporary_one(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        replace_text(tmp_path / "gone/file", "text")
    assert caught.value.filename == str(tmp_path / "gone/file")


def test_a_link_with_the_name_of_the_temporary_file_is_removed_and_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f"file{TEMPORARY}").symlink_to(victim)
    replace_text(tmp_path / "file", "text")
    assert victim.read_text() == "precious"
    assert names(tmp_path) == ["file", "victim"]


def test_another_file_with_a_similar_name_is_not_touched(tmp_path):
    (tmp_path / "file.tmp").write_text("precious")
    replace_text(tmp_path / "file", "text")
    assert (tmp_path / "file.tmp").read_text() == "precious"


# Appending


def appended(path, text):
    with open_for_appending(path) as file:
        file.write(text)
    return path.read_text()


def test_text_is_appended_to_a_file_that_is_created_if_missing(tmp_path):
    assert appended(tmp_path / "file", "one\n") == "one\n"
    assert appended(tmp_path / "file", "two\n") == "one\ntwo\n"


def test_a_hard_link_elsewhere_is_not_written_to(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    os.link(victim, tmp_path / "file")
    assert appended(tmp_path / "file", "text\n") == "precious\ntext\n"
    assert victim.read_text() == "precious\n"


@pytest.mark.parametrize("target", ["victim", "missing"])
def test_a_symbolic_link_is_refused(tmp_path, target):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "file").symlink_to(tmp_path / target)
    with pytest.raises(OSError, match="it is a link"):
        open_for_appending(tmp_path / "file")
    assert names(tmp_path) == ["file", "victim"]
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_pipe_is_refused_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "file")
    with pytest.raises(OSError, match="it is not a file"):
        open_for_appending(tmp_path / "file")
