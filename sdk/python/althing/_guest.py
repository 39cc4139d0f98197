"""The host of a guest, and what the component exports. Imported inside a component only."""

from collections.abc import Callable
from typing import Any, TypeVar

from componentize_py_types import Err
from wit_world.imports import context, crypto, db, events, log, programs

from althing import _contract
from althing._contract import APPLY, QUERY, Contract, Refused
from althing._errors import Error, Kind
from althing._host import Host, Pairs, enter
from althing._rehearsal import rehearse

_T = TypeVar("_T")

_ORDER = {False: db.Order.ASCENDING, True: db.Order.DESCENDING}
_LEVELS = {level.name.lower(): level for level in log.Level}
_ALGORITHMS = {algorithm.name.lower(): algorithm for algorithm in crypto.Algorithm}


def _asked(function: Callable[..., _T], *args: Any) -> _T:
    try:
        return function(*args)
    except Err as refused:
        error = refused.value
        raise Error(error.message, Kind[error.kind.name]) from None


class Guest(Host):
    """The imports of the world."""

    def db_get(self, key: bytes) -> bytes | None:
        return _asked(db.get, key)

    def db_put(self, key: bytes, value: bytes) -> None:
        _asked(db.put, key, value)

    def db_delete(self, key: bytes) -> bool:
        return _asked(db.delete, key)

    def db_scan(
        self,
        prefix: bytes,
        after: bytes | None,
        before: bytes | None,
        descending: bool,
        limit: int,
    ) -> tuple[Pairs, bool]:
        page = _asked(db.scan, db.Range(prefix, after, before), _ORDER[descending], limit)
        return [(pair.key, pair.value) for pair in page.pairs], page.more

    def db_delete_prefix(self, prefix: bytes, limit: int) -> tuple[int, bool]:
        deleted = _asked(db.delete_prefix, prefix, limit)
        return deleted.keys, deleted.more

    def caller(self) -> bytes | str:
        return context.caller().value

    def author(self) -> bytes:
        return context.author()

    def index(self) -> int:
        return context.index()

    def timestamp_us(self) -> int:
        return context.timestamp_us()

    def seed(self) -> bytes:
        return context.seed()

    def program(self) -> str:
        return context.program()

    def emit(self, topic: str, data: bytes) -> None:
        _asked(events.emit, topic, data)

    def log(self, level: str, text: str) -> None:
        log.log(_LEVELS[level], text)

    def hash(self, algorithm: str, data: bytes) -> bytes:
        return crypto.hash(_ALGORITHMS[algorithm], data)

    def verify_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        return crypto.verify_signature(key, message, signature)

    def programs_call(self, program: str, method: str, args: bytes) -> bytes:
        return _asked(programs.call, program, method, args)

    def programs_query(self, program: str, method: str, args: bytes) -> bytes:
        return _asked(programs.query, program, method, args)


def _answered(run: Callable[..., _T], *args: Any) -> _T:
    try:
        return run(*args)
    except Refused as refused:
        # Any exception but this one is a trap.
        raise Err(str(refused)) from None


def exports(contract: type[Contract]) -> tuple[type, type]:
    """The classes ``WitWorld`` and ``Migration`` that the component exports.

    Called once, when the component is built: what it leaves behind is part of the image.
    """

    class WitWorld:
        def apply(self, method: str, args: bytes) -> bytes:
            return _answered(_contract.run, contract, APPLY, method, args)

        def query(self, method: str, args: bytes) -> bytes:
            return _answered(_contract.run, contract, QUERY, method, args)

    class Migration:
        def migrate(self, from_version: str) -> None:
            _answered(_contract.migrate, contract, from_version)

    rehearse()
    enter(Guest())
    return WitWorld, Migration
