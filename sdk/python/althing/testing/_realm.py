"""The realm, and the host of the calls in it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from althing import _contract
from althing._contract import APPLY, QUERY, Contract, Refused, encode
from althing._errors import Error, Kind
from althing._host import Host, Pairs, enter
from althing.testing._blake3 import blake3
from althing.testing._ed25519 import verify

_Output = TypeVar("_Output")

KEY_BYTES_MAX = 4 << 10
VALUE_BYTES_MAX = 1 << 20
SCAN_PAIRS_MAX = 1_000
DELETE_KEYS_MAX = 10_000
TOPIC_BYTES_MAX = 256
EVENTS_MAX = 256
CALL_DEPTH_MAX = 8


@dataclass
class Context:
    """Who calls, and when."""

    author: bytes = b"\x01" * 32
    """Who signs or asks."""
    index: int = 0
    """Index of the entry; each instruction moves it on by one."""
    timestamp_us: int = 1_700_000_000_000_000
    """The realm's time; it stands still unless a test moves it."""
    seed: bytes = b"\x02" * 32
    """The seed of the instruction."""


class Event(NamedTuple):
    """What was emitted."""

    topic: str
    data: bytes
    program: str = "test"

    def json(self) -> Any:
        """The data, which are JSON."""
        return json.loads(self.data)


class Line(NamedTuple):
    """What was logged."""

    level: str
    text: str


@dataclass
class _Program:
    contract: type[Contract]
    db: dict[bytes, bytes] = field(default_factory=dict)


class Realm:
    """A realm in which ``contract`` is the program ``program``.

    ``context`` is what the next call sees; ``events`` and ``logs`` are all there were so far.
    """

    def __init__(self, contract: type[Contract], program: str = "test") -> None:
        self.context = Context()
        self.events: list[Event] = []
        self.logs: list[Line] = []
        self._program = program
        self._programs = {program: _Program(contract)}

    @property
    def db(self) -> dict[bytes, bytes]:
        """The keyspace of the program."""
        return self.db_of(self._program)

    def db_of(self, program: str) -> dict[bytes, bytes]:
        """The keyspace of any program."""
        return self._programs[program].db

    def install(self, program: str, contract: type[Contract]) -> None:
        """Puts another program into the realm, for the contract to call; again: another version."""
        db = self._programs[program].db if program in self._programs else {}
        self._programs[program] = _Program(contract, db)

    def call(self, method: str, /, **args: Any) -> Any:
        """Runs an instruction, with JSON in and out; :class:`Error` when it fails.

        Then nothing but the logs has changed. The cause of the error is what the contract raised.
        """
        return json.loads(self.call_raw(method, encode(args, "args")))

    def query(self, method: str, /, **args: Any) -> Any:
        """Asks a query, with JSON in and out; :class:`Error` when it fails."""
        return json.loads(self.query_raw(method, encode(args, "args")))

    def call_raw(self, method: str, args: bytes = b"") -> bytes:
        """As :meth:`call`, with bytes in and out."""
        self.context.index += 1
        return self._frame(read_only=False).run(APPLY, method, args)

    def query_raw(self, method: str, args: bytes = b"") -> bytes:
        """As :meth:`query`, with bytes in and out."""
        return self._frame(read_only=True).run(QUERY, method, args)

    def migrate(self, from_version: str) -> None:
        """Tells the contract that it takes over, as when it is activated."""
        self.context.index += 1
        self._frame(read_only=False, may_call=False).migrate(from_version)

    def _frame(self, *, read_only: bool, may_call: bool = True) -> "_Frame":
        return _Frame(self, self._program, self.context.author, read_only, may_call, ())


class _Frame(Host):
    """A call: the host of the program that runs in it."""

    def __init__(
        self,
        realm: Realm,
        program: str,
        caller: bytes | str,
        read_only: bool,
        may_call: bool,
        above: tuple[str, ...],
    ) -> None:
        self._realm = realm
        self._program = program
        self._caller = caller
        self._read_only = read_only
        self._may_call = may_call
        self._above = above
        self._emitted = 0

    def run(self, side: str, method: str, args: bytes) -> bytes:
        contract = self._realm._programs[self._program].contract
        return self._undone_if_refused(lambda: _contract.run(contract, side, method, args))

    def migrate(self, from_version: str) -> None:
        contract = self._realm._programs[self._program].contract
        self._undone_if_refused(lambda: _contract.migrate(contract, from_version))

    def _undone_if_refused(self, run: Callable[[], _Output]) -> _Output:
        programs = self._realm._programs
        before = {id: dict(program.db) for id, program in programs.items()}
        emitted = len(self._realm.events)
        outer = enter(self)
        try:
            return run()
        except Refused as refused:
            for id, db in before.items():
                # In place: a test may hold on to it.
                programs[id].db.clear()
                programs[id].db.update(db)
            del self._realm.events[emitted:]
            raise Error(str(refused)) from refused.__cause__
        finally:
            enter(outer)

    @property
    def _db(self) -> dict[bytes, bytes]:
        return self._realm._programs[self._program].db

    def _check_writes(self, what: str) -> None:
        if self._read_only:
            raise Error(
                f"{what}: a query cannot change anything; do it in `apply`, by an instruction",
                Kind.DENIED,
            )

    def db_get(self, key: bytes) -> bytes | None:
        _check_key(key)
        return self._db.get(key)

    def db_put(self, key: bytes, value: bytes) -> None:
        self._check_writes("db.put")
        _check_key(key)
        _check("value", value, VALUE_BYTES_MAX)
        self._db[key] = value

    def db_delete(self, key: bytes) -> bool:
        self._check_writes("db.delete")
        _check_key(key)
        return self._db.pop(key, None) is not None

    def db_scan(
        self,
        prefix: bytes,
        after: bytes | None,
        before: bytes | None,
        descending: bool,
        limit: int,
    ) -> tuple[Pairs, bool]:
        _check("prefix", prefix, KEY_BYTES_MAX)
        keys = [
            key
            for key in sorted(self._db, reverse=descending)
            if key.startswith(prefix)
            and (after is None or key > after)
            and (before is None or key < before)
        ]
        limit = min(limit, SCAN_PAIRS_MAX)
        return [(key, self._db[key]) for key in keys[:limit]], len(keys) > limit

    def db_delete_prefix(self, prefix: bytes, limit: int) -> tuple[int, bool]:
        self._check_writes("db.delete-prefix")
        _check("prefix", prefix, KEY_BYTES_MAX)
        keys = sorted(key for key in self._db if key.startswith(prefix))
        deleted = keys[: min(limit, DELETE_KEYS_MAX)]
        for key in deleted:
            del self._db[key]
        return len(deleted), len(keys) > len(deleted)

    def caller(self) -> bytes | str:
        return self._caller

    def author(self) -> bytes:
        return self._realm.context.author

    def index(self) -> int:
        return self._realm.context.index

    def timestamp_us(self) -> int:
        return self._realm.context.timestamp_us

    def seed(self) -> bytes:
        return self._realm.context.seed

    def program(self) -> str:
        return self._program

    def emit(self, topic: str, data: bytes) -> None:
        self._check_writes("events.emit")
        _check("topic", topic.encode(), TOPIC_BYTES_MAX)
        if self._emitted == EVENTS_MAX:
            raise Error(f"events: a call emits at most {EVENTS_MAX}", Kind.EXHAUSTED)
        self._emitted += 1
        self._realm.events.append(Event(topic, data, self._program))

    def log(self, level: str, text: str) -> None:
        self._realm.logs.append(Line(level, text))

    def hash(self, algorithm: str, data: bytes) -> bytes:
        return hashlib.sha256(data).digest() if algorithm == "sha256" else blake3(data)

    def verify_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        return verify(key, message, signature)

    def programs_call(self, program: str, method: str, args: bytes) -> bytes:
        self._check_writes("programs.call")
        if not self._may_call:
            raise Error("programs.call: a migration can query programs, not call", Kind.DENIED)
        return self._below(program, read_only=False).run(APPLY, method, args)

    def programs_query(self, program: str, method: str, args: bytes) -> bytes:
        return self._below(program, read_only=True).run(QUERY, method, args)

    def _below(self, program: str, read_only: bool) -> "_Frame":
        running = (*self._above, self._program)
        if program not in self._realm._programs:
            raise Error(f"program {program}: there is none", Kind.NOT_FOUND)
        if program in running:
            raise Error(f"program {program}: waits for a call of its own", Kind.CONFLICT)
        if len(running) > CALL_DEPTH_MAX:
            raise Error(f"program {program}: calls nest {CALL_DEPTH_MAX} deep", Kind.EXHAUSTED)
        return _Frame(self._realm, program, self._program, read_only, self._may_call, running)


def _check_key(key: bytes) -> None:
    if not key:
        raise Error("key: empty; a key has at least one byte", Kind.INVALID)
    _check("key", key, KEY_BYTES_MAX)


def _check(what: str, data: bytes, bytes_max: int) -> None:
    if len(data) > bytes_max:
        raise Error(f"{what}: {len(data)} bytes, the limit is {bytes_max}", Kind.INVALID)
