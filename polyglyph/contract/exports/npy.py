"""Arrays in numpy's own file format, read only where dtype and shape are as expected, before anything is allocated."""

import ast
import base64
import io
from typing import IO, Any

import numpy as np

from polyglyph.contract.errors import InvalidStatsError

Array = np.ndarray[Any, Any]
MAGIC = b"\x93NUMPY\x01\x00"
CHUNK_BYTES = 1 << 20
_npy: Any = np.lib.format
"""Numpy's functions for its format; they carry no types."""


def write_npy_header(file: IO[bytes], *, dtype: str, shape: tuple[int, ...]) -> None:
    """Write what stands before the array's bytes, which the caller writes in C order."""
    fields = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    _npy.write_array_header_1_0(file, fields)


def write_npy(file: IO[bytes], array: Array) -> None:
    """Write a whole array."""
    _npy.write_array(file, array, version=(1, 0), allow_pickle=False)


def read_npy(file: IO[bytes], *, dtype: str, shape: tuple[int, ...]) -> Array:
    """Read an array.

    Args:
        file: At the beginning of the array's file.
        dtype: What it must hold; of `U`, text of any length up to 128 characters.
        shape: What it must be.

    Raises:
        InvalidStatsError: It holds something else, or ends early or late.
    """
    found_shape, found = read_npy_header(file)
    is_as_expected = found.kind == "U" and found.itemsize <= 4 * 128 if dtype == "U" else found == np.dtype(dtype)
    if not is_as_expected or found_shape != shape:
        raise InvalidStatsError(f"expected an array of {dtype} {shape}, got {found} {found_shape!r:.60}")
    array = np.empty(shape, found)
    _fill(array, file)
    return array


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and dtype of an array in C order.

    Not with numpy's own reader, which takes headers of Python 2 too and fails on damaged ones in more ways than one
    can name.

    Raises:
        InvalidStatsError: This is no array's file of version 1.0.
    """
    if (beginning := file.read(len(MAGIC))) != MAGIC:
        raise InvalidStatsError(
            f"expected an array's file of version 1.0, which begins with {MAGIC!r}, got {beginning!r}"
        )
    text = file.read(int.from_bytes(file.read(2), "little")).decode("latin-1")
    try:
        fields = ast.literal_eval(text.strip())
        shape, dtype = fields["shape"], np.dtype(fields["descr"])
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise InvalidStatsError(f"an array's header is damaged: {text:.90}") from error
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise InvalidStatsError(f"an array's header is damaged: shape {shape!r:.60}")
    if fields.get("fortran_order") is not False:
        raise InvalidStatsError("expected an array in C order, got one in Fortran's")
    return shape, dtype


def decode_npy(text: str, *, dtype: str, shape: tuple[int, ...]) -> Array:
    """Read an array from base64; raises what `read_npy` raises."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidStatsError(f"expected base64 of an array: {error}") from error
    return read_npy(io.BytesIO(content), dtype=dtype, shape=shape)


def _fill(array: Array, file: IO[bytes]) -> None:
    view = memoryview(array.reshape(-1).view(np.uint8).data if array.size else b"")
    done = 0
    while done < len(view) and (chunk := file.read(min(CHUNK_BYTES, len(view) - done))):
        view[done : done + len(chunk)] = chunk
        done += len(chunk)
    if done < len(view) or file.read(1):
        raise InvalidStatsError(
            f"expected an array of {len(view)} bytes, got {'fewer' if done < len(view) else 'more'}"
        )
