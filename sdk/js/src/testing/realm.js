// The realm, and the host of the calls in it.

import { createHash, createPublicKey, verify } from "node:crypto";
import * as contracts from "../contract.js";
import { ContractError, Refused } from "../errors.js";
import { enter } from "../host.js";
import { encoded, parse } from "../json.js";
import { decode, encode } from "../utf8.js";
import { blake3 } from "./blake3.js";
import { Keyspace } from "./keyspace.js";

const KEY_BYTES_MAX = 4 << 10;
const VALUE_BYTES_MAX = 1 << 20;
const SCAN_PAIRS_MAX = 1_000;
const DELETE_KEYS_MAX = 10_000;
const TOPIC_BYTES_MAX = 256;
const EVENTS_MAX = 256;
const CALL_DEPTH_MAX = 8;

/** A realm in which `contract` is the program `program`. */
export class Realm {
  /** Who calls, and when: what the next call sees. An instruction moves `index` on by one. */
  context = {
    author: new Uint8Array(32).fill(1),
    index: 0,
    timestampUs: 1_700_000_000_000_000,
    seed: new Uint8Array(32).fill(2),
  };
  /** All events so far: `{ topic, data, program }`. */
  events = [];
  /** All lines so far: `{ level, text }`. */
  logs = [];
  /** The programs by id, for the host: contract and keyspace of each. */
  programs = new Map();
  #program;

  constructor(contract, program = "test") {
    this.#program = program;
    this.install(program, contract);
  }

  /** The keyspace of the program. */
  get db() {
    return this.dbOf(this.#program);
  }

  /** The keyspace of any program. */
  dbOf(program) {
    return this.programs.get(program).db;
  }

  /** Puts another program into the realm, for the contract to call; again: another version. */
  install(program, contract) {
    if (!contracts.kindOf(contract).isContract) throw new TypeError(`${program}: is no contract`);
    const db = this.programs.get(program)?.db ?? new Keyspace();
    this.programs.set(program, { contract, db });
  }

  /**
   * Runs an instruction, with JSON in and out. When it fails, a `ContractError` is thrown, whose cause
   * is what the contract threw, and nothing but the logs has changed.
   */
  call(method, args = {}) {
    return parse(decode(this.callRaw(method, encoded(args, "args"))));
  }

  /** Asks a query, with JSON in and out. */
  query(method, args = {}) {
    return parse(decode(this.queryRaw(method, encoded(args, "args"))));
  }

  /** As `call`, with bytes in and out. */
  callRaw(method, args = new Uint8Array()) {
    this.context.index += 1;
    return this.#frame({ readOnly: false }).run("apply", method, args);
  }

  /** As `query`, with bytes in and out. */
  queryRaw(method, args = new Uint8Array()) {
    return this.#frame({ readOnly: true }).run("query", method, args);
  }

  /** Tells the contract that it takes over, as when it is activated. */
  migrate(fromVersion) {
    this.context.index += 1;
    this.#frame({ readOnly: false, mayCall: false }).migrate(fromVersion);
  }

  #frame(rules) {
    return new Frame(this, this.#program, this.context.author, { mayCall: true, ...rules }, []);
  }
}

/** A call: the host of the program that runs in it. */
class Frame {
  #realm;
  #program;
  #caller;
  #rules;
  #above;
  #emitted = 0;

  constructor(realm, program, caller, rules, above) {
    this.#realm = realm;
    this.#program = program;
    this.#caller = caller;
    this.#rules = rules;
    this.#above = above;
  }

  run(side, method, args) {
    return this.#undoneIfRefused((contract) => contracts.run(contract, side, method, args));
  }

  migrate(fromVersion) {
    this.#undoneIfRefused((contract) => contracts.migrate(contract, fromVersion));
  }

  #undoneIfRefused(run) {
    const undo = [...this.#realm.programs.values()].map(({ db }) => db.saved());
    const emitted = this.#realm.events.length;
    const outer = enter(this);
    try {
      return run(this.#realm.programs.get(this.#program).contract);
    } catch (error) {
      for (const one of undo) one();
      this.#realm.events.length = emitted;
      if (!(error instanceof Refused)) throw error;
      const refusal = new ContractError(error.message);
      refusal.cause = error.cause;
      throw refusal;
    } finally {
      enter(outer);
    }
  }

  get #db() {
    return this.#realm.dbOf(this.#program);
  }

  #checkWrites(what) {
    if (this.#rules.readOnly) {
      const text = "a query cannot change anything; do it in `apply`, by an instruction";
      throw new ContractError(`${what}: ${text}`, "denied");
    }
  }

  dbGet(key) {
    checkKey(key);
    return this.#db.get(key);
  }

  dbPut(key, value) {
    this.#checkWrites("db.put");
    checkKey(key);
    check("value", value, VALUE_BYTES_MAX);
    this.#db.set(key, value);
  }

  dbDelete(key) {
    this.#checkWrites("db.delete");
    checkKey(key);
    return this.#db.delete(key);
  }

  dbScan(range, order, limit) {
    check("prefix", range.prefix, KEY_BYTES_MAX);
    const keys = this.#db.keys(range);
    if (order === "descending") keys.reverse();
    const page = keys.slice(0, Math.min(limit, SCAN_PAIRS_MAX));
    const pairs = page.map((key) => ({ key, value: this.#db.get(key) }));
    return { pairs, more: keys.length > page.length };
  }

  dbDeletePrefix(prefix, limit) {
    this.#checkWrites("db.delete-prefix");
    check("prefix", prefix, KEY_BYTES_MAX);
    const keys = this.#db.keys({ prefix });
    const deleted = keys.slice(0, Math.min(limit, DELETE_KEYS_MAX));
    for (const key of deleted) this.#db.delete(key);
    return { keys: deleted.length, more: keys.length > deleted.length };
  }

  caller() {
    return this.#caller;
  }

  author() {
    return this.#realm.context.author;
  }

  index() {
    return this.#realm.context.index;
  }

  timestampUs() {
    return this.#realm.context.timestampUs;
  }

  seed() {
    return this.#realm.context.seed;
  }

  program() {
    return this.#program;
  }

  emit(topic, data) {
    this.#checkWrites("events.emit");
    check("topic", encode(topic), TOPIC_BYTES_MAX);
    if (this.#emitted === EVENTS_MAX) {
      throw new ContractError(`events: a call emits at most ${EVENTS_MAX}`, "exhausted");
    }
    this.#emitted += 1;
    this.#realm.events.push({ topic, data, program: this.#program });
  }

  log(level, text) {
    this.#realm.logs.push({ level, text });
  }

  hash(algorithm, data) {
    if (algorithm === "blake3") return blake3(data);
    return new Uint8Array(createHash("sha256").update(data).digest());
  }

  verifySignature(key, message, signature) {
    if (key.length !== 32 || signature.length !== 64) return false;
    const x = Buffer.from(key).toString("base64url");
    const jwk = { kty: "OKP", crv: "Ed25519", x };
    return verify(null, message, createPublicKey({ key: jwk, format: "jwk" }), signature);
  }

  programsCall(program, method, args) {
    this.#checkWrites("programs.call");
    if (!this.#rules.mayCall) {
      const text = "programs.call: a migration can query programs, not call";
      throw new ContractError(text, "denied");
    }
    return this.#below(program, false).run("apply", method, args);
  }

  programsQuery(program, method, args) {
    return this.#below(program, true).run("query", method, args);
  }

  #below(program, readOnly) {
    const running = [...this.#above, this.#program];
    const refuse = (why, kind) => new ContractError(`program ${program}: ${why}`, kind);
    if (!this.#realm.programs.has(program)) throw refuse("there is none", "not-found");
    if (running.includes(program)) throw refuse("waits for a call of its own", "conflict");
    if (running.length > CALL_DEPTH_MAX) {
      throw refuse(`calls nest ${CALL_DEPTH_MAX} deep`, "exhausted");
    }
    const rules = { ...this.#rules, readOnly };
    return new Frame(this.#realm, program, this.#program, rules, running);
  }
}

function checkKey(key) {
  if (key.length === 0) {
    throw new ContractError("key: empty; a key has at least one byte", "invalid");
  }
  check("key", key, KEY_BYTES_MAX);
}

function check(what, data, bytesMax) {
  if (data.length > bytesMax) {
    throw new ContractError(`${what}: ${data.length} bytes, the limit is ${bytesMax}`, "invalid");
  }
}
