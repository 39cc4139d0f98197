// Named counters: the contract of `guests/counter` again, in JavaScript.
//
// A counter is a key with eight bytes, its value in little-endian order.

import {
  ContractError,
  contract,
  db,
  ensure,
  fromUtf8,
  method,
  nullable,
  text,
  u32,
  u64,
  utf8,
} from "althing";

/** Bytes of a counter's name. */
const NAME_BYTES_MAX = 256;
/** Counters on one page of `list`. */
const LIST_MAX = 500;

const name = text.or("default");

export default contract({
  calls: {
    /** Adds `by` to the counter `name`; its new value. */
    increment: method({ name, by: u64.or(1n) }, ({ name, by }) => {
      check(name);
      const old = valueOf(name);
      const sum = old + by;
      ensure(sum < 1n << 64n, `counter ${name}: ${old} + ${by} is too large`);
      db.put(name, encode(sum));
      return sum;
    }),

    /** Sets the counter `name` to zero and forgets it. */
    reset: method({ name }, ({ name }) => {
      check(name);
      db.delete(name);
      return 0;
    }),
  },

  queries: {
    /** The value of the counter `name`; zero when nobody ever incremented it. */
    value: method({ name }, ({ name }) => {
      check(name);
      return valueOf(name);
    }),

    /** Counters in the order of their names, as pairs of name and value, after a name. */
    list: method({ after: nullable(text).or(null), limit: u32.or(LIST_MAX) }, ({ after, limit }) =>
      Array.from(db.scan("", { after, limit: Math.min(limit, LIST_MAX) }), ([key, value]) => [
        textOf(key),
        decode(value),
      ]),
    ),
  },
});

function check(name) {
  const size = utf8(name).length;
  ensure(
    size > 0 && size <= NAME_BYTES_MAX,
    `name of the counter: ${size} bytes, wants 1 to ${NAME_BYTES_MAX}`,
  );
}

function valueOf(name) {
  const value = db.get(name);
  return value === null ? 0n : decode(value);
}

function encode(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, value, true);
  return new Uint8Array(view.buffer);
}

function decode(value) {
  ensure(value.length === 8, "a counter in the state has not eight bytes");
  return new DataView(value.buffer, value.byteOffset, value.length).getBigUint64(0, true);
}

function textOf(key) {
  try {
    return fromUtf8(key);
  } catch {
    throw new ContractError("a counter in the state has a name that is no text");
  }
}
