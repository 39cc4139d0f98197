"""JSON against a schema: the keywords that schemas of messages and states need.

What is not known is an error when the class is defined, never passed over: :mod:`._schema_check`.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from althing._args import Mismatch, described, one_of, shown

Schema = dict[str, Any] | bool

TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and value == value // 1,
    "number": lambda value: _is_number(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def check(schema: Schema, value: Any) -> None:
    """:class:`Mismatch` unless ``value`` fits ``schema``, which ``check_schema`` knows."""
    try:
        _fits(schema, schema, value)
    except RecursionError:
        raise Mismatch("nested too deep") from None


def _fits(root: Schema, schema: Schema, value: Any) -> None:
    if schema is True:
        return
    if schema is False:
        raise Mismatch("must not be there")
    for keyword, rule in schema.items():
        if keyword in _RULES:
            kind, fits = _RULES[keyword]
            if kind(value):
                fits(root, schema, rule, value)


def referred(root: Schema, to: str) -> Schema:
    """The part of ``root`` that a ``$ref`` names."""
    found: Any = root
    where, *steps = to.split("/")
    if where != "#":
        raise Mismatch(f"refers to {to}, which is not in it")
    for step in steps:
        step = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or step not in found:
            raise Mismatch(f"refers to {to}, which is not there")
        found = found[step]
    return found  # type: ignore[no-any-return]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(a: Any, b: Any) -> bool:
    """Equality as JSON has it: 1 is 1.0, and not true."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    return bool(a == b)


def _type(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    names = [rule] if isinstance(rule, str) else rule
    if not any(TYPES[name](value) for name in names):
        raise Mismatch(f"{described(value)}, wants {' or '.join(names)}")


def _const(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    if not _same(value, rule):
        raise Mismatch(f"{described(value)}, wants {json.dumps(rule)}")


def _enum(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    if not any(_same(value, one) for one in rule):
        raise Mismatch(f"{described(value)}, wants {one_of(map(json.dumps, rule), '')}")


def _ref(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    _fits(root, referred(root, rule), value)


def _all_of(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    for form in rule:
        _fits(root, form, value)


def _any_of(root: Schema, schema: Any, rule: Any, value: Any) -> int:
    fitting, likely = 0, []
    for form in rule:
        if _may_be_meant(form, value):
            try:
                _fits(root, form, value)
                fitting += 1
            except Mismatch as mismatch:
                likely.append(mismatch)
    if fitting:
        return fitting
    if len(likely) == 1:
        # It is clear which one was meant, so what is wrong with it is what helps.
        raise likely[0]
    names = [name for name in map(_name_of, rule) if name]
    raise Mismatch(f"{described(value)} fits none of {', '.join(names) or 'the forms'}")


def _one_of(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    fitting = _any_of(root, schema, rule, value)
    if fitting > 1:
        raise Mismatch(f"fits {fitting} forms, wants to fit one")


def _may_be_meant(form: Any, value: Any) -> bool:
    """Whether nothing at the top of ``form`` says that ``value`` is of another one."""
    if not isinstance(form, dict):
        return True
    names = form.get("type", [])
    names = [names] if isinstance(names, str) else names
    if names and not any(TYPES[name](value) for name in names):
        return False
    if "const" in form and not _same(value, form["const"]):
        return False
    if "enum" in form and not any(_same(value, one) for one in form["enum"]):
        return False
    if not isinstance(value, dict):
        return True
    tags = {
        name: rule["const"]
        for name, rule in form.get("properties", {}).items()
        if isinstance(rule, dict) and "const" in rule
    }
    return all(name in value for name in form.get("required", [])) and all(
        name not in value or _same(value[name], tag) for name, tag in tags.items()
    )


def _name_of(form: Any) -> str | None:
    """What people call a form: its tag, its only field, its value."""
    if not isinstance(form, dict):
        return None
    if "const" in form or "enum" in form:
        return ", ".join(map(json.dumps, form.get("enum", [form.get("const")])))
    for rule in form.get("properties", {}).values():
        if isinstance(rule, dict) and "const" in rule:
            return json.dumps(rule["const"])
    if len(form.get("required", [])) == 1:
        return json.dumps(form["required"][0])
    return str(form.get("title") or form.get("type") or "") or None


def _not(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    try:
        _fits(root, rule, value)
    except Mismatch:
        return
    raise Mismatch(f"{described(value)}, which must not be")


def _bound(words: str, holds: Callable[[Any, Any], bool]) -> Callable[..., None]:
    def fits(root: Schema, schema: Any, rule: Any, value: Any) -> None:
        if not holds(value, rule):
            raise Mismatch(f"{value}, wants {words} {rule}")

    return fits


def _size(words: str, what: str, holds: Callable[[int, int], bool]) -> Callable[..., None]:
    def fits(root: Schema, schema: Any, rule: Any, value: Any) -> None:
        if not holds(len(value), rule):
            raise Mismatch(f"{len(value)} {what}, wants {words} {rule}")

    return fits


def _pattern(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    if re.search(rule, value) is None:
        raise Mismatch(f"{described(value)}, wants the pattern {rule}")


def _unique(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    seen = set()
    for item in value if rule else []:
        text = json.dumps(item, sort_keys=True)
        if text in seen:
            raise Mismatch(f"{described(item)} twice")
        seen.add(text)


def _contains(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    for item in value:
        try:
            return _fits(root, rule, item)
        except Mismatch:
            continue
    raise Mismatch("no item is as one has to be")


def _within(root: Schema, schema: Schema, value: Any, step: str) -> None:
    try:
        _fits(root, schema, value)
    except Mismatch as mismatch:
        raise mismatch.within(step) from None


def _items(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    first = len(schema.get("prefixItems", []))
    for at, item in enumerate(value[first:], first):
        _within(root, rule, item, f"[{at}]")


def _prefix_items(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    # Fewer items than schemas, or more, are fine: the shorter of the two ends it.
    for at, (item, below) in enumerate(zip(value, rule, strict=False)):
        _within(root, below, item, f"[{at}]")


def _required(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    for name in rule:
        if name not in value:
            raise Mismatch(f"missing field `{name}`")


def _properties(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    for name, below in rule.items():
        if name in value:
            _within(root, below, value[name], shown(name))


def _pattern_properties(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    for name, item in value.items():
        for pattern, below in rule.items():
            if re.search(pattern, name):
                _within(root, below, item, shown(name))


def _additional_properties(root: Schema, schema: Any, rule: Any, value: Any) -> None:
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, item in value.items():
        if name in named or any(re.search(pattern, name) for pattern in patterns):
            continue
        if rule is False:
            there = one_of(named, "there is ") or "there are none"
            raise Mismatch(f"unknown field `{shown(name)}`; {there}")
        _within(root, rule, item, shown(name))


def _anything(value: Any) -> bool:
    return True


_NUMBER, _STRING, _ARRAY, _OBJECT = (
    TYPES[name] for name in ("number", "string", "array", "object")
)

#: What a keyword is about, and what it demands.
_RULES: dict[str, tuple[Callable[[Any], bool], Callable[..., object]]] = {
    "type": (_anything, _type),
    "const": (_anything, _const),
    "enum": (_anything, _enum),
    "$ref": (_anything, _ref),
    "allOf": (_anything, _all_of),
    "anyOf": (_anything, _any_of),
    "oneOf": (_anything, _one_of),
    "not": (_anything, _not),
    "minimum": (_NUMBER, _bound("at least", lambda n, limit: n >= limit)),
    "maximum": (_NUMBER, _bound("at most", lambda n, limit: n <= limit)),
    "exclusiveMinimum": (_NUMBER, _bound("more than", lambda n, limit: n > limit)),
    "exclusiveMaximum": (_NUMBER, _bound("less than", lambda n, limit: n < limit)),
    "multipleOf": (_NUMBER, _bound("a multiple of", lambda n, step: n / step % 1 == 0)),
    "minLength": (_STRING, _size("at least", "characters", lambda n, limit: n >= limit)),
    "maxLength": (_STRING, _size("at most", "characters", lambda n, limit: n <= limit)),
    "pattern": (_STRING, _pattern),
    "minItems": (_ARRAY, _size("at least", "items", lambda n, limit: n >= limit)),
    "maxItems": (_ARRAY, _size("at most", "items", lambda n, limit: n <= limit)),
    "uniqueItems": (_ARRAY, _unique),
    "contains": (_ARRAY, _contains),
    "items": (_ARRAY, _items),
    "prefixItems": (_ARRAY, _prefix_items),
    "minProperties": (_OBJECT, _size("at least", "fields", lambda n, limit: n >= limit)),
    "maxProperties": (_OBJECT, _size("at most", "fields", lambda n, limit: n <= limit)),
    "required": (_OBJECT, _required),
    "properties": (_OBJECT, _properties),
    "patternProperties": (_OBJECT, _pattern_properties),
    "additionalProperties": (_OBJECT, _additional_properties),
}
