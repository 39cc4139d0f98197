"""Actors: JSON state, and what may become of it.

An actor is a class with a state, which is plain JSON, and a function from a message and the state
to the next state::

    from althing import Actor, actor

    class Counter(Actor):
        message_schema = {
            "type": "object",
            "properties": {"add": {"type": "integer", "minimum": 1}},
            "required": ["add"],
            "additionalProperties": False,
        }
        state_schema = {
            "type": "object",
            "properties": {"count": {"type": "integer", "maximum": 5000}},
            "required": ["count"],
            "additionalProperties": False,
        }

        def init(self):
            return {"count": 0}

        def handle(self, message, state):
            state["count"] += message["add"]
            if state["count"] >= 1000:
                actor.send("alarm", {"count": state["count"]})
            return state

The same code runs in plain Python, on a stage in memory::

    from althing.testing import Stage

    stage = Stage()
    stage.spawn("one", Counter)
    assert stage.send("one", {"add": 2}) == {"count": 2}

**Contracts.** Before a message is handled, ``message_contract`` sees it, and ``state_contract`` the
state; afterwards ``state_contract`` sees the new state, in an interpreter of its own. Both begin
with the schema, when the class has one. A contract refuses by raising :class:`althing.Error` with
the reason, as ``ensure`` does, or by returning ``False``. Then nothing is stored, nothing is sent,
and the outcome has the reason.

**Events.** What a subscription sends is ``{"event": {...}}``: :data:`EVENT` is its schema, one of the
forms in ``message_schema``. Of a changed key, :func:`kv` says what became of it::

    match actor.kv(message["event"]):
        case actor.Change(key, str(text)):
            state["mirror"][key] = text
        case actor.Change(key, actor.NoValue.DELETED):
            state["mirror"].pop(key, None)

**An actor knows nothing else**: no clock, no chance, no keyspace, not who sent a message, not its
own id. What it is to know stands in a message.

**Numbers are those of JSON.** Beyond 2**53 not every integer is one: larger ones are strings.
``2.0`` comes back as ``2``.
"""

import json
from typing import Any, ClassVar

from althing._contract import encode
from althing._errors import Error
from althing._event import EVENT, Change, NoValue, kv
from althing._host import actor_host
from althing._schema import Schema
from althing._schema_check import check_schema

__all__ = ["EVENT", "Actor", "Change", "NoValue", "kv", "send"]


class Actor:
    """The code of actors: see the module's text. Define one per ``app.py``.

    Each message is handled on an instance of its own, made without arguments: attributes do not
    last.
    """

    message_schema: ClassVar[Schema] = True
    """What a message looks like: a JSON schema, of the keywords of :mod:`althing._schema`."""
    state_schema: ClassVar[Schema] = True
    """What a state looks like."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for what in ("message_schema", "state_schema"):
            try:
                check_schema(getattr(cls, what))
            except TypeError as error:
                raise TypeError(f"{cls.__name__}.{what}: {error}") from None

    def init(self) -> Any:
        """The state of an actor that begins."""
        raise NotImplementedError

    def handle(self, message: Any, state: Any) -> Any:
        """The state after ``message``; it may be ``state`` itself, changed.

        What is sent here goes out once the new state is stored. An exception fails the message as a
        refusal does, but costs the whole fuel limit.
        """
        raise NotImplementedError

    def message_contract(self, message: Any, state: Any) -> bool | None:
        """Whether an actor in ``state`` takes ``message``, which fits its schema."""
        return True

    def state_contract(self, state: Any) -> bool | None:
        """Whether ``state``, which fits its schema, may be."""
        return True

    def migrate(self, state: Any, from_version: str) -> Any:
        """``state`` as this version wants it, of an actor whose version was ``from_version``.

        Define it when the state has changed its form. All actors are migrated before one of them
        runs with this version; when one cannot be, all of them stay with the version before.
        """
        raise NotImplementedError


def send(actor: str, message: Any) -> None:
    """Sends a message to an actor, once ``handle`` has returned and its state is stored.

    64 messages may be sent at once, 256 KiB in all. What sends elsewhere than in ``handle`` fails
    the call.
    """
    actor_host().send(actor, text_of(message, f"message to {actor}"))


def text_of(value: Any, what: str) -> str:
    """``value`` as JSON; ``what`` names it in the error."""
    if isinstance(value, (bytes, bytearray)):
        raise Error(f"{what}: JSON has no bytes: give `.hex()`, or text")
    return encode(value, what).decode()


def description(actor: type[Actor]) -> str:
    """The schemas, for people and tools."""
    return json.dumps({"message": actor.message_schema, "state": actor.state_schema})
