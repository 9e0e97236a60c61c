"""JSON documents: typed values with the version of their form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from infra.errors import SepError
from infra.files import replaced

T = TypeVar("T")

FORMAT: Final = 2
"""Bump it when a document of before can no longer be read."""


class DocumentError(SepError, ValueError):
    """A file is not the document it should be; the message names it and what to do."""


def to_plain(value: object) -> Any:
    """Return what JSON can hold of a dataclass: dicts, lists, numbers and text."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def from_plain(kind: type[T], plain: Any) -> T:
    """Return the value of a kind that `to_plain` made plain.

    Parameters
    ----------
    kind : type
        A dataclass.
    plain : object

    Raises
    ------
    pydantic.ValidationError
        If it is none.
    """
    return TypeAdapter(kind).validate_python(plain)


def write(path: Path, value: object) -> None:
    """Write a value as a document: whole or not at all.

    Parameters
    ----------
    path : Path
    value : dataclass
    """
    document = {"format": FORMAT, "kind": type(value).__name__, "value": to_plain(value)}
    with replaced(path) as draft:
        draft.write_text(json.dumps(document, indent=1))


def read(path: Path, kind: type[T]) -> T:
    """Read a document.

    Parameters
    ----------
    path : Path
    kind : type
        What `write` was given.

    Raises
    ------
    DocumentError
        If it is not there, damaged, of another kind, or of another version.
    """
    try:
        document = json.loads(path.read_text())
        form, name = document["format"], document["kind"]
        if (form, name) == (FORMAT, kind.__name__):
            return from_plain(kind, document["value"])
    except (OSError, ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError(f"{path} is no {kind.__name__} that can be read: {error}") from error
    raise DocumentError(
        f"{path} holds a {name} of form {form}, wanted is a {kind.__name__} of form {FORMAT}: "
        "make it anew with this version"
    )
