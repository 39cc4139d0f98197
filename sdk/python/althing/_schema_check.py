"""Whether a schema is one that can be checked: known when the class is defined."""

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from althing._args import Mismatch, described, one_of
from althing._schema import TYPES, Schema, referred

#: Keywords that say something to people and tools only.
_ANNOTATIONS = frozenset(
    "$schema $comment title description default examples deprecated readOnly writeOnly format"
    " contentEncoding".split()
)


def check_schema(schema: Any) -> None:
    """:class:`TypeError` when a part of ``schema`` is malformed, or cannot be checked."""
    try:
        # What is in it for people, or to compare with, is JSON too.
        json.dumps(schema, allow_nan=False)
        _known(schema, schema, set())
    except RecursionError:
        raise TypeError("the schema: nested too deep") from None
    # Patterns: their syntax, and a repetition of more than can be counted.
    except (Mismatch, TypeError, ValueError, re.error, OverflowError) as error:
        raise TypeError(f"the schema: {error}") from None


def _known(root: Schema, schema: Any, seen: set[str]) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise Mismatch(f"{described(schema)} is no schema")
    for keyword, rule in schema.items():
        if keyword in _FORMS:
            wanted, is_one = _FORMS[keyword]
            if not is_one(rule):
                raise Mismatch(f"`{keyword}`: {described(rule)}, wants {wanted}")
        elif keyword not in _ANNOTATIONS:
            raise Mismatch(f"`{keyword}` is not checked here; say it in the contract by hand")
        for below in _below(root, keyword, rule, seen):
            _known(root, below, seen)


def _below(root: Schema, keyword: str, rule: Any, seen: set[str]) -> Iterable[Any]:
    """The schemas in what a keyword says."""
    if keyword == "type":
        for name in [rule] if isinstance(rule, str) else rule:
            if name not in TYPES:
                raise Mismatch(f"there is no type `{name}`; {one_of(TYPES, 'there is ')}")
    for pattern in rule if keyword == "patternProperties" else [rule]:
        if keyword in ("pattern", "patternProperties"):
            re.compile(pattern)
    if keyword == "$ref" and rule not in seen:
        seen.add(rule)
        return [referred(root, rule)]
    if keyword in _BY_NAME:
        return list(rule.values())
    if keyword in _LISTS:
        return list(rule)
    return [rule] if keyword in _SINGLE else []


def _is_number(rule: Any) -> bool:
    try:
        return not isinstance(rule, bool) and math.isfinite(rule)
    except (TypeError, OverflowError):
        return False


def _is_size(rule: Any) -> bool:
    return isinstance(rule, int) and not isinstance(rule, bool) and rule >= 0


def _is_text(rule: Any) -> bool:
    return isinstance(rule, str)


def _is_list(rule: Any) -> bool:
    return isinstance(rule, list)


def _are_names(rule: Any) -> bool:
    return isinstance(rule, list) and all(map(_is_text, rule))


def _are_schemas_by_name(rule: Any) -> bool:
    return isinstance(rule, dict) and all(map(_is_text, rule))


_BY_NAME = ("properties", "patternProperties", "$defs")
_LISTS = ("oneOf", "anyOf", "allOf", "prefixItems")
_SINGLE = ("not", "items", "contains", "additionalProperties")
_SIZES = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

#: What a keyword says, in words, and whether it does.
_FORMS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(_BY_NAME, ("schemas by name", _are_schemas_by_name)),
    **dict.fromkeys(_LISTS, ("a list of schemas", lambda rule: _is_list(rule) and bool(rule))),
    **dict.fromkeys((*_SINGLE, "const"), ("anything", lambda _: True)),
    **dict.fromkeys(_SIZES, ("a whole number, not below 0", _is_size)),
    **dict.fromkeys(_BOUNDS, ("a number", _is_number)),
    **dict.fromkeys(("pattern", "$ref"), ("text", _is_text)),
    "type": ("a type, or a list of types", lambda rule: _is_text(rule) or (_are_names(rule) and bool(rule))),
    "required": ("a list of names", _are_names),
    "enum": ("a list", _is_list),
    "multipleOf": ("a number above 0", lambda rule: _is_number(rule) and rule > 0),
    "uniqueItems": ("true or false", lambda rule: isinstance(rule, bool)),
}
