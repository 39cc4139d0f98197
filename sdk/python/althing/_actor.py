"""The functions of an actor, and what happens when one fails."""

import json
from collections.abc import Callable
from typing import Any

from althing import _schema
from althing._args import Mismatch
from althing._contract import Refused, guarded
from althing._errors import Error
from althing._schema import Schema
from althing.actor import Actor, text_of


def migrates(actor: type[Actor]) -> bool:
    """Whether the actor takes over the states of other versions in its own way."""
    return actor.migrate is not Actor.migrate


def init(actor: type[Actor]) -> str:
    """The first state; whatever goes wrong is :class:`Refused`."""
    return guarded(lambda: text_of(actor().init(), "state"))


def handle(actor: type[Actor], message: str, state: str) -> str:
    """The state after a message; whatever goes wrong is :class:`Refused`."""
    return guarded(lambda: text_of(actor().handle(json.loads(message), json.loads(state)), "state"))


def migrate(actor: type[Actor], state: str, from_version: str) -> str:
    """The state of another version; whatever goes wrong is :class:`Refused`."""
    return guarded(lambda: text_of(actor().migrate(json.loads(state), from_version), "state"))


def message_contract(actor: type[Actor], message: str, state: str) -> None:
    """:class:`Refused` when the message may not be."""

    def ask() -> None:
        read = json.loads(message)
        _ask(actor.message_schema, read, lambda: actor().message_contract(read, json.loads(state)))

    guarded(ask)


def state_contract(actor: type[Actor], state: str) -> None:
    """:class:`Refused` when the state may not be."""

    def ask() -> None:
        read = json.loads(state)
        _ask(actor.state_schema, read, lambda: actor().state_contract(read))

    guarded(ask)


def _ask(schema: Schema, value: Any, contract: Callable[[], bool | None]) -> None:
    try:
        _schema.check(schema, value)
    except Mismatch as mismatch:
        raise Error(str(mismatch)) from None
    answer = contract()
    if answer is False:
        raise Error("the contract returned False")
    if answer is not None and answer is not True:
        raise Error(f"the contract returned {type(answer).__name__}, wants True, False or None")


__all__ = [
    "Refused",
    "handle",
    "init",
    "message_contract",
    "migrate",
    "migrates",
    "state_contract",
]
