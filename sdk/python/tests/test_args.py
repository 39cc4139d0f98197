"""What JSON becomes of the types of a method."""

import dataclasses
import enum
import json
import unittest
from collections.abc import Callable
from typing import Any, Literal, Optional, Union

from althing import I8, I64, U8, U64, Contract, call
from althing.testing import Error, Realm


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Transfer:
    to: str
    amount: U64 = 1
    tags: list[str] = dataclasses.field(default_factory=list)


def echo(hint: Any) -> type[Contract]:
    """A contract with one call that gives back its argument ``x`` of a type."""

    def echo(self: Contract, x: Any) -> Any:
        return x.value if isinstance(x, enum.Enum) else x

    echo.__annotations__["x"] = hint
    return type("Echo", (Contract,), {"echo": call(echo)})


class Types(unittest.TestCase):
    def test_each_takes_what_it_says_and_nothing_else(self) -> None:
        for hint, good, bad, words in [
            (bool, "true", "1", "integer `1`, expected a boolean"),
            (int, "-5", "true", "boolean `true`, expected an integer"),
            (int, str(2**200), "1.0", "floating point `1.0`, expected an integer"),
            (float, "1.5", '"1"', 'string "1", expected a number'),
            (str, '"é😀"', "null", "null, expected a string"),
            (None, "null", "0", "integer `0`, expected null"),
            (U8, "255", "256", "invalid value: integer `256`, expected u8"),
            (I8, "-128", "-129", "integer `-129`, expected i8"),
            (U64, str(2**64 - 1), str(2**64), "expected u64"),
            (I64, str(-(2**63)), '"1"', 'invalid type: string "1", expected i64'),
            (Optional[U8], "null", "-1", "integer `-1`, expected u8"),
            (U8 | None, "7", "{}", "map, expected u8"),
            (Union[str, int], "7", "[]", "sequence, expected a string or an integer"),
            (Literal["a", 1, "b"], "1", "true", "boolean `true`, expected one of `a`, `1`, `b`"),
            (Colour, '"blue"', '"green"', 'string "green", expected `red` or `blue`'),
            (list, "[1,null]", "{}", "map, expected a sequence"),
            (list[U8], "[1,2]", "[1,{}]", "`x[1]`: invalid type: map, expected u8"),
            (tuple[str, U8], '["a",1]', '["a"]', "invalid length 1, expected a sequence of 2"),
            (dict, '{"a":null}', "[]", "sequence, expected an object"),
            (dict[str, U8], '{"a":1}', '{"a":""}', '`x.a`: invalid type: string ""'),
            (Transfer, '{"to":"a","amount":2,"tags":["t"]}', "{}", "`x`: missing field `to`"),
            (Transfer, '{"to":"","amount":1,"tags":[]}', '{"to":"","a":1}', "unknown field `a`"),
            (list[Transfer], "[]", '[{"to":1}]', "`x[0].to`: invalid type: integer `1`"),
            (Any, '[1,{"a":2.5}]', "NaN", "NaN is no number"),
        ]:
            with self.subTest(hint=hint, good=good, bad=bad):
                realm = Realm(echo(hint))
                got = realm.call_raw("echo", b'{"x":%s}' % good.encode())
                self.assertEqual(got.decode(), good)
                with self.assertRaises(Error) as caught:
                    realm.call_raw("echo", b'{"x":%s}' % bad.encode())
                self.assertIn(words, str(caught.exception))

    def test_defaults_fill_what_is_left_out(self) -> None:
        got = Realm(echo(Transfer)).call_raw("echo", b'{"x":{"to":"a"}}')
        self.assertEqual(json.loads(got), {"to": "a", "amount": 1, "tags": []})


class Arguments(unittest.TestCase):
    def test_they_are_refused_by_name(self) -> None:
        class Three(Contract):
            @call
            def three(self, a: U8, b: int = 2, *, c: str = "") -> Any:
                return [a, b, c]

            @call
            def none(self) -> None: ...

        realm = Realm(Three)
        self.assertEqual(realm.call("three", a=1), [1, 2, ""])
        self.assertEqual(realm.call_raw("none"), b"null")
        for method, args, words in [
            ("three", b"", "missing field `a`"),
            ("three", b'{"a":1,"d":1}', "unknown field `d`, expected one of `a`, `b`, `c`"),
            ("three", b'{"self":1,"a":1}', "unknown field `self`"),
            ("three", b'{"a":1,"a":2}', "duplicate field `a`"),
            ("three", b"[1]", "invalid type: sequence, expected an object"),
            ("three", b'{"a":1} x', "no JSON: Extra data: line 1 column 9 (char 8)"),
            ("three", b"\xff", "no UTF-8 at byte 0"),
            ("three", b'{"a":' + b"1" * 5000 + b"}", "no JSON that can be read"),
            ("none", b'{"a":1}', "unknown field `a`, there are none"),
        ]:
            with self.subTest(args=args[:20]), self.assertRaises(Error) as caught:
                realm.call_raw(method, args)
            self.assertTrue(str(caught.exception).startswith(f"args of {method}: {words}"))


class Definitions(unittest.TestCase):
    def check(self, function: Callable[..., Any], words: str) -> None:
        with self.assertRaisesRegex(TypeError, words):
            call(function)

    def test_what_json_cannot_give_is_told_when_it_is_defined(self) -> None:
        def untyped(self, x): ...
        def many(self, *x: int): ...
        def rest(self, **x: int): ...
        def keys(self, x: dict[int, str]): ...
        def raw(self, x: bytes): ...

        self.check(untyped, "untyped: `x` has no type")
        self.check(many, "cannot be given by name")
        self.check(rest, "cannot be given by name")
        self.check(keys, "`x`: .* is no type that JSON can hold")
        self.check(raw, "`x`: .*bytes.* is no type that JSON can hold")
        with self.assertRaisesRegex(TypeError, "above a function"):
            call("name")  # type: ignore[type-var]

    def test_a_method_may_be_called_like_a_type(self) -> None:
        class Shadow(Contract):
            @call
            def list(self, x: list[int]) -> int:
                return len(x)

        self.assertEqual(Realm(Shadow).call("list", x=[1, 2]), 2)


if __name__ == "__main__":
    unittest.main()
