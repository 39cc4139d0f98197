import assert from "node:assert/strict";
import { test } from "node:test";
import { fromUtf8, utf8 } from "althing";

test("texts are what Node makes of them", () => {
  const long = "a".repeat(4095) + "é".repeat(3000) + "b";
  for (const text of ["", "a", "é", "€", "😀", "\ud800x", "\u{10ffff}\0", long]) {
    const bytes = new TextEncoder().encode(text);
    assert.deepEqual(utf8(text), bytes);
    assert.equal(fromUtf8(bytes), new TextDecoder().decode(bytes));
  }
});

test("what is no text is refused wherever Node refuses it", () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const accepted = (decode, bytes) => {
    try {
      return decode(bytes);
    } catch {
      return null;
    }
  };
  const edges = [0, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0];
  edges.push(0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff);
  for (const a of edges) {
    for (const b of edges) {
      for (const c of edges) {
        for (const bytes of [[a], [a, b], [a, b, c], [a, b, c, 0x80], [a, b, 0x80, c]]) {
          const given = Uint8Array.from(bytes);
          const expected = accepted((of) => strict.decode(of), given);
          assert.equal(accepted(fromUtf8, given), expected, bytes.join());
        }
      }
    }
  }
});
