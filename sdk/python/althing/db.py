"""The contract's keyspace: an ordered map from bytes to bytes, its own alone.

Reads see the writes of the same call. Keys have 1 to 4,096 bytes, values at most 1 MiB; both may be
given as text, which is then UTF-8. What the host refuses is an :class:`althing.Error`.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from althing._contract import encode
from althing._errors import Error
from althing._host import host

__all__ = ["Deleted", "delete", "delete_prefix", "get", "get_json", "put", "put_json", "scan"]

#: Pairs that a scan without a limit fetches at a time: what is fetched is paid for.
PAGE_PAIRS = 64
#: Pairs that the host gives at a time.
PAGE_PAIRS_MAX = 1_000
#: Keys that one call of `delete_prefix` deletes.
DELETE_KEYS_MAX = 10_000


class Deleted(NamedTuple):
    """What :func:`delete_prefix` has done."""

    keys: int
    """Keys that were deleted."""
    more: bool
    """There are more keys with that prefix."""


def get(key: bytes | str) -> bytes | None:
    """The value of ``key``, or ``None``."""
    return host().db_get(_bytes(key))


def get_json(key: bytes | str, default: Any = None) -> Any:
    """The value of ``key``, which is JSON; ``default`` when there is none."""
    value = get(key)
    if value is None:
        return default
    try:
        return json.loads(value.decode())
    except (ValueError, RecursionError) as error:
        raise Error(f"value of {_shown(key)}: {error}") from None


def put(key: bytes | str, value: bytes | str) -> None:
    """Writes ``key``. Refused in a query."""
    host().db_put(_bytes(key), _bytes(value))


def put_json(key: bytes | str, value: Any) -> None:
    """Writes ``key``, with ``value`` as JSON."""
    put(key, encode(value, f"value of {_shown(key)}"))


def delete(key: bytes | str) -> bool:
    """Deletes ``key``; true when it was there. Refused in a query."""
    return host().db_delete(_bytes(key))


def scan(
    prefix: bytes | str = b"",
    *,
    after: bytes | str | None = None,
    before: bytes | str | None = None,
    reverse: bool = False,
    limit: int | None = None,
) -> Iterator[tuple[bytes, bytes]]:
    """The pairs whose keys start with ``prefix``, in ascending order, or descending.

    Only those after the key ``after`` and before the key ``before``, which need not exist, and at
    most ``limit``. Pairs are fetched page by page, as they are used.
    """
    prefix = _bytes(prefix)
    after, before = _bytes_or_none(after), _bytes_or_none(before)
    more = True
    while more and (limit is None or limit > 0):
        size = PAGE_PAIRS if limit is None else min(limit, PAGE_PAIRS_MAX)
        pairs, more = host().db_scan(prefix, after, before, reverse, size)
        yield from pairs
        if not pairs:
            return
        if reverse:
            before = pairs[-1][0]
        else:
            after = pairs[-1][0]
        if limit is not None:
            limit -= len(pairs)


def delete_prefix(prefix: bytes | str, limit: int = DELETE_KEYS_MAX) -> Deleted:
    """Deletes the first keys that start with ``prefix``: at most ``limit``, and at most 10,000.

    While there are ``more``, go on in the next instruction. Refused in a query.
    """
    return Deleted(*host().db_delete_prefix(_bytes(prefix), min(limit, DELETE_KEYS_MAX)))


def _bytes(value: bytes | str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"keys and values are bytes or str, not {type(value).__name__}")


def _bytes_or_none(value: bytes | str | None) -> bytes | None:
    return None if value is None else _bytes(value)


def _shown(key: bytes | str) -> str:
    return key if isinstance(key, str) else bytes(key).decode(errors="replace")
