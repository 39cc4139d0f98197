"""The host of the call that runs: the node, or a realm in memory."""

from typing import Protocol, cast

Pairs = list[tuple[bytes, bytes]]


class Host(Protocol):
    """What the world ``contract`` imports. Refusals are :class:`althing.Error`."""

    def db_get(self, key: bytes) -> bytes | None: ...
    def db_put(self, key: bytes, value: bytes) -> None: ...
    def db_delete(self, key: bytes) -> bool: ...
    def db_scan(
        self,
        prefix: bytes,
        after: bytes | None,
        before: bytes | None,
        descending: bool,
        limit: int,
    ) -> tuple[Pairs, bool]: ...
    def db_delete_prefix(self, prefix: bytes, limit: int) -> tuple[int, bool]: ...

    def caller(self) -> bytes | str: ...
    def author(self) -> bytes: ...
    def index(self) -> int: ...
    def timestamp_us(self) -> int: ...
    def seed(self) -> bytes: ...
    def program(self) -> str: ...

    def emit(self, topic: str, data: bytes) -> None: ...
    def log(self, level: str, text: str) -> None: ...

    def hash(self, algorithm: str, data: bytes) -> bytes: ...
    def verify_signature(self, key: bytes, message: bytes, signature: bytes) -> bool: ...

    def programs_call(self, program: str, method: str, args: bytes) -> bytes: ...
    def programs_query(self, program: str, method: str, args: bytes) -> bytes: ...


class ActorHost(Protocol):
    """What the world ``actor`` imports."""

    def log(self, level: str, text: str) -> None: ...
    def send(self, actor: str, message: str) -> None: ...


_current: Host | ActorHost | None = None


def host() -> Host:
    """The host of the call that runs. Of an actor there is only ``log``."""
    if _current is None:
        raise RuntimeError(
            "no call is running: state, context and events are there within a call only, not when "
            "a module is imported; tests call through `althing.testing.Realm` or `.Stage`"
        )
    return cast(Host, _current)


def actor_host() -> ActorHost:
    """The host of the actor that runs."""
    if not hasattr(_current, "send"):
        raise RuntimeError("no actor is running: only `handle` of an actor sends")
    return cast(ActorHost, _current)


def enter(new: Host | ActorHost | None) -> Host | ActorHost | None:
    """Makes ``new`` the host of what runs from here on; gives the one before."""
    global _current
    before, _current = _current, new
    return before
