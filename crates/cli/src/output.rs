//! What goes to stdout: for people aligned and calm, with `--json` one document, or a line per item of a stream.

use crate::exit::{Outcome, Stop};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::{
    borrow::Cow,
    fmt::Display,
    io::{IsTerminal as _, Write as _, stdout},
    time::{Duration, UNIX_EPOCH},
};

/// Where a command prints, and for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads.
    pub(crate) fn json(self) -> bool {
        self.json
    }

    /// The one answer of a command: `document` for a program, the text of `human` for people.
    pub(crate) fn show<T: Serialize>(
        self,
        document: &T,
        human: impl FnOnce() -> String,
    ) -> Outcome {
        let text = if self.json { pretty(document)? } else { human() };
        self.line(&text)
    }

    /// One item of a stream.
    pub(crate) fn item<T: Serialize>(self, item: &T, human: impl FnOnce() -> String) -> Outcome {
        let text = if self.json { compact(item)? } else { human() };
        self.line(&text)
    }

    /// A line for people; a program does not get it.
    pub(crate) fn say(self, text: impl Display) -> Outcome {
        if self.json { Ok(()) } else { self.line(&text.to_string()) }
    }

    /// Bytes as they are. A terminal gets a line end after them.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Outcome {
        let mut out = stdout().lock();
        let end = out.is_terminal() && !bytes.ends_with(b"\n");
        out.write_all(bytes)
            .and_then(|()| if end { out.write_all(b"\n") } else { Ok(()) })
            .and_then(|()| out.flush())
            .map_err(|e| Stop::of_stdout(&e))
    }

    fn line(self, text: &str) -> Outcome {
        if text.is_empty() {
            return Ok(());
        }
        let mut out = stdout().lock();
        writeln!(out, "{}", text.trim_end_matches('\n'))
            .and_then(|()| out.flush())
            .map_err(|e| Stop::of_stdout(&e))
    }
}

fn pretty<T: Serialize>(document: &T) -> Result<String, Stop> {
    serde_json::to_string_pretty(document).map_err(|e| unprintable(&e))
}

fn compact<T: Serialize>(item: &T) -> Result<String, Stop> {
    serde_json::to_string(item).map_err(|e| unprintable(&e))
}

fn unprintable(error: &serde_json::Error) -> Stop {
    Stop::Failed(althing_protocol::Error::internal(format!(
        "output: not printable as JSON: {error}"
    )))
}

/// Rows under their titles, aligned, without borders. `none` is said when there are no rows.
pub(crate) fn table(
    titles: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
    none: &str,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(titles);
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell).into_owned()));
    }
    if table.is_empty() {
        return none.to_owned();
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    trimmed(&table.to_string())
}

/// Names and values below each other, aligned.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = pairs.iter().map(|(name, value)| format!("{name:width$}  {}", printable(value)));
    trimmed(&lines.collect::<Vec<_>>().join("\n"))
}

fn trimmed(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// `text` without control characters: what the realm stores must not steer a terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().flat_map(|c| {
        let escaped = c.is_control().then(|| c.escape_default());
        let plain = (!c.is_control()).then_some(c);
        escaped.into_iter().flatten().chain(plain)
    });
    Cow::Owned(shown.collect())
}

/// A value on one line: as text where it is text, cut to `width` characters.
pub(crate) fn preview(bytes: &[u8], width: usize) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return format!("({} bytes)", bytes.len());
    };
    let shown = printable(text);
    if shown.chars().count() <= width {
        return shown.into_owned();
    }
    let mut cut: String = shown.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The beginning of a long hexadecimal name: enough to tell keys and hashes apart in a table.
pub(crate) fn short(hex: &str) -> &str {
    hex.get(..12).unwrap_or(hex)
}

/// Microseconds since the epoch as a time in UTC.
pub(crate) fn time(us: u64) -> String {
    // Past the year 9999 the format has no words.
    const LATEST_US: u64 = 253_402_300_799_000_000;
    if us > LATEST_US {
        return format!("{us} us");
    }
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_micros(us)).to_string()
}

/// A number with its thousands apart.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push(' ');
        }
        shown.push(digit);
    }
    shown
}

/// So many of something, whose plural ends in an s.
pub(crate) fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", number(n), if n == 1 { "" } else { "s" })
}

/// A size in the unit that fits it.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_blanks() {
        let rows = [vec!["a".into(), "1".into()], vec!["long".into(), "x\u{1b}[2J".into()]];
        assert_eq!(
            table(&["NAME", "VALUE"], rows, "none"),
            "NAME  VALUE\na     1\nlong  x\\u{1b}[2J"
        );
        assert_eq!(table(&["NAME"], Vec::<Vec<String>>::new(), "no rows"), "no rows");
    }

    #[test]
    fn fields_are_aligned() {
        let pairs = [("realm", "x".to_owned()), ("id", "y".to_owned())];
        assert_eq!(fields(&pairs), "realm  x\nid     y");
    }

    #[test]
    fn previews_fit_and_say_what_is_no_text() {
        assert_eq!(preview(b"abc", 3), "abc");
        assert_eq!(preview("abäd".as_bytes(), 3), "ab…");
        assert_eq!(preview(&[0xff, 0], 9), "(2 bytes)");
    }

    #[test]
    fn times_and_numbers() {
        assert_eq!(time(1_500_000), "1970-01-01T00:00:01.500Z");
        assert_eq!(time(u64::MAX), format!("{} us", u64::MAX));
        assert_eq!([number(7), number(1_234), number(1_234_567)], ["7", "1 234", "1 234 567"]);
    }
}
