"""A contract: its methods, and what happens when one is called."""

import dataclasses
import inspect
import json
import traceback
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

from althing import _args
from althing._args import Fields, Mismatch
from althing._errors import Error, outcome_of
from althing._host import host

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Output = TypeVar("_Output")

#: Frames of a traceback that are logged, innermost first to stay.
TRACEBACK_FRAMES_MAX = 16

APPLY = "apply"
QUERY = "query"

_MARK = "__althing_method__"
#: Modules between an export and what the author wrote.
_OWN = ("althing._contract", "althing._actor")


def call(function: _Function) -> _Function:
    """Makes a method of a :class:`Contract` an instruction.

    Its arguments are given by name, as JSON, and checked: an unknown one, a missing one without a
    default and one of another type are refused by name. What it returns becomes the output: bytes
    as they are, anything else as JSON, objects in the order of their keys as they were inserted.
    """
    return _mark(function, APPLY)


def query(function: _Function) -> _Function:
    """Makes a method of a :class:`Contract` a query: as :func:`call`, but it cannot write."""
    return _mark(function, QUERY)


class Method(NamedTuple):
    """A method, and how it gets its arguments."""

    side: str
    function: Callable[..., Any]
    fields: Fields


def _mark(function: _Function, side: str) -> _Function:
    if not inspect.isfunction(function):
        raise TypeError("@call and @query stand above a function, without arguments")
    # At once: later on, a method may hide a type of the same name, such as `list`.
    setattr(function, _MARK, Method(side, function, _args.fields_of(function)))
    return function


class Contract:
    """A replicated program: see the package's text. Define one per ``app.py``.

    A call runs on an instance of its own, made without arguments. A contract that takes over from
    another version of itself may define ``migrate``: it runs once, when it is activated.
    """

    __methods: ClassVar[dict[str, dict[str, Method]]] = {APPLY: {}, QUERY: {}}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        methods: dict[str, dict[str, Method]] = {APPLY: {}, QUERY: {}}
        for above in reversed(cls.__mro__):
            for name, function in vars(above).items():
                method = getattr(function, _MARK, None)
                if method is not None:
                    methods[method.side][name] = method
        cls.__methods = methods

    def migrate(self, from_version: str) -> None:
        """Brings what is in :mod:`althing.db` into the form that this version expects.

        ``from_version`` is what the manifest of the version before says. An exception undoes
        everything, and the version before stays active. Programs may be queried, not called.
        """
        raise NotImplementedError

    @classmethod
    def method(cls, side: str, name: str) -> Method:
        """The method ``name``, or an error that names those that there are."""
        methods = cls.__methods[side]
        if name in methods:
            return methods[name]
        there = _args.one_of(methods, "there is ") or "there are none"
        raise Error(f"unknown method `{_args.shown(name)}`; {there}")


def migrates(contract: type[Contract]) -> bool:
    """Whether the contract wants to be told when it takes over."""
    return contract.migrate is not Contract.migrate


class Refused(Exception):
    """A call that failed, with the text of its outcome. The cause is what the contract raised."""


def run(contract: type[Contract], side: str, name: str, args: bytes) -> bytes:
    """Runs a method; whatever goes wrong is :class:`Refused`."""
    return guarded(_dispatch, contract, side, name, args)


def migrate(contract: type[Contract], from_version: str) -> None:
    """Runs the migration; whatever goes wrong is :class:`Refused`."""
    guarded(_migrate, contract, from_version)


def _dispatch(contract: type[Contract], side: str, name: str, args: bytes) -> bytes:
    method = contract.method(side, name)
    try:
        values = method.fields.decode(_args.parse(args))
    except Mismatch as mismatch:
        raise Error(f"args of {name}: {mismatch}") from None
    return encode(method.function(contract(), **values), "reply")


def _migrate(contract: type[Contract], from_version: str) -> None:
    contract().migrate(from_version)


def guarded(run: Callable[..., _Output], *args: Any) -> _Output:
    """What ``run`` gives; whatever goes wrong is :class:`Refused`, and a defect is logged."""
    try:
        return run(*args)
    except Error as error:
        raise Refused(error.message) from error
    # `SystemExit` and its like as well: what gets out of here is a trap, and costs the whole fuel.
    except BaseException as error:
        text = outcome_of(error)
        _log(error)
        raise Refused(text) from error


def _log(error: BaseException) -> None:
    """The traceback of a defect in the program, from its own first frame on."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None and at.tb_frame.f_globals["__name__"] in _OWN:
        at = at.tb_next
    try:
        lines = traceback.format_exception(type(error), error, at, limit=-TRACEBACK_FRAMES_MAX)
        host().log("error", "".join(lines).rstrip())
    except Exception:
        # A line is no reason to fail in another way.
        host().log("error", type(error).__name__)


def encode(value: Any, what: str) -> bytes:
    """``value`` as JSON, unless it is bytes. ``what`` names it in the error."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    try:
        if type(value) is int:
            # A common reply, at a tenth of the fuel.
            return str(value).encode()
        return _JSON.encode(value).encode()
    except RecursionError:
        raise Error(f"{what}: nested too deep for JSON") from None
    except (TypeError, ValueError) as error:
        raise Error(f"{what}: {error}") from None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        raise TypeError("a set has no order that is the same everywhere: give `sorted(...)`")
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError("JSON has no bytes: give `.hex()`, or text")
    raise TypeError(f"JSON has no {type(value).__name__}")


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
