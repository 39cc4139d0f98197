// JSON whose integers are exact: beyond 2^53 they are BigInt, in both directions.

import { ContractError } from "./errors.js";
import { encode } from "./utf8.js";

const LONG = /\d{16}/;
// A text that is a value (not a key, which a colon follows), or a number.
const TOKENS = /"(?:[^"\\]|\\.)*"(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** The value of a JSON text. Of a key that is there twice, the last counts. */
export function parse(text) {
  const value = JSON.parse(text);
  // Only a text with that many digits in a row can hold such an integer.
  return LONG.test(text) ? JSON.parse(marked(text), unmark) : value;
}

/** The same JSON, each text in it with a mark before it, and large integers as texts with another. */
function marked(text) {
  return text.replace(TOKENS, (token, colon) => {
    if (colon !== undefined) return token;
    if (token[0] === '"') return `"s${token.slice(1)}`;
    return /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"i${token}"` : token;
  });
}

function unmark(_key, value) {
  if (typeof value !== "string") return value;
  return value[0] === "i" ? BigInt(value.slice(1)) : value.slice(1);
}

/** `value` as JSON, unless it is bytes. `what` names it in the error. */
export function encoded(value, what) {
  if (value instanceof Uint8Array) return value;
  try {
    return encode(written(value, new Set()) ?? "null");
  } catch (error) {
    if (error instanceof Unwritable) throw new ContractError(`${what}: ${error.message}`);
    throw error;
  }
}

class Unwritable extends Error {}

/** As `JSON.stringify`, but what has no JSON is an error and not something else. */
function written(value, above) {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "boolean":
    case "bigint":
      return String(value);
    case "number":
      if (Number.isFinite(value)) return JSON.stringify(value);
      throw new Unwritable(`JSON has no ${value}`);
    case "undefined":
      return undefined;
    case "object":
      return value === null ? "null" : writtenObject(value, above);
    default:
      throw new Unwritable(`JSON has no ${typeof value}`);
  }
}

function writtenObject(value, above) {
  if (typeof value.toJSON === "function") return written(value.toJSON(), above);
  const prototype = Object.getPrototypeOf(value);
  const plain = prototype === null || prototype === Object.prototype || Array.isArray(value);
  if (!plain) throw new Unwritable(`JSON has no ${value.constructor?.name ?? "such object"}`);
  if (above.has(value)) throw new Unwritable("an object holds itself");
  above.add(value);
  let text;
  if (Array.isArray(value)) {
    text = `[${value.map((item) => written(item, above) ?? "null").join(",")}]`;
  } else {
    const fields = [];
    for (const [name, inner] of Object.entries(value)) {
      const json = written(inner, above);
      if (json !== undefined) fields.push(`${JSON.stringify(name)}:${json}`);
    }
    text = `{${fields.join(",")}}`;
  }
  above.delete(value);
  return text;
}
