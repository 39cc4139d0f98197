// Text to bytes and back. The interpreter in a component has no TextEncoder.

/** Bytes that are turned into text at a time: arguments of a function have to fit on its stack. */
const STEP_BYTES = 4096;

/** `text` as UTF-8; a lone half of a surrogate pair becomes U+FFFD. */
export function encode(text) {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit >= 0x80) return encodeWide(text);
    bytes[at] = unit;
  }
  return bytes;
}

function encodeWide(text) {
  const bytes = new Uint8Array(text.length * 3);
  let size = 0;
  for (const character of text) {
    let point = character.codePointAt(0);
    if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x80) {
      bytes[size++] = point;
      continue;
    }
    const more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    bytes[size++] = [0xc0, 0xe0, 0xf0][more - 1] | (point >> (6 * more));
    for (let left = more - 1; left >= 0; left -= 1) {
      bytes[size++] = 0x80 | ((point >> (6 * left)) & 0x3f);
    }
  }
  return bytes.slice(0, size);
}

/** The text whose UTF-8 `bytes` are; throws a `RangeError` when they are not. */
export function decode(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += STEP_BYTES) {
    const step = bytes.subarray(at, at + STEP_BYTES);
    if (step.some((byte) => byte >= 0x80)) return text + decodeWide(bytes, at);
    text += String.fromCharCode.apply(null, step);
  }
  return text;
}

function decodeWide(bytes, start) {
  let text = "";
  for (let at = start; at < bytes.length; ) {
    const first = bytes[at];
    const more = first < 0x80 ? 0 : first < 0xc2 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    let point = more === 0 ? first : first & (0x3f >> more);
    for (let next = 1; next <= more; next += 1) {
      const byte = bytes[at + next];
      point = byte >> 6 === 2 ? (point << 6) | (byte & 0x3f) : -1;
      if (point < 0) break;
    }
    // Neither longer than needed, nor half of a surrogate pair, nor beyond Unicode.
    const least = [0, 0x80, 0x800, 0x10000][more] ?? Infinity;
    if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
      throw new RangeError(`no UTF-8 at byte ${at}`);
    }
    text += String.fromCodePoint(point);
    at += more + 1;
  }
  return text;
}

/** Bytes as they are, text as UTF-8. */
export function bytesOf(value) {
  if (typeof value === "string") return encode(value);
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`keys and values are Uint8Array or text, not ${typeof value}`);
}
