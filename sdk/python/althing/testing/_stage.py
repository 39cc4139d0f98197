"""The stage: actors in memory."""

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from althing import _actor
from althing._actor import Refused
from althing._args import shown
from althing._errors import Error, Kind
from althing._host import enter
from althing.actor import Actor, text_of

_Output = TypeVar("_Output")

ID_BYTES_MAX = 128
STATE_BYTES_MAX = 512 << 10
MESSAGE_BYTES_MAX = 64 << 10
SENDS_MAX = 64
SENDS_BYTES_MAX = 256 << 10
HOPS_MAX = 1_024
WAITING_MAX = 1_024
#: Messages among actors that one message of the test may cause. A realm bounds the length of each
#: chain and goes on; here somebody waits for the end.
DELIVERIES_MAX = 10_000
LEVELS_MAX = 64

_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


class Sent(NamedTuple):
    """A message that an actor sent."""

    sender: str
    to: str
    message: Any


class Letter(NamedTuple):
    """A message that could not be delivered, and why."""

    to: str
    message: Any
    reason: str


@dataclass
class _Member:
    actor: type[Actor]
    state: str
    inbox: deque[tuple[str, int]] = field(default_factory=deque)


class _Hands:
    """The host of the functions that run."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.sends: list[tuple[str, str]] = []
        self.may_send = False

    def log(self, level: str, text: str) -> None:
        self.lines.append(text)

    def send(self, actor: str, message: str) -> None:
        if not self.may_send:
            raise RuntimeError("actor.send: only while `handle` runs")
        self.sends.append((actor, message))


class Stage:
    """Actors, and what they did, in the order of a realm.

    ``message_contract``, ``state_contract`` and ``handle``; then ``state_contract`` for the new
    state; then it is stored, and what was sent waits for its receivers, who take turns. ``logs``
    are pairs of an actor's id and a line, ``sent`` all messages that actors sent, ``letters`` those
    of them that could not be delivered.
    """

    def __init__(self) -> None:
        self.logs: list[tuple[str, str]] = []
        self.sent: list[Sent] = []
        self.letters: list[Letter] = []
        self._members: dict[str, _Member] = {}
        self._ready: deque[str] = deque()

    def spawn(self, id: str, actor: type[Actor]) -> Any:
        """Makes an actor; its first state. :class:`Error` when the state contract refuses it."""
        _check_id(id)
        if id in self._members:
            raise Error(f"{id}: there is an actor of that id", Kind.CONFLICT)
        state = self._run(id, lambda _: _began(actor))
        self._members[id] = _Member(actor, state)
        return json.loads(state)

    def send(self, id: str, message: Any) -> Any:
        """Gives a message to an actor, then delivers all that is sent because of it.

        The answer is the state that it made of the actor. :class:`Error` when it is refused: then
        nothing has changed but the logs. ``RuntimeError`` when more than 10,000 messages follow.
        """
        text = _canonical("message", text_of(message, "message"), MESSAGE_BYTES_MAX)
        state = self._turn(id, text, 0)
        self._deliver()
        return json.loads(state)

    def state(self, id: str) -> Any:
        """The state of an actor."""
        return json.loads(self._members[id].state)

    def migrate(self, id: str, actor: type[Actor], from_version: str) -> Any:
        """Lets ``actor`` take over an actor of another version; its new state."""
        member = self._members[id]
        state = self._run(id, lambda _: _migrated(actor, member.state, from_version))
        member.actor, member.state = actor, state
        return json.loads(state)

    def _turn(self, id: str, message: str, hops: int) -> str:
        if id not in self._members:
            raise Error(f"{id}: there is no actor of that id", Kind.NOT_FOUND)
        member = self._members[id]
        state, sends = self._run(id, lambda hands: _turned(member, message, hands))
        member.state = state
        for to, text in sends:
            self.sent.append(Sent(id, to, json.loads(text)))
            self._post(to, text, hops + 1)
        return state

    def _post(self, to: str, message: str, hops: int) -> None:
        reason = None
        if to not in self._members:
            reason = f"{to}: there is no actor of that id"
        elif hops > HOPS_MAX:
            reason = f"{to}: {HOPS_MAX} messages led to one another"
        elif len(self._members[to].inbox) >= WAITING_MAX:
            reason = f"{to}: {WAITING_MAX} messages wait"
        if reason is not None:
            self.letters.append(Letter(to, json.loads(message), reason))
            return
        inbox = self._members[to].inbox
        if not inbox:
            self._ready.append(to)
        inbox.append((message, hops))

    def _deliver(self) -> None:
        for _ in range(DELIVERIES_MAX):
            if not self._ready:
                return
            id = self._ready.popleft()
            inbox = self._members[id].inbox
            message, hops = inbox.popleft()
            if inbox:
                self._ready.append(id)
            try:
                self._turn(id, message, hops)
            except Error as error:
                self.letters.append(Letter(id, json.loads(message), error.message))
        if self._ready:
            raise RuntimeError(f"more than {DELIVERIES_MAX} messages follow from this one")

    def _run(self, id: str, work: Callable[[_Hands], _Output]) -> _Output:
        hands = _Hands()
        outer = enter(hands)
        try:
            return work(hands)
        except Error as error:
            raise Error(f"{id}: {error.message}", error.kind) from error.__cause__
        finally:
            enter(outer)
            self.logs.extend((id, line) for line in hands.lines)


def _began(actor: type[Actor]) -> str:
    return _accepted(actor, "init", _ran("init", lambda: _actor.init(actor)))


def _migrated(actor: type[Actor], state: str, from_version: str) -> str:
    if _actor.migrates(actor):
        state = _ran("migrate", lambda: _actor.migrate(actor, state, from_version))
    return _accepted(actor, "migrate", state)


def _turned(member: _Member, message: str, hands: _Hands) -> tuple[str, list[tuple[str, str]]]:
    actor, state = member.actor, member.state
    _asked(
        "message contract refused the message",
        lambda: _actor.message_contract(actor, message, state),
    )
    _asked(
        "state contract refused the state before the message",
        lambda: _actor.state_contract(actor, state),
    )
    hands.may_send = True
    new = _ran("handle", lambda: _actor.handle(actor, message, state))
    hands.may_send = False
    new = _accepted(actor, "handle", new)
    size = sum(len(to.encode()) + len(text.encode()) for to, text in hands.sends)
    if len(hands.sends) > SENDS_MAX or size > SENDS_BYTES_MAX:
        raise Error(
            f"handle sent {len(hands.sends)} messages of {size} bytes; the limits are {SENDS_MAX}, "
            f"and {SENDS_BYTES_MAX} bytes",
            Kind.EXHAUSTED,
        )
    for to, _ in hands.sends:
        _check_id(to)
    sends = [
        (to, _canonical(f"message to {to}", text, MESSAGE_BYTES_MAX)) for to, text in hands.sends
    ]
    return new, sends


def _accepted(actor: type[Actor], function: str, state: str) -> str:
    what = f"the state that `{function}` returned"
    state = _canonical(what, state, STATE_BYTES_MAX)
    _asked(f"state contract refused {what}", lambda: _actor.state_contract(actor, state))
    return state


def _asked(refusal: str, ask: Callable[[], None]) -> None:
    try:
        ask()
    except Refused as refused:
        raise Error(f"{refusal}: {refused}", Kind.CONTRACT_VIOLATION) from refused.__cause__


def _ran(function: str, run: Callable[[], str]) -> str:
    try:
        return run()
    except Refused as refused:
        raise Error(f"{function} failed; it logged: {refused}") from refused.__cause__


def _check_id(id: str) -> None:
    if len(id) > ID_BYTES_MAX or not all(_SEGMENT.fullmatch(part) for part in id.split("/")):
        raise Error(f"{id!r}: not an actor id", Kind.INVALID)


def _canonical(what: str, text: str, bytes_max: int) -> str:
    """The one text of a JSON, if a realm takes it."""
    value = _plain(what, json.loads(text), LEVELS_MAX)
    form = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        size = len(form.encode())
    except UnicodeEncodeError:
        raise Error(f"{what}: a lone surrogate is no text") from None
    if size > bytes_max:
        raise Error(f"{what}: {size} bytes, the limit is {bytes_max}")
    return form


def _plain(what: str, value: Any, levels: int) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e21 else value
    if isinstance(value, int):
        if not _is_a_double(value):
            number = shown(str(value))
            raise Error(f"{what}: number {number}: no double is exactly that; write it as a string")
        return value
    if isinstance(value, (list, dict)) and not levels:
        raise Error(f"{what}: more than {LEVELS_MAX} levels")
    if isinstance(value, list):
        return [_plain(what, item, levels - 1) for item in value]
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return {name: _plain(what, value[name], levels - 1) for name in names}
    return value


def _is_a_double(number: int) -> bool:
    try:
        return abs(number) <= 2**53 or Decimal(repr(float(number))) == number
    except OverflowError:
        return False
