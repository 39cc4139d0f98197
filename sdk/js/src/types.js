// Types of arguments: from JSON to what a method gets.

/** Characters of a wrong value that are shown. */
const SHOWN_CHARS_MAX = 64;

/** A value is not what its type says. */
export class Mismatch extends Error {
  constructor(text, path = "") {
    super(path ? `\`${path}\`: ${text}` : text);
    this.text = text;
    this.path = path;
  }

  /** The same, seen from the value that holds this one. */
  within(step) {
    const dot = this.path && !this.path.startsWith("[") ? "." : "";
    return new Mismatch(this.text, `${step}${dot}${this.path}`);
  }
}

/** A type: turns a value of JSON into one of it. */
class Type {
  constructor(expected, decode) {
    this.expected = expected;
    this.decode = decode;
  }

  /** The same, for an argument that may be left out: then it is `value`. */
  or(value) {
    const type = new Type(this.expected, this.decode);
    type.fallback = { value };
    return type;
  }
}

function plain(expected, fits) {
  return new Type(expected, (value) => {
    if (!fits(value)) throw unexpected(value, expected);
    return value;
  });
}

/** Anything that JSON can hold; integers beyond 2^53 are BigInt. */
export const any = plain("anything", () => true);
/** true or false. */
export const bool = plain("a boolean", (value) => typeof value === "boolean");
/** Text. */
export const text = plain("a string", (value) => typeof value === "string");
/** A number. */
export const number = new Type("a number", (value) => {
  const found = typeof value === "bigint" ? Number(value) : value;
  if (!Number.isFinite(found)) throw unexpected(value, "a number");
  return found;
});
/** An integer of any size, as BigInt. */
export const integer = new Type("an integer", (value) => whole(value, "an integer"));

/** Integers in 8 to 32 bits, as numbers. */
export const u8 = between("u8", 0n, 0xffn, Number);
export const u16 = between("u16", 0n, 0xffffn, Number);
export const u32 = between("u32", 0n, 0xffff_ffffn, Number);
export const i8 = between("i8", -0x80n, 0x7fn, Number);
export const i16 = between("i16", -0x8000n, 0x7fffn, Number);
export const i32 = between("i32", -0x8000_0000n, 0x7fff_ffffn, Number);
/** Integers in 64 bits, as BigInt. */
export const u64 = between("u64", 0n, (1n << 64n) - 1n, BigInt);
export const i64 = between("i64", -(1n << 63n), (1n << 63n) - 1n, BigInt);

function between(name, low, high, convert) {
  return new Type(name, (value) => {
    const found = whole(value, name);
    if (found < low || found > high) {
      throw new Mismatch(`invalid value: ${described(value)}, expected ${name}`);
    }
    return convert(found);
  });
}

function whole(value, expected) {
  if (typeof value === "bigint") return value;
  // Beyond that a number that was written with an exponent is not exact.
  if (Number.isSafeInteger(value)) return BigInt(value);
  throw unexpected(value, expected);
}

/** One of these texts. */
export function choice(...texts) {
  const expected = oneOf(texts, "");
  return new Type(expected, (value) => {
    if (texts.includes(value)) return value;
    throw new Mismatch(`invalid value: ${described(value)}, expected ${expected}`);
  });
}

/** The type, or null. */
export function nullable(type) {
  return new Type(type.expected, (value) => (value === null ? null : type.decode(value)));
}

/** An array of the type. */
export function list(type) {
  return new Type("a sequence", (value) => {
    if (!Array.isArray(value)) throw unexpected(value, "a sequence");
    return value.map((item, at) => inside(`[${at}]`, () => type.decode(item)));
  });
}

/** A `Map` from text to the type. */
export function map(type) {
  return new Type("an object", (value) => {
    if (!isObject(value)) throw unexpected(value, "an object");
    const pair = ([name, item]) => [name, inside(shown(name), () => type.decode(item))];
    return new Map(Object.entries(value).map(pair));
  });
}

/** An object with exactly these fields. */
export function object(fields) {
  for (const [name, type] of Object.entries(fields)) {
    if (!(type instanceof Type)) throw new TypeError(`\`${name}\` has no type; \`any\` takes all`);
  }
  const names = Object.keys(fields);
  return new Type("an object", (value) => {
    if (!isObject(value)) throw unexpected(value, "an object");
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(fields, name)) {
        const expected = oneOf(names, "expected ") || "there are none";
        throw new Mismatch(`unknown field \`${shown(name)}\`, ${expected}`);
      }
    }
    const decoded = {};
    for (const name of names) {
      const type = fields[name];
      if (Object.hasOwn(value, name)) {
        decoded[name] = inside(name, () => type.decode(value[name]));
      } else if (type.fallback) {
        decoded[name] = type.fallback.value;
      } else {
        throw new Mismatch(`missing field \`${name}\``);
      }
    }
    return decoded;
  });
}

function inside(step, decode) {
  try {
    return decode();
  } catch (error) {
    throw error instanceof Mismatch ? error.within(step) : error;
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unexpected(value, expected) {
  return new Mismatch(`invalid type: ${described(value)}, expected ${expected}`);
}

/** What a value of JSON is, in words. */
function described(value) {
  if (value === null) return "null";
  switch (typeof value) {
    case "boolean":
      return `boolean \`${value}\``;
    case "bigint":
      return value.toString().length <= 80 ? `integer \`${value}\`` : "huge integer";
    case "number":
      return `${Number.isSafeInteger(value) ? "integer" : "floating point"} \`${value}\``;
    case "string":
      return `string "${shown(value)}"`;
    default:
      return Array.isArray(value) ? "sequence" : "map";
  }
}

/** `name`, cut when it is long. */
export function shown(name) {
  return name.length <= SHOWN_CHARS_MAX ? name : `${name.slice(0, SHOWN_CHARS_MAX)}...`;
}

/** A choice in words: "`a`", "`a` or `b`", "one of `a`, `b`, `c`"; nothing for none. */
export function oneOf(names, before) {
  const quoted = names.map((name) => `\`${name}\``);
  if (quoted.length === 0) return "";
  if (quoted.length <= 2) return before + quoted.join(" or ");
  return `${before}one of ${quoted.join(", ")}`;
}
