// Who calls, and when: the same on every node.

import { host } from "./host.js";

/** Who calls: the public key of who signs, or the id of another program; the other one is null. */
class Caller {
  constructor(key, program) {
    this.key = key;
    this.program = program;
    Object.freeze(this);
  }

  /** `key:` and the key in hex, or `program:` and the id. */
  toString() {
    if (this.program !== null) return `program:${this.program}`;
    return `key:${Array.from(this.key, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }
}

/**
 * Who called this program. Decide with this who may do what, and never with `author`: a program that
 * an author calls for one purpose could otherwise act in the author's name for another.
 */
export function caller() {
  const who = host().caller();
  return typeof who === "string" ? new Caller(null, who) : new Caller(who, null);
}

/** The public key of who stands at the beginning of a chain of calls. For records. */
export function author() {
  return host().author();
}

/** The index of the log entry; in a query, of the last one that the state holds. */
export function index() {
  return host().index();
}

/** The realm's time, in microseconds since the Unix epoch, UTC. Never runs backwards. */
export function timestampUs() {
  return host().timestampUs();
}

/** 32 bytes that no author could foresee, different for each instruction. Not a secret. */
export function seed() {
  return host().seed();
}

/**
 * A generator that starts from `seed`: a function that gives numbers from 0 to below 1. Make one per
 * call, and use it on. `Math.random` starts at the same point in every call.
 */
export function random() {
  const bytes = seed();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // sfc32: four words of state, the last of them a counter.
  let [a, b, c, count] = [0, 4, 8, 12].map((at) => view.getUint32(at, true) | 0);
  const next = () => {
    const sum = (a + b + count) | 0;
    count = (count + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  return () => (next() * 2 ** 21 + (next() >>> 11)) / 2 ** 53;
}

/** The id under which this program runs. */
export function program() {
  return host().program();
}
