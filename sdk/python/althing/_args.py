"""Arguments of methods: from JSON to what the types of the function say.

Everything about types happens once, when the class is defined; a call only runs the decoders.
"""

import dataclasses
import enum
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any

#: Characters of a wrong value that are shown.
SHOWN_CHARS_MAX = 64

_REQUIRED: Any = object()


@dataclasses.dataclass(frozen=True)
class Between:
    """Limits of an integer, both part of the range, under a name for people."""

    name: str
    low: int
    high: int


U8 = Annotated[int, Between("u8", 0, 2**8 - 1)]
U16 = Annotated[int, Between("u16", 0, 2**16 - 1)]
U32 = Annotated[int, Between("u32", 0, 2**32 - 1)]
U64 = Annotated[int, Between("u64", 0, 2**64 - 1)]
I8 = Annotated[int, Between("i8", -(2**7), 2**7 - 1)]
I16 = Annotated[int, Between("i16", -(2**15), 2**15 - 1)]
I32 = Annotated[int, Between("i32", -(2**31), 2**31 - 1)]
I64 = Annotated[int, Between("i64", -(2**63), 2**63 - 1)]


class Mismatch(Exception):
    """A value is not what its type says."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.path = path

    def within(self, step: str) -> "Mismatch":
        """The same, seen from the value that holds this one."""
        dot = "." if self.path and not self.path.startswith("[") else ""
        return Mismatch(self.text, f"{step}{dot}{self.path}")

    def __str__(self) -> str:
        return f"`{self.path}`: {self.text}" if self.path else self.text


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Turns a value of JSON into one of a type."""

    expected: str
    decode: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Field:
    """A named value inside of an object."""

    decoder: Decoder
    default: Callable[[], Any] = _REQUIRED


class Fields:
    """The named values of an object, and no others."""

    def __init__(self, fields: dict[str, Field]) -> None:
        self._fields = fields

    def decode(self, value: Any) -> dict[str, Any]:
        """The values by name."""
        if type(value) is not dict:
            raise unexpected(value, "an object")
        fields = self._fields
        for name in value:
            if name not in fields:
                expected = one_of(fields, "expected ") or "there are none"
                raise Mismatch(f"unknown field `{shown(name)}`, {expected}")
        decoded = {}
        for name, field in fields.items():
            if name in value:
                try:
                    decoded[name] = field.decoder.decode(value[name])
                except Mismatch as mismatch:
                    raise mismatch.within(name) from None
            elif field.default is _REQUIRED:
                raise Mismatch(f"missing field `{name}`")
            else:
                decoded[name] = field.default()
        return decoded


def parse(args: bytes) -> Any:
    """The JSON of ``args``; none at all are an object without fields."""
    if not args:
        return {}
    try:
        return _JSON.decode(args.decode())
    except UnicodeDecodeError as error:
        raise Mismatch(f"no UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Mismatch(f"no JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise Mismatch(f"no JSON that can be read: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Mismatch(f"duplicate field `{shown(twice)}`")
    return fields


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def fields_of(function: Callable[..., Any]) -> Fields:
    """The arguments of a method, whose first is ``self``."""
    name = function.__qualname__
    hints = typing.get_type_hints(function, include_extras=True)
    fields = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{name}: `{parameter}` cannot be given by name")
        if parameter.name not in hints:
            raise TypeError(f"{name}: `{parameter.name}` has no type; `Any` takes all of JSON")
        try:
            decoder = decoder_of(hints[parameter.name])
        except TypeError as error:
            raise TypeError(f"{name}: `{parameter.name}`: {error}") from None
        default = _REQUIRED
        if parameter.default is not parameter.empty:
            default = _constantly(parameter.default)
        fields[parameter.name] = Field(decoder, default)
    return Fields(fields)


def _constantly(value: Any) -> Callable[[], Any]:
    return lambda: value


def decoder_of(hint: Any) -> Decoder:
    """The decoder for a type; :class:`TypeError` when JSON cannot hold it."""
    if hint is Any or hint is object:
        return Decoder("anything", lambda value: value)
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        limits = [limit for limit in args[1:] if isinstance(limit, Between)]
        return _between(limits[0]) if limits else decoder_of(args[0])
    if origin in (typing.Union, types.UnionType):
        return _union(args)
    if origin is typing.Literal:
        return _choice({_key(choice): choice for choice in args})
    if hint is list or origin is list:
        return _list(decoder_of(args[0] if args else Any))
    if origin is tuple and args and Ellipsis not in args:
        return _tuple([decoder_of(arg) for arg in args])
    if hint is dict or (origin is dict and args[0] is str):
        return _dict(decoder_of(args[1] if args else Any))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _choice({_key(member.value): member for member in hint})
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass(hint)
    raise TypeError(f"{hint!r} is no type that JSON can hold")


def _exactly(expected: str, kind: type) -> Decoder:
    def decode(value: Any) -> Any:
        # `type` and not `isinstance`: a bool is no int.
        if type(value) is not kind:
            raise unexpected(value, expected)
        return value

    return Decoder(expected, decode)


def _number(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise unexpected(value, "a number")
    try:
        return float(value)
    except OverflowError:
        raise unexpected(value, "a number") from None


_PLAIN: dict[Any, Decoder] = {
    bool: _exactly("a boolean", bool),
    int: _exactly("an integer", int),
    str: _exactly("a string", str),
    float: Decoder("a number", _number),
    None: _exactly("null", types.NoneType),
    types.NoneType: _exactly("null", types.NoneType),
}


def _between(limits: Between) -> Decoder:
    def decode(value: Any) -> int:
        if type(value) is not int:
            raise unexpected(value, limits.name)
        if not limits.low <= value <= limits.high:
            raise Mismatch(f"invalid value: {described(value)}, expected {limits.name}")
        return value

    return Decoder(limits.name, decode)


def _union(args: Iterable[Any]) -> Decoder:
    some = [decoder_of(arg) for arg in args if arg is not types.NoneType]
    one = some[0] if len(some) == 1 else _either(some)
    if types.NoneType not in args:
        return one
    return Decoder(one.expected, lambda value: None if value is None else one.decode(value))


def _either(decoders: list[Decoder]) -> Decoder:
    expected = " or ".join(decoder.expected for decoder in decoders)

    def decode(value: Any) -> Any:
        for decoder in decoders:
            try:
                return decoder.decode(value)
            except Mismatch:
                continue
        raise unexpected(value, expected)

    return Decoder(expected, decode)


def _key(value: Any) -> tuple[type, Any]:
    # True and 1 are the same key of a dict otherwise.
    return (type(value), value)


def _choice(choices: dict[tuple[type, Any], Any]) -> Decoder:
    expected = one_of([choice for _, choice in choices], "")

    def decode(value: Any) -> Any:
        try:
            return choices[_key(value)]
        except (KeyError, TypeError):
            raise Mismatch(f"invalid value: {described(value)}, expected {expected}") from None

    return Decoder(expected, decode)


def _items(value: list[Any], decoders: Iterable[Decoder]) -> list[Any]:
    items = []
    for at, (item, decoder) in enumerate(zip(value, decoders, strict=True)):
        try:
            items.append(decoder.decode(item))
        except Mismatch as mismatch:
            raise mismatch.within(f"[{at}]") from None
    return items


def _list(item: Decoder) -> Decoder:
    def decode(value: Any) -> list[Any]:
        if type(value) is not list:
            raise unexpected(value, "a sequence")
        return _items(value, (item for _ in value))

    return Decoder("a sequence", decode)


def _tuple(items: list[Decoder]) -> Decoder:
    expected = f"a sequence of {len(items)}"

    def decode(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise unexpected(value, expected)
        if len(value) != len(items):
            raise Mismatch(f"invalid length {len(value)}, expected {expected}")
        return tuple(_items(value, items))

    return Decoder(expected, decode)


def _dict(item: Decoder) -> Decoder:
    def decode(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise unexpected(value, "an object")
        decoded = {}
        for name, inner in value.items():
            try:
                decoded[name] = item.decode(inner)
            except Mismatch as mismatch:
                raise mismatch.within(shown(name)) from None
        return decoded

    return Decoder("an object", decode)


def _dataclass(kind: type) -> Decoder:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {}
    for field in dataclasses.fields(kind):
        if field.init:
            default = _REQUIRED
            if field.default is not dataclasses.MISSING:
                default = _constantly(field.default)
            elif field.default_factory is not dataclasses.MISSING:
                default = field.default_factory
            fields[field.name] = Field(decoder_of(hints[field.name]), default)
    inner = Fields(fields)
    return Decoder("an object", lambda value: kind(**inner.decode(value)))


def unexpected(value: Any, expected: str) -> Mismatch:
    """``value`` has another type."""
    return Mismatch(f"invalid type: {described(value)}, expected {expected}")


def described(value: Any) -> str:
    """What a value of JSON is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"boolean `{str(value).lower()}`"
    if isinstance(value, int):
        # The text of a huge integer costs more than the call is worth, and Python refuses it.
        return f"integer `{value}`" if value.bit_length() <= 256 else "huge integer"
    if isinstance(value, float):
        return f"floating point `{value}`"
    if isinstance(value, str):
        return f'string "{shown(value)}"'
    return "sequence" if isinstance(value, list) else "map"


def shown(text: str) -> str:
    """``text``, cut when it is long."""
    return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "..."


def one_of(names: Iterable[Any], before: str) -> str:
    """A choice in words: "`a`", "`a` or `b`", "one of `a`, `b`, `c`"; nothing for none."""
    quoted = [f"`{name}`" for name in names]
    if not quoted:
        return ""
    if len(quoted) <= 2:
        return before + " or ".join(quoted)
    return f"{before}one of {', '.join(quoted)}"
