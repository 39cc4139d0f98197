"""Write contracts and actors for Althing in Python. :mod:`althing.actor` explains actors.

A contract is a class. Its methods are functions with typed arguments: a ``@call`` runs an
instruction, a ``@query`` answers a question. Arguments come as JSON and are checked against the
types; what a method returns goes out as JSON::

    from althing import Contract, U64, call, db, query

    class Greeter(Contract):
        @call
        def greet(self, name: str) -> str:
            count = db.get_json(name, 0) + 1
            db.put_json(name, count)
            return f"hello, {name}"

        @query
        def count(self, name: str) -> int:
            return db.get_json(name, 0)

The same code runs in plain Python, against a realm in memory::

    from althing.testing import Realm

    realm = Realm(Greeter)
    assert realm.call("greet", name="Ada") == "hello, Ada"
    assert realm.query("count", name="Ada") == 1

**What holds.** Each call gets a fresh interpreter, as it was after the imports: globals and
attributes start anew, only :mod:`althing.db` lasts. An exception undoes all that the call wrote and
emitted, and its text becomes the outcome: say why with :class:`Error`. Of any other exception the
outcome holds type and message, and the log the traceback (``althing logs PROGRAM``).

**What there is not.** No clock but the realm's (``time.time()`` gives it too), no randomness but
:func:`althing.context.random`, no files, no network, no threads. A set iterates in the same order
on every node, but in no order that means anything: where order matters, sort.
"""

from althing import actor, context, crypto, db, events, log, programs
from althing._args import I8, I16, I32, I64, U8, U16, U32, U64
from althing._contract import Contract, call, query
from althing._errors import Error, Kind, ensure
from althing.actor import Actor

__all__ = [
    "I8",
    "I16",
    "I32",
    "I64",
    "U8",
    "U16",
    "U32",
    "U64",
    "Actor",
    "Contract",
    "Error",
    "Kind",
    "actor",
    "call",
    "context",
    "crypto",
    "db",
    "ensure",
    "events",
    "log",
    "programs",
    "query",
]
