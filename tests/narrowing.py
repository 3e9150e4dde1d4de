"""Values whose declared type is wider than what a test made."""

from typing import TypeVar

T = TypeVar("T")


def narrow(kind: type[T], value: object) -> T:
    """``value``, which is a ``kind``: like `typing.cast`, but checked."""
    assert isinstance(value, kind)
    return value
