// An ordered map from bytes to bytes, as small as it can be.

import { bytesOf } from "../utf8.js";

/** Keys are kept as texts of one character per byte: they compare as bytes do. */
const packed = (bytes) => Buffer.from(bytes).toString("latin1");
const unpacked = (text) => new Uint8Array(Buffer.from(text, "latin1"));

/** The keyspace of a program. Keys and values may be given as text, which is then UTF-8. */
export class Keyspace {
  #values = new Map();

  /** The value of `key`, or null. */
  get(key) {
    return this.#values.get(packed(bytesOf(key)))?.slice() ?? null;
  }

  /** Writes `key`. */
  set(key, value) {
    this.#values.set(packed(bytesOf(key)), bytesOf(value).slice());
  }

  /** Deletes `key`; true when it was there. */
  delete(key) {
    return this.#values.delete(packed(bytesOf(key)));
  }

  /** How many keys there are. */
  get size() {
    return this.#values.size;
  }

  /** The keys that start with `prefix`, after and before others, in order. */
  keys({ prefix = new Uint8Array(), after = null, before = null } = {}) {
    const [start, low, high] = [prefix, after, before].map((key) => key && packed(key));
    const inside = (key) =>
      key.startsWith(start) && (low === null || key > low) && (high === null || key < high);
    return [...this.#values.keys()].filter(inside).sort().map(unpacked);
  }

  /** Pairs of key and value, in order. */
  entries() {
    return this.keys().map((key) => [key, this.get(key)]);
  }

  /** A function that makes everything as it is now. */
  saved() {
    const values = new Map(this.#values);
    return () => {
      this.#values = values;
    };
  }
}
