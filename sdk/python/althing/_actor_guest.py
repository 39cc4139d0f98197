"""The host of an actor, and what the component exports. Imported inside a component only."""

from collections.abc import Callable
from typing import TypeVar

from wit_world.imports import host

from althing import _actor
from althing._actor import Refused
from althing._host import enter
from althing._rehearsal import rehearse_actor
from althing.actor import Actor, description

_T = TypeVar("_T")


class Guest:
    """The imports of the world."""

    def log(self, level: str, text: str) -> None:
        """Lines of actors have no levels."""
        host.log(text)

    def send(self, actor: str, message: str) -> None:
        host.send(actor, message)


def _or_trap(run: Callable[..., _T], *args: object) -> _T:
    try:
        return run(*args)
    except Refused as refused:
        # The last line is what the error shows. The exception is the trap.
        host.log(str(refused))
        raise


def _verdict(ask: Callable[..., None], *args: object) -> bool:
    try:
        ask(*args)
    except Refused as refused:
        host.log(str(refused))
        return False
    return True


def exports(actor: type[Actor]) -> tuple[type, type, type]:
    """The classes ``WitWorld``, ``Description`` and ``Migration`` that the component exports.

    Called once, when the component is built: what it leaves behind is part of the image.
    """

    class WitWorld:
        def init(self) -> str:
            return _or_trap(_actor.init, actor)

        def handle(self, msg: str, state: str) -> str:
            return _or_trap(_actor.handle, actor, msg, state)

        def message_contract(self, msg: str, state: str) -> bool:
            return _verdict(_actor.message_contract, actor, msg, state)

        def state_contract(self, state: str) -> bool:
            return _verdict(_actor.state_contract, actor, state)

    class Description:
        def describe(self) -> str:
            return description(actor)

    class Migration:
        def migrate(self, state: str, from_version: str) -> str:
            return _or_trap(_actor.migrate, actor, state, from_version)

    rehearse_actor()
    enter(Guest())
    return WitWorld, Description, Migration
