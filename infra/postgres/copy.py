"""PostgreSQL's binary COPY format, written and read column by column.

A row is its number of fields (int16), then each field: its length (int32, -1 for null) and its
bytes, all big-endian. Rows differ in length, so every field has its place: a vector of offsets.
Format: PostgreSQL manual, COPY, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

Message: TypeAlias = bytes | bytearray | memoryview
Bytes: TypeAlias = NDArray[np.uint8]
Offsets: TypeAlias = NDArray[np.int64]

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
TIME: Final = pl.Datetime("us", "UTC")
WIRE: Final[dict[pl.DataType, tuple[str, str]]] = {
    pl.Boolean(): ("bool", "u1"),
    pl.Int16(): ("int2", ">i2"),
    pl.Int32(): ("int4", ">i4"),
    pl.Int64(): ("int8", ">i8"),
    pl.Float32(): ("float4", ">f4"),
    pl.Float64(): ("float8", ">f8"),
    pl.Date(): ("date", ">i4"),
    TIME: ("timestamptz", ">i8"),
}
"""PostgreSQL's name of a type, and how a value looks on the wire; all others travel as text."""

_DAY: Final = 86_400_000_000
_EPOCH: Final = {"date": 10_957, "timestamptz": 10_957 * _DAY}  # 2000-01-01
_FIRST: Final = {"date": -2_440_588, "timestamptz": -2_440_588 * _DAY}  # 4714-11-24 BC
_LAST_DATE: Final = 2_145_042_905  # 5874897-12-31; times last longer than Polars'
_ROWS: Final = 1 << 16


def encode(frame: pl.DataFrame) -> Iterator[memoryview]:
    """Write a frame as a COPY stream, in pieces of some megabytes.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns of the types in `WIRE` or String.

    Raises
    ------
    ValueError
        If a date or time lies outside what PostgreSQL holds.
    """
    yield memoryview(HEADER)
    for part in frame.iter_slices(_ROWS):
        yield _rows(part).data
    yield memoryview(TRAILER)


def decode(messages: Iterable[Message], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Read a COPY stream.

    Parameters
    ----------
    messages : iterable of bytes
        As the server sends them: one a row, the header before the first.
    schema : mapping
        Columns in order; types of `WIRE` or String.

    Raises
    ------
    ValueError
        If messages are not rows of that schema, or a date or time is infinite.
    """
    stream = iter(messages)
    first = bytes(next(stream, HEADER))
    rest = chain([first[len(HEADER) :]], stream)
    parts = [pl.DataFrame(schema=schema)]
    # Copied to bytes: the collector of garbage would look at each memoryview again and again.
    while piece := [bytes(message) for message in islice(rest, _ROWS)]:
        parts.append(_frame(piece, schema))
    return pl.concat(parts, rechunk=True)


def _rows(frame: pl.DataFrame) -> Bytes:
    fields = [_field(column) for column in frame]
    sizes = sum((4 + np.maximum(lengths, 0) for lengths, _ in fields), start=np.int64(2))
    ends = np.cumsum(np.broadcast_to(sizes, frame.height))
    out = np.empty(int(ends[-1]) if frame.height else 0, np.uint8)
    place = ends - sizes
    _view(out, ">i2")[place] = frame.width
    place = place + 2
    for lengths, values in fields:
        _view(out, ">i4")[place] = lengths
        place = place + 4
        _put(out, place, lengths, values)
        place = place + np.maximum(lengths, 0)
    return out


def _field(column: pl.Series) -> tuple[Offsets, NDArray[Any]]:
    """Lengths of a column's fields, -1 for null, and the bytes or values of those not null."""
    given, present = column.is_not_null().to_numpy(), column.drop_nulls()
    if column.dtype == pl.String:
        lengths = column.str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
        blob = present.str.join("").item() if len(present) else ""
        return np.where(given, lengths, -1), np.frombuffer(blob.encode(), np.uint8)
    name, wire = WIRE[column.dtype]
    values = present.to_physical().to_numpy().astype(wire, copy=False)
    if name in _EPOCH:
        values = _shift(column.name, values, name)
    return np.where(given, values.itemsize, -1), values


def _shift(column: str, values: NDArray[Any], name: str) -> NDArray[Any]:
    late = name == "date" and (values > _LAST_DATE).any()
    if late or (values < _FIRST[name]).any():
        raise ValueError(f"column {column!r}: PostgreSQL holds no such {name}, filter it out")
    shifted: NDArray[Any] = values - values.dtype.type(_EPOCH[name])
    return shifted.astype(values.dtype)


def _put(out: Bytes, place: Offsets, lengths: Offsets, values: NDArray[Any]) -> None:
    given = lengths >= 0
    if not given.all():
        place, lengths = place[given], lengths[given]
    if values.dtype == np.uint8 and not (lengths == 1).all():
        out[_span(place, lengths)] = values
    elif values.size:
        _view(out, values.dtype.str)[place] = values


def _frame(messages: Sequence[Message], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    ends = np.cumsum(np.fromiter(map(len, messages), np.int64, len(messages)))
    data = np.frombuffer(b"".join(messages) + TRAILER, np.uint8)
    starts = np.concatenate([[0], ends[:-1]])
    # the trailer is a message too: its number of fields is -1
    rows = _view(data, ">i2")[starts] >= 0
    starts, ends = starts[rows], ends[rows]
    place, columns = starts + 2, []
    for name, dtype in schema.items():
        lengths = _take(data, ">i4", place)
        place = place + 4
        columns.append(_column(name, dtype, data, place, lengths))
        place = place + np.maximum(lengths, 0)
    if (place != ends).any():
        raise ValueError("the server sent no row a message: is there a proxy before it?")
    return pl.DataFrame(columns)


def _column(
    name: str, dtype: pl.DataType, data: Bytes, place: Offsets, lengths: Offsets
) -> pl.Series:
    given = lengths >= 0
    if dtype == pl.String:
        column = _texts(data, place, np.maximum(lengths, 0))
    else:
        wire = WIRE[dtype]
        values = _take(data, wire[1], np.where(given, place, 0))
        column = _values(name, values, given, wire[0]).cast(dtype)
    if not given.all():
        column = column.zip_with(pl.Series(given), pl.Series([None], dtype=dtype))
    return column.alias(name)


def _values(name: str, values: NDArray[Any], given: NDArray[np.bool_], kind: str) -> pl.Series:
    native = values.astype(values.dtype.newbyteorder("="))
    if kind not in _EPOCH:
        return pl.Series(native)
    limits, epoch = np.iinfo(native.dtype), _EPOCH[kind]
    native = np.where(given, native, 0)
    if ((native == limits.min) | (native > limits.max - epoch)).any():
        raise ValueError(f"column {name!r}: Polars holds no such {kind}, cast it to text")
    return pl.Series(native + native.dtype.type(epoch))


def _texts(data: Bytes, place: Offsets, lengths: Offsets) -> pl.Series:
    """Texts between zero bytes, which PostgreSQL's texts never hold, split apart again."""
    if not len(place):
        return pl.Series([], dtype=pl.String)
    joined = data[_span(place, lengths + 1)]
    joined[np.cumsum(lengths + 1) - 1] = 0
    return pl.Series([joined[:-1].tobytes().decode()]).str.split("\0").explode()


def _span(place: Offsets, lengths: Offsets) -> Offsets:
    """Offsets of all bytes of fields at `place`, field after field."""
    ends = np.cumsum(lengths)
    return np.repeat(place - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)


def _take(data: Bytes, wire: str, place: Offsets) -> NDArray[Any]:
    view = _view(data, wire)
    # rows that are too short lead past the end: read anything, the caller sees it by the places
    taken: NDArray[Any] = view[np.minimum(place, view.size - 1)]
    return taken


def _view(data: Bytes, wire: str) -> NDArray[Any]:
    """Values of a type at every byte of `data`."""
    dtype = np.dtype(wire)
    return np.ndarray((max(data.size - dtype.itemsize + 1, 0),), dtype, data, strides=(1,))
