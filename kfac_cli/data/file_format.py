"""What a file is, by its first bytes: for messages about files that are not what was expected."""

import zipfile
from typing import BinaryIO

NPY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"
GZIP = b"\x1f\x8b"
START = 4096  # bytes that are looked at

SIGNATURES = (
    (NPY, "a .npy file"),
    (GZIP, "a file compressed with gzip"),
    (b"BZh", "a file compressed with bzip2"),
    (b"\xfd7zXZ\0", "a file compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "a file compressed with Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"MATLAB ", "a MATLAB file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF-", "a PDF document"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"FEA1", "a Feather file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"CDF", "a netCDF file"),
    (b"SIMPLE  =", "a FITS file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "a PyTorch file"),  # before PyTorch 1.6
    (b"\xff\xfe", "a text file in UTF-16"),
    (b"\xfe\xff", "a text file in UTF-16"),
)

IDX_TYPES = b"\x08\x09\x0b\x0c\x0d\x0e"
PICKLE_PROTOCOLS = range(2, 6)


def format_of(stream: BinaryIO) -> str | None:
    """What the file in a seekable stream is, with its article; None if that is not known.

    Nothing in it is executed. The stream is then at its beginning again.
    """
    stream.seek(0)
    start = stream.read(START)
    try:
        return _binary(stream, start) or _text(start)
    finally:
        stream.seek(0)


def _binary(stream: BinaryIO, start: bytes) -> str | None:
    if start == b"":
        return "an empty file"
    if start.startswith(ZIP):
        return _zip(stream)
    for signature, name in SIGNATURES:
        if start.startswith(signature):
            return name
    if start[:2] == b"\0\0" and start[2:3] in IDX_TYPES and start[2:3] and 1 <= start[3] <= 8:
        return "an IDX file"
    if start[8:10] == b'{"':
        return "a safetensors file"
    if start[:1] == b"\x80" and start[1:2] and start[1] in PICKLE_PROTOCOLS:
        return "a pickle"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "a WebP image"
    if start[257:262] == b"ustar":
        return "a tar archive"
    return None


def _zip(stream: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
    except Exception:  # a damaged one can raise almost anything
        return "a damaged zip archive"
    if any(name.endswith("/data.pkl") for name in names):
        return "a PyTorch file"
    if "[Content_Types].xml" in names:
        return "an Office document, such as .xlsx"
    if names and all(name.endswith(".npy") for name in names):
        return "an .npz file"
    return "a zip archive"


def _text(start: bytes) -> str | None:
    """What kind of text it is; None if it is none."""
    try:
        text = start[:-4].decode() if len(start) == START else start.decode()
    except UnicodeDecodeError:
        return None
    text = text.removeprefix("\ufeff")
    if any(not (char.isprintable() or char in "\n\r\t\f\v") for char in text):
        return None
    word = text.lstrip().lower()
    if word.startswith(("<!doctype html", "<html", "<head", "<body")):
        return "an HTML page, perhaps the error message of a download"
    if word.startswith("<"):
        return "an XML file"
    if word.startswith(("{", "[")):
        return "a JSON file"
    if any(mark in text.partition("\n")[0] for mark in ",;\t"):
        return "a table in text, such as CSV"
    return "a text file"
