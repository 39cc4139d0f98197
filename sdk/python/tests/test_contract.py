"""What a contract may do, and what becomes of it when it fails."""

import dataclasses
import unittest
from collections.abc import Callable
from typing import Any

from althing import Contract, Kind, call, context, crypto, db, ensure, events, log, programs, query
from althing.testing import Error, Event, Line, Realm, SigningKey


def realm(*calls: Callable[[], Any], queries: tuple[Callable[[], Any], ...] = ()) -> Realm:
    """A realm whose contract has these functions as methods without arguments."""
    members: dict[str, Any] = {}
    for mark, functions in ((call, calls), (query, queries)):
        for function in functions:
            members[function.__name__] = mark(_method(function))
    return Realm(type("Made", (Contract,), members))


def _method(function: Callable[[], Any]) -> Callable[..., Any]:
    def method(self: Contract) -> Any:
        return function()

    return method


def it(function: Callable[[], Any]) -> Any:
    """What a contract's method gives that does only this."""

    def it() -> Any:
        return function()

    return realm(it).call("it")


class Failing(unittest.TestCase):
    def test_nothing_is_left_but_the_logs(self) -> None:
        def fail() -> None:
            db.put("a", "b")
            events.emit("topic", {"a": 1})
            log.info("tried")
            raise Error("no")

        world = realm(fail)
        held = world.db
        with self.assertRaisesRegex(Error, "^no$"):
            world.call("fail")
        self.assertEqual((held, world.events, world.logs), ({}, [], [Line("info", "tried")]))

    def test_any_other_exception_is_type_and_message(self) -> None:
        class Odd(Exception):
            def __str__(self) -> str:
                raise ValueError

        for raised, text in [
            (ValueError("bad"), "ValueError: bad"),
            (KeyError("x"), "KeyError: 'x'"),
            (RuntimeError(f"{object()}"), "RuntimeError: <object object>"),
            (RuntimeError(), "RuntimeError"),
            (FileNotFoundError(2, "No such file", "/home/me/x"), "FileNotFoundError: No such file"),
            (SystemExit(3), "SystemExit: 3"),
            (KeyboardInterrupt(), "KeyboardInterrupt"),
            (Odd(), "Odd"),
            (ValueError("x" * 1000), f"ValueError: {'x' * 512}..."),
        ]:

            def fail() -> None:
                raise raised

            with self.subTest(text), self.assertRaises(Error) as caught:
                realm(fail).call("fail")
            self.assertEqual(
                (str(caught.exception), caught.exception.kind), (text, Kind.GUEST_FAILED)
            )
            self.assertIs(caught.exception.__cause__, raised)

    def test_the_traceback_is_logged_from_the_contract_on(self) -> None:
        def deep(left: int) -> int:
            return deep(left - 1) if left else 1 // 0

        def fail() -> None:
            deep(100)

        world = realm(fail)
        with self.assertRaisesRegex(Error, "^ZeroDivisionError: "):
            world.call("fail")
        [line] = world.logs
        self.assertEqual(line.level, "error")
        self.assertIn("in deep", line.text)
        self.assertNotIn("althing/_contract.py", line.text)
        self.assertLess(len(line.text), 4096)

    def test_recursion_without_end_is_an_exception(self) -> None:
        def fail() -> None:
            fail()

        with self.assertRaisesRegex(Error, "^RecursionError: "):
            realm(fail).call("fail")

    def test_a_refusal_of_the_host_may_be_caught(self) -> None:
        def caught() -> str:
            try:
                db.put("", "x")
            except Error as error:
                return error.kind.value
            return "none"

        self.assertEqual(realm(caught).call("caught"), "invalid")

    def test_unknown_methods_are_told_what_there_is(self) -> None:
        world = realm(_one, _two, queries=(_three,))
        for asked, words in [
            (lambda: world.call("_three"), "^unknown method `_three`; there is `_one` or `_two`$"),
            (lambda: world.query("_one"), "^unknown method `_one`; there is `_three`$"),
            (lambda: Realm(Contract).call("a"), "^unknown method `a`; there are none$"),
        ]:
            with self.subTest(words), self.assertRaisesRegex(Error, words):
                asked()


def _one() -> None: ...
def _two() -> None: ...
def _three() -> None: ...


class Replies(unittest.TestCase):
    def test_are_json_or_bytes(self) -> None:
        @dataclasses.dataclass
        class Point:
            x: int
            y: tuple[int, ...]

        cycle: list[Any] = []
        cycle.append(cycle)
        for value, expected in [
            (None, b"null"),
            (
                {"b": 1, "a": [2**70, 1.5, "é"]},
                '{"b":1,"a":[1180591620717411303424,1.5,"é"]}'.encode(),
            ),
            (Point(1, (2, 3)), b'{"x":1,"y":[2,3]}'),
            (b"\x00raw", b"\x00raw"),
            ({1, 2}, "^reply: a set has no order that is the same everywhere"),
            ([b"x"], "^reply: JSON has no bytes"),
            (float("nan"), "^reply: Out of range float values"),
            (object(), "^reply: JSON has no object$"),
            (cycle, "^reply: Circular reference detected$"),
            ("\ud800", "^reply: "),
        ]:

            def reply() -> Any:
                return value

            with self.subTest(value=repr(value)[:30]):
                if isinstance(expected, bytes):
                    self.assertEqual(realm(reply).call_raw("reply"), expected)
                else:
                    self.assertRaisesRegex(Error, expected, realm(reply).call_raw, "reply")


class Keyspace(unittest.TestCase):
    def test_a_query_cannot_change_anything(self) -> None:
        for what in [
            lambda: db.put("a", "b"),
            lambda: db.delete("a"),
            lambda: db.delete_prefix(""),
            lambda: events.emit("a"),
            lambda: programs.call("other", "a"),
        ]:

            def write() -> Any:
                return what()

            with self.assertRaisesRegex(Error, "a query cannot change anything"):
                realm(queries=(write,)).query("write")

    def test_keys_and_values_have_limits(self) -> None:
        for what, words in [
            (lambda: db.get(""), "key: empty"),
            (lambda: db.put("k" * 4097, ""), "key: 4097 bytes, the limit is 4096"),
            (lambda: db.put("k", bytes((1 << 20) + 1)), "value: 1048577 bytes"),
            (lambda: db.put(1, ""), "TypeError: keys and values are bytes or str, not int"),
        ]:
            with self.subTest(words), self.assertRaisesRegex(Error, words):
                it(what)
        it(lambda: db.put("k" * 4096, bytes(1 << 20)))

    def test_json_goes_in_and_out(self) -> None:
        def both() -> Any:
            db.put_json("k", {"b": [2**70], "a": None})
            return [db.get_json("k"), db.get_json("none"), db.get_json("none", 7)]

        world = realm(both)
        self.assertEqual(world.call("both"), [{"b": [2**70], "a": None}, None, 7])
        self.assertEqual(world.db[b"k"], b'{"b":[1180591620717411303424],"a":null}')

        def bad() -> Any:
            db.put("k", "{")
            return db.get_json("k")

        with self.assertRaisesRegex(Error, "^value of k: "):
            realm(bad).call("bad")

    def test_scans_go_both_ways_over_as_many_pages_as_it_takes(self) -> None:
        names = [f"p{at:03}" for at in range(200)]
        for kwargs, expected in [
            ({}, ["a", *names, "q"]),
            ({"prefix": "p"}, names),
            ({"prefix": "p", "reverse": True}, names[::-1]),
            ({"prefix": "p", "limit": 130}, names[:130]),
            ({"prefix": "p", "limit": 2, "reverse": True}, ["p199", "p198"]),
            ({"prefix": "p", "after": "p010", "before": "p013"}, ["p011", "p012"]),
            ({"after": b"p010", "before": b"p013", "reverse": True}, ["p012", "p011"]),
            ({"prefix": "p", "limit": 0}, []),
            ({"prefix": "z"}, []),
        ]:

            def scan() -> Any:
                return [key.decode() for key, _ in db.scan(**kwargs)]

            with self.subTest(**kwargs):
                world = realm(queries=(scan,))
                world.db.update({name.encode(): b"" for name in [*names, "a", "q"]})
                self.assertEqual(world.query("scan"), expected)

    def test_a_prefix_is_deleted_in_order(self) -> None:
        def clear() -> Any:
            deleted = db.delete_prefix("p", 2)
            return [deleted.keys, deleted.more]

        world = realm(clear)
        world.db.update({b"p3": b"", b"p1": b"", b"o": b"", b"p2": b""})
        self.assertEqual(world.call("clear"), [2, True])
        self.assertEqual(set(world.db), {b"p3", b"o"})
        self.assertEqual(world.call("clear"), [1, False])


class Surroundings(unittest.TestCase):
    def test_the_context_is_that_of_the_call(self) -> None:
        def all_() -> Any:
            return [
                str(context.caller()),
                context.index(),
                context.timestamp_us(),
                context.program(),
            ]

        world = realm(all_)
        world.context.author = bytes(32)
        got = world.call("all_")
        self.assertEqual(got, [f"key:{'00' * 32}", 1, 1_700_000_000_000_000, "test"])

    def test_chance_comes_from_the_seed(self) -> None:
        def draw() -> Any:
            return context.random().random()

        world = realm(draw)
        first = world.call("draw")
        self.assertEqual(world.call("draw"), first)
        world.context.seed = bytes(32)
        self.assertNotEqual(world.call("draw"), first)

    def test_outside_of_a_call_there_is_nothing(self) -> None:
        for outside in (lambda: db.get("a"), context.index, lambda: log.info("a")):
            self.assertRaisesRegex(RuntimeError, "no call is running", outside)

    def test_events_are_json_or_bytes_and_limited(self) -> None:
        def emit() -> None:
            events.emit("a", {"x": 1})
            events.emit("b", b"\x00")
            events.emit("c")

        world = realm(emit)
        world.call("emit")
        expected = [Event("a", b'{"x":1}'), Event("b", b"\x00"), Event("c", b"null")]
        self.assertEqual(world.events, expected)
        self.assertEqual(world.events[0].json(), {"x": 1})
        with self.assertRaisesRegex(Error, "at most 256"):
            it(lambda: [events.emit("a") for _ in range(257)])
        with self.assertRaisesRegex(Error, "topic: 257 bytes"):
            it(lambda: events.emit("t" * 257))

    def test_hashes_and_signatures_are_those_of_the_node(self) -> None:
        # Of RFC 8032, the second test vector.
        key = SigningKey(
            bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
        )
        signature = key.sign(b"\x72")
        self.assertEqual(key.public.hex()[:16], "3d4017c3e843895a")
        self.assertEqual(signature.hex()[:16], "92a009a9f0d4cab8")
        # BLAKE3's own test vectors: bytes that count up to 250, and again.
        counted = bytes(range(251)) * 13
        for what, expected in [
            (lambda: crypto.sha256(b"abc").hex()[:16], "ba7816bf8f01cfea"),
            (lambda: crypto.blake3(b"").hex()[:16], "af1349b9f5f9a1a6"),
            (lambda: crypto.blake3(counted[:1024]).hex()[:16], "42214739f095a406"),
            (lambda: crypto.blake3(counted[:3073]).hex()[:16], "7124b49501012f81"),
            (lambda: crypto.verify_signature(key.public, b"\x72", signature), True),
            (lambda: crypto.verify_signature(key.public, b"\x73", signature), False),
            (lambda: crypto.verify_signature(key.public, b"\x72", signature[1:]), False),
            (lambda: crypto.verify_signature(b"\x02" + bytes(31), b"", signature), False),
        ]:
            self.assertEqual(it(what), expected)


class Bank(Contract):
    @call
    def take(self, fail: bool = False) -> int:
        db.put("by", str(context.caller()))
        events.emit("taken")
        ensure(not fail, "empty")
        return 1

    @call
    def back(self) -> Any:
        return programs.call("test", "pay")

    @query
    def by(self) -> str:
        return (db.get("by") or b"").decode()


class Calls(unittest.TestCase):
    def setUp(self) -> None:
        def pay() -> Any:
            return [programs.call("bank", "take"), programs.query("bank", "by")]

        def caught() -> Any:
            db.put("mine", "stays")
            try:
                return programs.call("bank", "take", fail=True)
            except Error as error:
                return error.message

        def circle() -> Any:
            return programs.call("bank", "back")

        def nobody() -> Any:
            return programs.call("nobody", "a")

        self.world = realm(pay, caught, circle, nobody)
        self.world.install("bank", Bank)

    def test_a_program_sees_who_calls(self) -> None:
        self.assertEqual(self.world.call("pay"), [1, "program:test"])
        self.assertEqual(self.world.events, [Event("taken", b"null", "bank")])

    def test_what_fails_below_is_undone_below(self) -> None:
        self.assertEqual(self.world.call("caught"), "empty")
        self.assertEqual((self.world.db_of("bank"), self.world.events), ({}, []))
        self.assertEqual(self.world.db, {b"mine": b"stays"})

    def test_nobody_waits_for_a_call_of_its_own(self) -> None:
        self.assertRaisesRegex(Error, "waits for a call of its own", self.world.call, "circle")
        self.assertRaisesRegex(Error, "there is none", self.world.call, "nobody")

    def test_eight_calls_may_be_nested(self) -> None:
        class Link(Contract):
            @call
            def down(self) -> int:
                own = int(context.program())
                return 1 + (programs.call(str(own + 1), "down") if own < deepest else 0)

        world = Realm(Link, "0")
        for at in range(1, 10):
            world.install(str(at), Link)
        deepest = 8
        self.assertEqual(world.call("down"), 9)
        deepest = 9
        self.assertRaisesRegex(Error, "nest 8 deep", world.call, "down")


class Migrations(unittest.TestCase):
    def test_get_the_version_before(self) -> None:
        class Migrating(Contract):
            def migrate(self, from_version: str) -> None:
                db.put("from", from_version)
                ensure(from_version != "0", "too old")

        world = Realm(Migrating)
        world.migrate("1")
        self.assertEqual(world.db, {b"from": b"1"})
        self.assertRaisesRegex(Error, "too old", world.migrate, "0")
        self.assertEqual(world.db, {b"from": b"1"})

    def test_may_query_programs_but_not_call_them(self) -> None:
        class Migrating(Contract):
            def migrate(self, from_version: str) -> None:
                db.put("by", programs.query("bank", "by"))
                programs.call("bank", "take")

        world = Realm(Migrating)
        world.install("bank", Bank)
        self.assertRaisesRegex(Error, "can query programs, not call", world.migrate, "1")


if __name__ == "__main__":
    unittest.main()
