import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";
import { any, contract, context, ContractError, crypto, db, events, log, method, programs } from "althing";
import { Realm } from "althing/testing";

/** A realm whose contract has these calls and queries, without arguments. */
function realm(calls, queries = {}, migrate) {
  const methods = (all) =>
    Object.fromEntries(Object.entries(all).map(([name, run]) => [name, method({}, run)]));
  return new Realm(contract({ calls: methods(calls), queries: methods(queries), migrate }));
}

const refused = (message, kind = "guest-failed") => ({ name: "ContractError", message, kind });

test("a failed call leaves nothing but its logs", () => {
  const world = realm({
    fail() {
      db.put("a", "b");
      events.emit("topic", { a: 1 });
      log.info("tried");
      throw new ContractError("no");
    },
  });
  assert.throws(() => world.call("fail"), refused("no"));
  assert.equal(world.db.size, 0);
  assert.deepEqual(world.events, []);
  assert.deepEqual(world.logs, [{ level: "info", text: "tried" }]);
});

test("any other error is name and message, its stack is logged", () => {
  const world = realm({
    defect: () => undefined.x,
    text() {
      throw "text";
    },
    long() {
      throw new Error("x".repeat(10_000));
    },
    later: async () => 1,
  });
  assert.throws(() => world.call("defect"), /^ContractError: TypeError: /);
  assert.match(world.logs[0].text, /^TypeError.*\n.*at .*defect/s);
  assert.throws(() => world.call("text"), refused("thrown: text"));
  assert.throws(() => world.call("long"), (error) => error.message.length < 600);
  assert.throws(() => world.call("later"), refused("TypeError: a call cannot wait for a promise"));
});

test("replies are JSON or bytes", () => {
  const cycle = [];
  cycle.push(cycle);
  const cases = [
    [undefined, "null"],
    [{ b: 1, a: [1n << 64n, undefined], c: undefined }, '{"b":1,"a":[18446744073709551616,null]}'],
    [Uint8Array.of(0x61), "a"],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    [NaN, /reply: JSON has no NaN/],
    [new Map(), /reply: JSON has no Map/],
    [() => 1, /reply: JSON has no function/],
    [cycle, /reply: an object holds itself/],
  ];
  for (const [value, expected] of cases) {
    const output = () => Buffer.from(realm({ it: () => value }).callRaw("it")).toString();
    if (typeof expected === "string") assert.equal(output(), expected);
    else assert.throws(output, expected);
  }
});

test("a query cannot change anything", () => {
  const writes = {
    put: () => db.put("a", "b"),
    delete: () => db.delete("a"),
    deletePrefix: () => db.deletePrefix(""),
    emit: () => events.emit("a"),
    call: () => programs.call("other", "a"),
  };
  const world = realm({}, writes);
  for (const name of Object.keys(writes)) {
    assert.throws(() => world.query(name), /a query cannot change anything/, name);
  }
  assert.throws(() => world.query("get"), /unknown method `get`; there is one of `put`, /);
});

test("keys and values have limits", () => {
  const world = realm({
    empty: () => db.get(""),
    key: () => db.put("k".repeat(4097), ""),
    value: () => db.put("k", new Uint8Array((1 << 20) + 1)),
    most: () => db.put("k".repeat(4096), new Uint8Array(1 << 20)),
    number: () => db.put(1, ""),
  });
  assert.throws(() => world.call("empty"), /key: empty/);
  assert.throws(() => world.call("key"), /key: 4097 bytes, the limit is 4096/);
  assert.throws(() => world.call("value"), /value: 1048577 bytes/);
  assert.throws(() => world.call("number"), /TypeError: keys and values/);
  assert.equal(world.call("most"), null);
});

test("scans go both ways, over as many pages as it takes", () => {
  let range;
  const world = realm({}, { scan: () => Array.from(db.scan(...range), ([key]) => Buffer.from(key) + "") });
  const names = Array.from({ length: 200 }, (_, at) => `p${String(at).padStart(3, "0")}`);
  for (const name of [...names, "a", "q"]) world.db.set(name, "");
  const check = (asked, expected) => {
    range = asked;
    assert.deepEqual(world.query("scan"), expected, JSON.stringify(asked));
  };
  check([], ["a", ...names, "q"]);
  check(["p"], names);
  check(["p", { reverse: true }], names.toReversed?.() ?? [...names].reverse());
  check(["p", { limit: 130 }], names.slice(0, 130));
  check(["p", { limit: 2, reverse: true }], ["p199", "p198"]);
  check(["p", { after: "p010", before: "p013" }], ["p011", "p012"]);
  check(["p", { after: "p010", before: "p013", reverse: true }], ["p012", "p011"]);
  check(["p", { limit: 0 }], []);
  check(["z"], []);
});

test("a prefix is deleted in order", () => {
  const world = realm({ clear: () => db.deletePrefix("p", 2) });
  for (const key of ["p3", "p1", "o", "p2"]) world.db.set(key, "");
  assert.deepEqual(world.call("clear"), { keys: 2, more: true });
  assert.deepEqual(world.call("clear"), { keys: 1, more: false });
  assert.equal(world.db.size, 1);
});

test("the context is that of the call", () => {
  const world = realm({
    it: () => [`${context.caller()}`, context.index(), context.timestampUs(), context.program()],
    random: () => context.random()(),
  });
  world.context.author = new Uint8Array(32);
  assert.deepEqual(world.call("it"), [`key:${"00".repeat(32)}`, 1, 1_700_000_000_000_000, "test"]);
  const first = world.call("random");
  assert.ok(first >= 0 && first < 1);
  assert.equal(world.call("random"), first);
  world.context.seed = new Uint8Array(32).fill(3);
  assert.notEqual(world.call("random"), first);
  assert.throws(() => context.index(), /no call is running/);
});

test("programs call programs", () => {
  const bank = contract({
    calls: {
      take: method({ fail: any.or(false) }, ({ fail }) => {
        db.put("by", String(context.caller()));
        events.emit("taken");
        if (fail) throw new ContractError("empty");
        return 1;
      }),
      back: method({}, () => programs.call("test", "pay")),
    },
    queries: { by: method({}, () => Buffer.from(db.get("by") ?? []).toString()) },
  });
  const world = realm(
    {
      pay: () => [programs.call("bank", "take"), programs.query("bank", "by")],
      caught() {
        db.put("mine", "stays");
        try {
          return programs.call("bank", "take", { fail: true });
        } catch (error) {
          return [error.message, error instanceof ContractError];
        }
      },
      circle: () => programs.call("bank", "back"),
      nobody: () => programs.call("nobody", "a"),
    },
    {},
    () => programs.call("bank", "take"),
  );
  world.install("bank", bank);
  assert.deepEqual(world.call("caught"), ["empty", true]);
  assert.equal(world.dbOf("bank").size + world.events.length, 0);
  assert.equal(world.db.size, 1);
  assert.deepEqual(world.call("pay"), [1, "program:test"]);
  assert.equal(world.events[0].program, "bank");
  assert.throws(() => world.call("circle"), /waits for a call of its own/);
  assert.throws(() => world.call("nobody"), /there is none/);
  assert.throws(() => world.migrate("1"), /a migration can query programs, not call/);
});

test("a migration gets the version before", () => {
  const world = realm({}, {}, (from) => db.put("from", from));
  world.migrate("0.1.0");
  assert.equal(Buffer.from(world.db.get("from")).toString(), "0.1.0");
});

test("hashes and signatures are those of the node", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const key = Buffer.from(publicKey.export({ format: "jwk" }).x, "base64url");
  const signature = sign(null, Buffer.from("hi"), privateKey);
  const hex = (bytes) => Buffer.from(bytes).toString("hex");
  // BLAKE3's own test vectors: bytes that count up to 250, and again.
  const counted = (size) => Uint8Array.from({ length: size }, (_, at) => at % 251);
  const world = realm({
    sha: () => hex(crypto.sha256("abc")),
    empty: () => hex(crypto.blake3("")),
    block: () => hex(crypto.blake3(counted(1024))),
    tree: () => hex(crypto.blake3(counted(3073))),
    good: () => crypto.verifySignature(key, "hi", signature),
    bad: () => crypto.verifySignature(key, "ho", signature),
    short: () => crypto.verifySignature(key, "hi", signature.subarray(1)),
  });
  assert.match(world.call("sha"), /^ba7816bf8f01cfea/);
  assert.match(world.call("empty"), /^af1349b9f5f9a1a6/);
  assert.match(world.call("block"), /^42214739f095a406/);
  assert.match(world.call("tree"), /^7124b49501012f81/);
  assert.deepEqual(["good", "bad", "short"].map((name) => world.call(name)), [true, false, false]);
});
