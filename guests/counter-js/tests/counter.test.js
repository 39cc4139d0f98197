import assert from "node:assert/strict";
import { test } from "node:test";
import { Realm } from "althing/testing";
import Counter from "../app.js";

test("counters count apart", () => {
  const realm = new Realm(Counter);
  assert.equal(realm.query("value"), 0);
  assert.equal(realm.call("increment"), 1);
  assert.equal(realm.call("increment", { by: 4 }), 5);
  assert.equal(realm.call("increment", { name: "b", by: 2 }), 2);
  assert.deepEqual(realm.query("list", { limit: 9 }), [["b", 2], ["default", 5]]);
  assert.deepEqual(realm.query("list", { after: "b" }), [["default", 5]]);
  assert.equal(realm.call("reset"), 0);
  assert.equal(realm.query("value"), 0);
});

test("a value has eight bytes in little-endian order", () => {
  const realm = new Realm(Counter);
  assert.equal(realm.call("increment", { by: 2n ** 64n - 2n }), 2n ** 64n - 2n);
  const value = Uint8Array.of(0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
  assert.deepEqual(realm.db.get("default"), value);
});

test("what is refused changes nothing", () => {
  const realm = new Realm(Counter);
  realm.call("increment", { by: 2n ** 64n - 1n });
  const before = realm.db.entries();
  for (const [words, method, args] of [
    [/^counter default: 18446744073709551615 \+ 1 is too large$/, "increment", {}],
    [/^name of the counter: 0 bytes, wants 1 to 256$/, "increment", { name: "" }],
    [/^args of increment: unknown field `buy`/, "increment", { buy: 1 }],
    [/invalid value: integer `-1`, expected u64$/, "increment", { by: -1 }],
    [/^unknown method `decrement`; there is `increment` or `reset`$/, "decrement", {}],
  ]) {
    assert.throws(() => realm.call(method, args), { name: "ContractError", message: words });
  }
  assert.deepEqual(realm.db.entries(), before);
});
