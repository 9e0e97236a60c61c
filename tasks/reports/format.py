"""Shares and numbers as people read them."""

from __future__ import annotations


def percent(value: float | None, *, digits: int = 2, sign: bool = False) -> str:
    """Write a share as a percentage; a dash where there is none.

    Parameters
    ----------
    value : float, optional
        None where there is no value.
    digits : int
        After the point.
    sign : bool
        Whether a plus is written, too.
    """
    if value is None:
        return "–"
    shown = round(100 * value, digits) + 0.0  # no zero with a sign
    written = f"{shown:{'+' if sign and shown else ''}.{digits}f} %"
    return written.replace("-", "−")


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Write a share with its 95 % interval.

    Parameters
    ----------
    value : float, optional
        None where there is no value.
    low, high : float, optional
        Bounds of the interval.
    """
    if value is None or low is None or high is None:
        return "–"
    return f"{percent(value)} (95 % interval {100 * low:.2f} to {percent(high)})"


def number(value: float | None, digits: int = 2) -> str:
    """Write a number; a dash where there is none.

    Parameters
    ----------
    value : float, optional
        None where there is no value.
    digits : int
        After the point.
    """
    if value is None:
        return "–"
    shown = round(value, digits) + 0.0  # no zero with a sign
    return f"{shown:.{digits}f}".replace("-", "−")
