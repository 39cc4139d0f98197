"""Named counters: the contract of ``guests/counter`` again, in Python.

A counter is a key with eight bytes, its value in little-endian order.
"""

from althing import U32, U64, Contract, Error, call, db, ensure, query

#: Bytes of a counter's name.
NAME_BYTES_MAX = 256
#: Counters on one page of `list`.
LIST_MAX = 500


class Counter(Contract):
    """Counts."""

    @call
    def increment(self, name: str = "default", by: U64 = 1) -> int:
        """Adds ``by`` to the counter ``name``; its new value."""
        check(name)
        old = value_of(name)
        new = old + by
        ensure(new < 2**64, f"counter {name}: {old} + {by} is too large")
        db.put(name, new.to_bytes(8, "little"))
        return new

    @call
    def reset(self, name: str = "default") -> int:
        """Sets the counter ``name`` to zero and forgets it."""
        check(name)
        db.delete(name)
        return 0

    @query
    def value(self, name: str = "default") -> int:
        """The value of the counter ``name``; zero when nobody ever incremented it."""
        check(name)
        return value_of(name)

    @query
    def list(self, after: str | None = None, limit: U32 = LIST_MAX) -> list[tuple[str, int]]:
        """Counters in the order of their names, as pairs of name and value, after a name."""
        pairs = db.scan(after=after, limit=min(limit, LIST_MAX))
        return [(text(key), decode(value)) for key, value in pairs]


def check(name: str) -> None:
    size = len(name.encode())
    ensure(
        0 < size <= NAME_BYTES_MAX,
        f"name of the counter: {size} bytes, wants 1 to {NAME_BYTES_MAX}",
    )


def value_of(name: str) -> int:
    value = db.get(name)
    return 0 if value is None else decode(value)


def decode(value: bytes) -> int:
    ensure(len(value) == 8, "a counter in the state has not eight bytes")
    return int.from_bytes(value, "little")


def text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise Error("a counter in the state has a name that is no text") from None
