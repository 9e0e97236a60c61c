"""Rows of a path library: as they come, on the wire of binary COPY, and as they are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Times: TypeAlias = NDArray[np.datetime64]

Numbering: TypeAlias = Callable[[Times], NDArray[np.int64]]
"""Tells the numbers of bars by the times they begin at."""

DIMENSIONS: Final = 64

_EPOCH = 0x01B21DD213814000  # 1970 in ticks of 100 ns since 1582
_VARIANT = np.uint64(1 << 63)  # RFC 4122; the row number stands where a node does
_METADATA = '{"row":%12d,"time":%20d,"group":%11d,"win":[%2d,%2d]}'
_WIDTH = len(_METADATA % (0, 0, 0, 0, 0))
_DIGITS: Final = 8  # hexadecimal, of a float32


@dataclass(frozen=True)
class Paths:
    """Rows of a library.

    Attributes
    ----------
    paths : float32[n, 64]
        Unit paths.
    known_at : datetime64[us][n]
        When the outcome became known (UTC), ascending.
    time : datetime64[us][n]
        When its bar began (UTC), ascending within the group.
    group : int32[n]
        What the row belongs to, such as its pair.
    win : int8[n, 2]
        1 if the trade ended above zero after costs; long, short.
    features : float32[n, m]
        What else is known of the row, one number at least; NaN too comes back bit for bit.
    """

    paths: NDArray[np.float32]
    known_at: Times
    time: Times
    group: NDArray[np.int32]
    win: NDArray[np.int8]
    features: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.time)

    def __post_init__(self) -> None:
        # the first is prepended so that it is compared too: NaT is not >= anything
        if len(self) and not (np.diff(self.known_at, prepend=self.known_at[:1]) >= 0).all():
            raise ValueError("known_at must ascend, without NaT: sort the rows by it")

    def take(self, rows: slice | NDArray[np.bool_]) -> Paths:
        """Return some of the rows."""
        return Paths(*(array[rows] for array in vars(self).values()))


@dataclass(frozen=True)
class Found:
    """Kept neighbours of each query, best first.

    Attributes
    ----------
    score : float32[q, k]
        Cosine; NaN beyond the last neighbour, as all below are -1.
    index : int64[q, k]
        Row of the library.
    time, group : int64[q, k]
        Of that row: when its bar began, microseconds since 1970, and what it belongs to.
    win : int8[q, k, 2]
        What became of it; long, short.
    features : float32[q, k, m]
        What else is known of it; NaN beyond the last neighbour.
    """

    score: NDArray[np.float32]
    index: NDArray[np.int64]
    time: NDArray[np.int64]
    group: NDArray[np.int64]
    win: NDArray[np.int8]
    features: NDArray[np.float32]

    @classmethod
    def nothing(cls, queries: int, k: int, features: int) -> Found:
        """Return an answer without any neighbour.

        Parameters
        ----------
        queries, k, features : int
            How many, how many ranks of each, and how many features of a row.
        """
        index, time, group = np.full((3, queries, k), -1, np.int64)
        score = np.full((queries, k), np.nan, np.float32)
        win = np.full((queries, k, 2), -1, np.int8)
        return cls(score, index, time, group, win, np.repeat(score[..., None], features, axis=2))

    def put(self, query: int, rows: list[tuple[Any, ...]]) -> None:
        """Set the neighbours of a query.

        Parameters
        ----------
        query : int
            Which one.
        rows : list of tuple
            In any order, k at most: row of the library, cosine distance, microseconds since 1970,
            group, outcome long and short, features as the table has them.
        """
        n, numbers = len(rows), np.array([row[:6] for row in rows], np.float64).reshape(-1, 6)
        score = (1 - numbers[:, 1]).astype(np.float32)
        # equal scores by row: the order of the answer must not depend on the database's
        best = np.lexsort((numbers[:, 0], -score))
        whole = numbers[best].astype(np.int64)
        self.score[query, :n] = score[best]
        for column, array in ((0, self.index), (2, self.time), (3, self.group)):
            array[query, :n] = whole[:, column]
        self.win[query, :n] = whole[:, 4:]
        self.features[query, :n] = _numbers([row[6] for row in rows], self.features.shape[2])[best]

    def thinned(self, exclusion: int, number: Numbering) -> Found:
        """Drop, best first, what overlaps one already kept; close the ranks and pad.

        Parameters
        ----------
        exclusion : int
            Bars within which two rows of a group overlap.
        number : callable
            Numbers the bars that begin at given times.
        """
        queries, k = self.index.shape
        position = np.full((queries, k), -1, np.int64)
        there = self.index >= 0
        position[there] = number(self.time[there].astype("datetime64[us]"))
        kept = np.zeros((queries, k), bool)
        # rank by rank: what was dropped must not drop others
        for place in range(k):
            apart = position[:, place, None] - position[:, :place]
            same = self.group[:, place, None] == self.group[:, :place]
            near = kept[:, :place] & same & (np.abs(apart) < exclusion)
            kept[:, place] = (self.index[:, place] >= 0) & ~near.any(axis=1)
        thin = Found.nothing(queries, k, self.features.shape[2])
        free = np.arange(k) < kept.sum(axis=1)[:, None]
        for name, array in vars(self).items():
            # both masks have as many places in each row, so values stay with their query
            getattr(thin, name)[free] = array[kept]
        return thin


def encode(rows: Paths, first: int) -> NDArray[np.void]:
    """Rows of binary COPY, numbered from `first` on.

    Parameters
    ----------
    rows : Paths
    first : int
        Number of the first of them.

    Returns
    -------
    void[n]
        Of one length each: their bytes in order are the body of a COPY stream.
    """
    digits = _DIGITS * rows.features.shape[1]
    out = np.zeros(len(rows), _row(digits))
    number = np.arange(first, first + len(rows))
    out["fields"] = 4
    out["id_size"], out["id"] = 16, _ids(rows.known_at, number)
    since = rows.time.astype("datetime64[us]").astype(np.int64)
    columns = (number, since, rows.group, *rows.win.T)
    out["metadata_size"], out["metadata_version"] = _WIDTH + 1, 1
    out["metadata"] = [
        (_METADATA % row).encode()
        for row in zip(*(column.tolist() for column in columns), strict=True)
    ]
    out["contents_size"], out["contents"] = digits, _texts(rows.features)
    out["embedding_size"], out["dimensions"] = 4 + 4 * DIMENSIONS, DIMENSIONS
    out["embedding"] = rows.paths
    return out


def _row(digits: int) -> np.dtype[np.void]:
    """A row of binary COPY; spaces in the JSON make all rows equally long."""
    return np.dtype(
        [
            ("fields", ">i2"),
            ("id_size", ">i4"),
            ("id", "u1", 16),
            ("metadata_size", ">i4"),
            ("metadata_version", "u1"),
            ("metadata", f"S{_WIDTH}"),
            ("contents_size", ">i4"),
            ("contents", f"S{digits}"),
            ("embedding_size", ">i4"),
            ("dimensions", ">i2"),
            ("unused", ">i2"),
            ("embedding", ">f4", DIMENSIONS),
        ]
    )


def _texts(features: NDArray[np.float32]) -> NDArray[np.bytes_]:
    """Hexadecimal digits of each row: decimal ones would lose what kind of NaN it is."""
    digits = features.astype(">f4").tobytes().hex().encode()
    return np.frombuffer(digits, f"S{_DIGITS * features.shape[1]}")


def _numbers(texts: list[str], features: int) -> NDArray[np.float32]:
    """What `_texts` was given."""
    values = np.frombuffer(bytes.fromhex("".join(texts)), ">f4")
    return values.astype(np.float32).reshape(-1, features)


def _ids(known_at: Times, number: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Version 1 uuids of a time and a row number, [n, 16].

    Times go up to the next whole millisecond, which is what `uuid_timestamp` tells: never early.
    """
    milliseconds = -(-known_at.astype("datetime64[us]").astype(np.int64) // 1000)
    ticks = milliseconds * 10_000 + _EPOCH
    fields = (
        (ticks & 0xFFFFFFFF, ">u4"),
        (ticks >> 32 & 0xFFFF, ">u2"),
        (ticks >> 48 | 1 << 12, ">u2"),
        (number.astype(np.uint64) | _VARIANT, ">u8"),
    )
    shaped = [np.asarray(values).astype(wire) for values, wire in fields]
    return np.column_stack([each.view(np.uint8).reshape(len(number), -1) for each in shaped])
