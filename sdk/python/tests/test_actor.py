"""What an actor may rely on, on the stage, which keeps to the order of a realm."""

import unittest
from typing import Any

from althing import Actor, actor, ensure, log
from althing._schema import check
from althing._schema_check import check_schema
from althing.testing import Error, Kind, Letter, Sent, Stage


def form(name: str, rule: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: rule},
        "required": [name],
        "additionalProperties": False,
    }


class Notes(Actor):
    """Notes what it is told, and tells others. It logs which function runs."""

    message_schema = {
        "oneOf": [
            form("note", {"type": "string"}),
            form("tell", {"type": "array", "items": {"type": "string"}}),
            form("grow", {"type": "integer", "minimum": 0}),
            {"enum": ["fail", "crash", "spread", "big"]},
        ]
    }
    state_schema = {
        "type": "object",
        "properties": {
            "notes": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            "number": {"type": "number"},
        },
        "required": ["notes", "number"],
        "additionalProperties": False,
    }

    def init(self) -> Any:
        return {"number": 1.0, "notes": []}

    def handle(self, message: Any, state: Any) -> Any:
        log.info("handle")
        if message == "fail":
            raise Error("no")
        if message == "spread":
            actor.send("a", "spread")
        elif message == "crash":
            state["number"] /= 0
        elif message == "big":
            state["number"] = 2**53 + 1
        elif "note" in message:
            state["notes"].append(message["note"])
        elif "tell" in message:
            for to in message["tell"]:
                actor.send(to, {"note": "x"})
        else:
            state["number"] = message["grow"]
        return state

    def message_contract(self, message: Any, state: Any) -> None:
        log.info("message")
        full = "note" in message and len(state["notes"]) == 3
        ensure(not full, "there are three notes")

    def state_contract(self, state: Any) -> bool:
        log.info("state")
        return bool(state["number"] < 10)


class Newer(Notes):
    def migrate(self, state: Any, from_version: str) -> Any:
        ensure(from_version == "1", f"from version {from_version}")
        return {"notes": [], "number": 8 + len(state["notes"])}


class Turns(unittest.TestCase):
    def setUp(self) -> None:
        self.stage = Stage()
        for id in ("a", "b"):
            self.assertEqual(self.stage.spawn(id, Notes), {"notes": [], "number": 1})
        self.stage.logs.clear()

    def test_contracts_stand_before_and_behind_what_is_handled(self) -> None:
        state = self.stage.send("a", {"note": "x"})
        self.assertEqual(state, {"notes": ["x"], "number": 1})
        lines = ["message", "state", "handle", "state"]
        self.assertEqual(self.stage.logs, [("a", line) for line in lines])

    def test_what_is_refused_says_by_whom_and_changes_nothing(self) -> None:
        for text in ("1", "2", "3"):
            self.stage.send("a", {"note": text})
        before = self.stage.state("a")
        message = "message contract refused the message: "
        behind = "the state that `handle` returned"
        for sent, kind, text in [
            ({"note": "4"}, Kind.CONTRACT_VIOLATION, f"a: {message}there are three notes"),
            (
                {"note": 4},
                Kind.CONTRACT_VIOLATION,
                f"a: {message}`note`: integer `4`, wants string",
            ),
            (
                {"mote": 4},
                Kind.CONTRACT_VIOLATION,
                f'a: {message}map fits none of "note", "tell", "grow", '
                '"fail", "crash", "spread", "big"',
            ),
            (
                {"grow": 10},
                Kind.CONTRACT_VIOLATION,
                f"a: state contract refused {behind}: the contract returned False",
            ),
            ("fail", Kind.GUEST_FAILED, "a: handle failed; it logged: no"),
            (
                "crash",
                Kind.GUEST_FAILED,
                "a: handle failed; it logged: ZeroDivisionError: division by zero",
            ),
            (
                "big",
                Kind.GUEST_FAILED,
                f"a: {behind}: number {2**53 + 1}: no double is exactly that; write it as a string",
            ),
        ]:
            with self.subTest(sent=sent), self.assertRaises(Error) as caught:
                self.stage.send("a", sent)
            self.assertEqual((caught.exception.message, caught.exception.kind), (text, kind))
        self.assertEqual((self.stage.state("a"), self.stage.sent), (before, []))
        self.assertIn("in handle", next(line for _, line in self.stage.logs if "Trace" in line))
        with self.assertRaisesRegex(Error, "^c: there is no actor"):
            self.stage.send("c", {"note": "x"})

    def test_what_is_sent_comes_once_it_is_stored_and_what_cannot_is_a_letter(self) -> None:
        for text in ("1", "2"):
            self.stage.send("b", {"note": text})
        self.stage.send("a", {"tell": ["b", "b", "nobody", "a"]})
        self.assertEqual(self.stage.state("a")["notes"], ["x"])
        self.assertEqual(self.stage.state("b")["notes"], ["1", "2", "x"])
        self.assertEqual(self.stage.sent[0], Sent("a", "b", {"note": "x"}))
        refused = "b: message contract refused the message: there are three notes"
        self.assertEqual(
            self.stage.letters,
            [
                Letter("nobody", {"note": "x"}, "nobody: there is no actor of that id"),
                Letter("b", {"note": "x"}, refused),
            ],
        )

    def test_a_message_that_leads_to_itself_ends(self) -> None:
        self.stage.send("a", "spread")
        self.assertEqual((len(self.stage.sent), len(self.stage.letters)), (1025, 1))

    def test_actors_that_send_without_end_fail_the_test(self) -> None:
        class Endless(Actor):
            def init(self) -> Any:
                return None

            def handle(self, message: Any, state: Any) -> Any:
                actor.send("e", message)
                actor.send("e", message)

        self.stage.spawn("e", Endless)
        with self.assertRaisesRegex(RuntimeError, "^more than 10000 messages follow"):
            self.stage.send("e", 1)
        self.assertEqual(len(self.stage.sent), 2 * 10_001)
        # Of two that are sent one is handled meanwhile, until as many wait as may.
        self.assertEqual(len(self.stage.letters), len(self.stage.sent) - 10_000 - 1_024)
        self.assertEqual(self.stage.letters[0], Letter("e", 1, "e: 1024 messages wait"))

    def test_a_migration_is_checked_by_the_state_contract(self) -> None:
        self.stage.send("a", {"note": "x"})
        for text in ("x", "y"):
            self.stage.send("b", {"note": text})
        self.assertEqual(self.stage.migrate("a", Newer, "1"), {"notes": [], "number": 9})
        for version, words in [
            ("1", "^b: state contract refused the state that `migrate` returned"),
            ("2", "^b: migrate failed; it logged: from version 2$"),
        ]:
            with self.assertRaisesRegex(Error, words):
                self.stage.migrate("b", Newer, version)
        self.assertEqual(self.stage.state("b")["notes"], ["x", "y"])
        self.stage.migrate("b", Notes, "2")

    def test_json_is_that_of_a_realm(self) -> None:
        class Mirror(Actor):
            def init(self) -> Any:
                return None

            def handle(self, message: Any, state: Any) -> Any:
                return message

        self.stage.spawn("m", Mirror)
        deep: Any = 1
        for _ in range(64):
            deep = [deep]
        for value, words in [
            (2**53, ""),
            (-(2**53) - 2, ""),
            (2**60, "no double is exactly that"),
            (10**400, "no double is exactly that"),
            (10**5000, "digits"),
            (deep, ""),
            ([deep], "more than 64 levels"),
            ("x" * 65_536, "the limit is 65536"),
            ({1, 2}, "a set has no order"),
            (b"x", "JSON has no bytes"),
            ("\ud800", "message"),
        ]:
            if words:
                self.assertRaisesRegex(Error, words, self.stage.send, "m", value)
            else:
                self.assertEqual(self.stage.send("m", value), value)
        state = self.stage.send("m", {"b": [1.0, -0.0, 1e21], "a": 1.5})
        self.assertEqual(repr(state), "{'a': 1.5, 'b': [1, 0, 1e+21]}")

    def test_only_handle_sends(self) -> None:
        class Early(Actor):
            def init(self) -> Any:
                actor.send("a", 1)

        self.assertRaisesRegex(Error, "only while `handle` runs", self.stage.spawn, "e", Early)
        self.assertRaisesRegex(RuntimeError, "only `handle` of an actor sends", actor.send, "a", 1)

    def test_ids_are_those_of_a_realm(self) -> None:
        for id in ("", "/a", "a//b", "ä", "a b", "x" * 129):
            self.assertRaisesRegex(Error, "not an actor id", self.stage.spawn, id, Notes)
        self.assertRaisesRegex(Error, "there is an actor of that id", self.stage.spawn, "a", Notes)


class Schemas(unittest.TestCase):
    def test_every_keyword(self) -> None:
        for schema, good, bad, text in [
            ({"type": "integer"}, 1.0, 1.5, "floating point `1.5`, wants integer"),
            ({"type": "integer"}, 1, True, "boolean `true`, wants integer"),
            ({"type": ["string", "null"]}, None, 1, "integer `1`, wants string or null"),
            ({"const": 1}, 1.0, True, "boolean `true`, wants 1"),
            ({"enum": ["a", 2]}, 2, "b", 'string "b", wants `"a"` or `2`'),
            ({"minimum": 2}, 2, 1, "1, wants at least 2"),
            ({"maximum": 2}, 2.0, 2.5, "2.5, wants at most 2"),
            ({"exclusiveMinimum": 2}, 3, 2, "2, wants more than 2"),
            ({"exclusiveMaximum": 2}, 1, 2, "2, wants less than 2"),
            ({"multipleOf": 0.5}, 1.5, 0.7, "0.7, wants a multiple of 0.5"),
            ({"minLength": 2}, "éé", "é", "1 characters, wants at least 2"),
            ({"maxLength": 1}, "é", "ab", "2 characters, wants at most 1"),
            ({"pattern": "^a+$"}, "aa", "ab", 'string "ab", wants the pattern ^a+$'),
            ({"minItems": 1}, [0], [], "0 items, wants at least 1"),
            ({"maxItems": 1}, [0], [0, 0], "2 items, wants at most 1"),
            ({"uniqueItems": True}, [1, "1"], [1, 2, 1], "integer `1` twice"),
            ({"contains": {"const": 1}}, [2, 1], [2], "no item is as one has to be"),
            ({"items": {"type": "null"}}, [None], [None, 1], "`[1]`: integer `1`, wants null"),
            (
                {"prefixItems": [True, {"const": 1}], "items": False},
                [0],
                [0, 1, 2],
                "`[2]`: must not be there",
            ),
            ({"minProperties": 1}, {"a": 1}, {}, "0 fields, wants at least 1"),
            ({"maxProperties": 0}, {}, {"a": 1}, "1 fields, wants at most 0"),
            ({"required": ["a"]}, {"a": None}, {"b": 1}, "missing field `a`"),
            (
                {"properties": {"a": {"items": {"minimum": 1}}}, "additionalProperties": False},
                {"a": [1]},
                {"a": [1, 0]},
                "`a[1]`: 0, wants at least 1",
            ),
            ({"additionalProperties": False}, {}, {"b": 1}, "unknown field `b`; there are none"),
            (
                {"patternProperties": {"^n": {"minimum": 1}}, "additionalProperties": {"const": 0}},
                {"n": 1, "m": 0},
                {"n": 0},
                "`n`: 0, wants at least 1",
            ),
            ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, 2, 4, "4, wants at most 3"),
            ({"anyOf": [{"type": "null"}, {"const": 1}]}, 1, 2, "integer `2` fits none of null, 1"),
            ({"oneOf": [{"minimum": 1}, {"maximum": 3}]}, 5, 2, "fits 2 forms, wants to fit one"),
            ({"not": {"const": 1}}, 2, 1, "integer `1`, which must not be"),
            (
                {
                    "$ref": "#/$defs/L",
                    "$defs": {"L": {"items": {"$ref": "#/$defs/L"}, "maxItems": 1}},
                },
                [[[]]],
                [[[], []]],
                "`[0]`: 2 items, wants at most 1",
            ),
            ({"$ref": "#"}, None, 1, "nested too deep"),
        ]:
            with self.subTest(schema):
                check_schema(schema)
                if schema != {"$ref": "#"}:
                    check(schema, good)
                with self.assertRaises(Exception) as caught:
                    check(schema, bad)
                self.assertEqual(str(caught.exception), text)

    def test_what_cannot_be_checked_is_an_error_of_the_class(self) -> None:
        for below, words in [
            ({"propertyNames": {}}, "`propertyNames` is not checked here"),
            ({"pattern": "("}, "unterminated"),
            ({"$ref": "#/$defs/Nobody"}, "which is not there"),
            ({"$ref": "elsewhere"}, "which is not in it"),
            ({"type": "int"}, "there is no type `int`"),
            ({"type": []}, "wants a type, or a list of types"),
            (7, "is no schema"),
            ({"properties": [1]}, "`properties`: sequence, wants schemas by name"),
            ({"oneOf": []}, "`oneOf`: sequence, wants a list of schemas"),
            ({"items": "string"}, 'string "string" is no schema'),
            ({"minimum": "x"}, '`minimum`: string "x", wants a number'),
            ({"maximum": 10**400}, "`maximum`: huge integer, wants a number"),
            ({"multipleOf": 0}, "`multipleOf`: integer `0`, wants a number above 0"),
            ({"maxLength": -1}, "`maxLength`: integer `-1`, wants a whole number"),
            ({"required": "a"}, '`required`: string "a", wants a list of names'),
            ({"enum": "a"}, '`enum`: string "a", wants a list'),
            ({"const": {1}}, "set is not JSON"),
            ({"pattern": "a{99999999999}"}, "repetition number is too large"),
        ]:
            deep = {"oneOf": [True, {"properties": {"a": below}}]}
            for schema in (below, {"items": below}, deep):
                with self.subTest(schema), self.assertRaisesRegex(TypeError, words):
                    type("Odd", (Actor,), {"state_schema": schema})
        no_schema = {"$ref": "#/$defs", "$defs": {"mine": True}}
        self.assertRaisesRegex(TypeError, "`mine` is not checked here", check_schema, no_schema)
        endless: dict[str, Any] = {}
        endless["not"] = endless
        self.assertRaisesRegex(TypeError, "Circular", check_schema, endless)


class Events(unittest.TestCase):
    def event(self, **fields: Any) -> Any:
        message = {"event": {"program": "sys", "topic": "kv", "index": 7, **fields}}
        check(actor.EVENT, message)
        return message["event"]

    def test_what_became_of_a_key_cannot_be_mistaken(self) -> None:
        for data, more, value in [
            ({"value": ""}, {}, ""),
            ({"value_base64": "/w=="}, {}, b"\xff"),
            ({"value": None}, {}, actor.NoValue.DELETED),
            ({}, {"truncated": True}, actor.NoValue.TOO_LONG),
        ]:
            change = actor.kv(self.event(data={"key": "/a", **data}, **more))
            self.assertEqual(change, actor.Change("/a", value))
        change = actor.kv(self.event(data={"key_base64": "/w==", "value": "x"}))
        self.assertEqual(change, actor.Change(b"\xff", "x"))
        for forged in ({"key": "/a"}, {"value": "x"}, {"key": "/a", "value_base64": "x"}, [], None):
            self.assertIsNone(actor.kv(self.event(data=forged)))

    def test_only_events_of_keys_are_about_keys(self) -> None:
        data = {"key": "/a", "value": "x"}
        self.assertIsNone(actor.kv(self.event(program="book", data=data)))
        self.assertIsNone(actor.kv(self.event(topic="programs", data=data)))
        self.assertIsNone(actor.kv(self.event(truncated=True)))


if __name__ == "__main__":
    unittest.main()
