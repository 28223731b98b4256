"""Chunks arrive whole and in order; from pinned memory, while the previous one is computed with."""

from contextlib import contextmanager

import pytest
import torch

from kfac_cli.engine.model.feeding import double_buffered, feed

CHUNKS = [slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 13)]


@pytest.fixture
def parts():
    return [torch.arange(26.0).reshape(13, 2), torch.arange(39.0).reshape(13, 3)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_chunk_has_its_rows_in_the_dtype_of_the_parameters(parts, dtype):
    fed = list(feed(parts, CHUNKS, torch.empty(0, dtype=dtype)))
    assert [[part.dtype for part in chunk] for chunk in fed] == [[dtype] * 2] * 4
    for rows, chunk in zip(CHUNKS, fed, strict=True):
        assert all(torch.equal(a, b[rows].to(dtype)) for a, b in zip(chunk, parts, strict=True))


def test_on_a_cpu_rows_of_the_right_dtype_are_not_copied(parts):
    for rows, chunk in zip(CHUNKS, feed(parts, CHUNKS, torch.empty(0)), strict=True):
        assert [a.data_ptr() for a in chunk] == [b[rows].data_ptr() for b in parts]


class Streams:
    """Two streams that only record, in `log`, what waits for what."""

    def __init__(self, monkeypatch):
        self.log, self.events = [], 0
        work, copies = Stream("work", self), Stream("copies", self)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: work)
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: copies)
        monkeypatch.setattr(torch.cuda, "stream", self.using)
        self.copying = False

    @contextmanager
    def using(self, stream):
        assert stream.name == "copies"
        self.log.append("copy")
        yield


class Stream:
    def __init__(self, name, streams):
        self.name, self.streams = name, streams

    def record_event(self):
        self.streams.events += 1
        self.streams.log.append(f"{self.name} records {self.streams.events}")
        return self.streams.events

    def wait_event(self, event):
        self.streams.log.append(f"{self.name} waits for {event}")

    def wait_stream(self, other):
        self.streams.log.append(f"{self.name} waits for {other.name}")


def test_the_next_chunk_is_copied_while_the_current_one_is_computed_with(monkeypatch, parts):
    streams = Streams(monkeypatch)
    for rows, chunk in zip(CHUNKS, double_buffered(parts, CHUNKS, torch.empty(0)), strict=True):
        assert all(torch.equal(a, b[rows]) for a, b in zip(chunk, parts, strict=True))
        streams.log.append("compute")
    assert streams.log[:15] == [
        "copies waits for work",
        "copy",  # of chunk 0
        "copies records 1",
        "copy",  # of chunk 1, to the other buffer
        "work waits for 1",
        "compute",  # with chunk 0
        "work records 2",
        "copies waits for 2",
        "copies records 3",
        "copy",  # of chunk 2, to the buffer of chunk 0, which is done
        "work waits for 3",
        "compute",
        "work records 4",
        "copies waits for 4",
        "copies records 5",
    ]
    assert streams.log.count("compute") == streams.log.count("copy") == len(CHUNKS)
    assert streams.log[-1] == "work waits for copies"


def test_an_error_in_between_leaves_no_copy_without_its_memory(monkeypatch, parts):
    streams = Streams(monkeypatch)
    chunks = double_buffered(parts, CHUNKS, torch.empty(0))
    next(chunks)
    chunks.close()
    assert streams.log[-1] == "work waits for copies"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gets_pinned_chunks_whole():
    pinned = [torch.randn(10_000, 500).pin_memory()]
    chunks = [slice(first, first + 700) for first in range(0, 9_800, 700)]
    like = torch.empty(0, device="cuda")
    sums = [chunk.double().sum() for [chunk] in feed(pinned, chunks, like)]
    for rows, total in zip(chunks, sums, strict=True):
        torch.testing.assert_close(total.cpu(), pinned[0][rows].double().sum())
