// A guest book: everybody signs, nobody removes what others wrote.
//
// What is stored:
//   count            how many entries were ever written
//   entry/NUMBER     an entry, as JSON; the number has ten digits, so that keys sort like numbers

import { context, contract, db, ensure, events, fromUtf8, method, text, u32 } from "althing";

/** Characters of an entry. */
const TEXT_CHARS_MAX = 280;
/** Entries on a page. */
const PAGE_MAX = 100;

export default contract({
  // What changes the book.
  calls: {
    /** Writes an entry; its number. */
    sign: method({ text }, ({ text }) => {
      const trimmed = text.trim();
      const chars = [...trimmed].length;
      ensure(
        chars >= 1 && chars <= TEXT_CHARS_MAX,
        `text: ${chars} characters, wants 1 to ${TEXT_CHARS_MAX}`,
      );
      const number = count() + 1;
      const entry = {
        number,
        // key:HEX, or program:ID when a program signed.
        by: String(context.caller()),
        text: trimmed,
        time_us: context.timestampUs(),
      };
      db.putJson("count", number);
      db.putJson(key(number), entry);
      events.emit("guestbook.signed", entry);
      return number;
    }),

    /** Removes an entry. Only who wrote it may. */
    remove: method({ number: u32 }, ({ number }) => {
      const entry = db.getJson(key(number));
      ensure(entry, `there is no entry ${number}`);
      // Decide with the caller, never with the author: a program that the author called for another
      // purpose could act in the author's name otherwise.
      const caller = String(context.caller());
      ensure(entry.by === caller, `entry ${number} was written by ${entry.by}, not by ${caller}`);
      db.delete(key(number));
      return null;
    }),
  },

  // What only reads it.
  queries: {
    /** Entries in order, after the number `after`: at most `limit`, and at most 100. */
    list: method({ after: u32.or(0), limit: u32.or(PAGE_MAX) }, ({ after, limit }) => {
      const range = { after: key(after), limit: Math.min(limit, PAGE_MAX) };
      return Array.from(db.scan("entry/", range), ([, value]) => JSON.parse(fromUtf8(value)));
    }),

    /** How many entries were ever written. */
    count: method({}, count),
  },
});

function count() {
  return db.getJson("count", 0);
}

function key(number) {
  return `entry/${String(number).padStart(10, "0")}`;
}
