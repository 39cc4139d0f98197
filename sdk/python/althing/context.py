"""Who calls, and when: the same on every node."""

import random as _random
from dataclasses import dataclass

from althing._host import host

__all__ = [
    "Key",
    "Program",
    "author",
    "caller",
    "index",
    "program",
    "random",
    "seed",
    "timestamp_us",
]


@dataclass(frozen=True)
class Key:
    """Someone who signs: the public key, 32 bytes. As text ``key:`` and the key in hex."""

    key: bytes

    def __str__(self) -> str:
        return f"key:{self.key.hex()}"


@dataclass(frozen=True)
class Program:
    """Another program: its id. As text ``program:`` and the id."""

    program: str

    def __str__(self) -> str:
        return f"program:{self.program}"


def caller() -> Key | Program:
    """Who called this program: who signed the instruction or asks the query, or another program.

    Decide with this who may do what, and never with :func:`author`: a program that an author calls
    for one purpose could otherwise act in the author's name for another.
    """
    who = host().caller()
    return Program(who) if isinstance(who, str) else Key(who)


def author() -> bytes:
    """The public key of who stands at the beginning of a chain of calls. For records."""
    return host().author()


def index() -> int:
    """The index of the log entry; in a query, of the last one that the state holds."""
    return host().index()


def timestamp_us() -> int:
    """The realm's time, in microseconds since the Unix epoch, UTC. Never runs backwards."""
    return host().timestamp_us()


def seed() -> bytes:
    """32 bytes that no author could foresee, different for each instruction. Not a secret."""
    return host().seed()


def random() -> _random.Random:
    """A generator that starts from :func:`seed`: make one per call, and use it on.

    The functions of the module ``random`` itself start at the same point in every call.
    """
    return _random.Random(seed())


def program() -> str:
    """The id under which this program runs."""
    return host().program()
