import assert from "node:assert/strict";
import { test } from "node:test";
import * as t from "althing";
import { Realm } from "althing/testing";

/** A contract with one call that gives back its arguments. */
const echo = (args) => new Realm(t.contract({ calls: { echo: t.method(args, (got) => got) } }));

function check(args, json, expected) {
  const output = () => t.fromUtf8(echo(args).callRaw("echo", t.utf8(json)));
  if (typeof expected === "string") {
    assert.equal(output(), expected, json);
  } else if (expected.includes) {
    assert.throws(output, (error) => error.message.includes(expected.includes), json);
  } else {
    assert.throws(output, { name: "ContractError", message: expected }, json);
  }
}

test("each type takes what it says and nothing else", () => {
  const cases = [
    [t.bool, "true", "1", "integer `1`, expected a boolean"],
    [t.text, '"é😀"', "null", "null, expected a string"],
    [t.number, "1.5", '"1"', 'string "1", expected a number'],
    [t.u8, "255", "256", "integer `256`, expected u8"],
    [t.i8, "-128", "-129", "integer `-129`, expected i8"],
    [t.u32, "4294967295", "1.5", "floating point `1.5`, expected u32"],
    [t.u64, "18446744073709551615", "18446744073709551616", "expected u64"],
    [t.i64, "-9223372036854775808", "9223372036854775808", "expected i64"],
    [t.integer, "123456789012345678901234567890", "1e400", "expected an integer"],
    [t.choice("a", "b"), '"a"', '"c"', 'string "c", expected `a` or `b`'],
    [t.nullable(t.u8), "null", "-1", "integer `-1`, expected u8"],
    [t.list(t.u8), "[1,2]", "[1,{}]", "`x[1]`: invalid type: map, expected u8"],
    [t.object({ a: t.u8 }), '{"a":1}', '{"a":[]}', "`x.a`: invalid type: sequence, expected u8"],
    [t.any, '[1,"s12345678901234567",{"k":null}]', "}", "no JSON"],
  ];
  for (const [type, good, bad, words] of cases) {
    check({ x: type }, `{"x":${good}}`, `{"x":${good}}`);
    check({ x: type }, `{"x":${bad}}`, { includes: words });
  }
});

test("a map keeps its keys apart from those of objects", () => {
  const realm = new Realm(
    t.contract({ calls: { size: t.method({ x: t.map(t.u8) }, ({ x }) => x.size) } }),
  );
  assert.equal(realm.call("size", { x: { constructor: 1, __proto__: null, a: 2 } }), 2);
});

test("arguments are refused by name", () => {
  const args = { a: t.u8, b: t.u8.or(2), c: t.text.or("") };
  check(args, '{"a":1}', '{"a":1,"b":2,"c":""}');
  check(args, "", /^args of echo: missing field `a`$/);
  check(args, '{"a":1,"d":1}', /^args of echo: unknown field `d`, expected one of `a`, `b`, `c`$/);
  check(args, '{"a":1,"toString":1}', /unknown field `toString`/);
  check({}, '{"a":1}', /^args of echo: unknown field `a`, there are none$/);
  check(args, "[1]", /^args of echo: invalid type: sequence, expected an object$/);
  check(args, '{"a":1} x', /^args of echo: no JSON$/);
  check({}, "", "{}");
  assert.throws(() => echo(args).callRaw("echo", Uint8Array.of(0xff)), /no UTF-8 at byte 0/);
});

test("large integers in texts and keys are left alone", () => {
  const json = '{"x":["i12345678901234567","\\"12345678901234567",{"12345678901234567":1}]}';
  check({ x: t.any }, json, json);
});

test("what is defined wrongly is told when it is defined", () => {
  assert.throws(() => t.method({ a: "text" }, () => 1), /`a` has no type/);
  assert.throws(() => t.method({}), /a function/);
  assert.throws(() => t.contract({ calls: { a: () => 1 } }), /a: is not made by/);
  assert.throws(() => t.contract({ call: {} }), /not call/);
});
