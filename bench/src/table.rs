//! The table: what was measured, and how it compares.

use crate::load::Sample;
use std::{fmt::Write as _, time::Duration};

/// A line of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Its section.
    letter: char,
    what: String,
    measured: String,
    p50: Option<Duration>,
    p99: Option<Duration>,
    /// Where the time goes.
    goes: String,
    limit: Option<Limit>,
}

/// What a line is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    text: String,
    /// Measured by limit.
    ratio: f64,
    /// Whether the aim is met, where there is one.
    is_met: Option<bool>,
}

impl Limit {
    /// The aim is at least `limit`.
    pub(crate) fn at_least(text: impl Into<String>, measured: f64, limit: f64) -> Self {
        let ratio = measured / limit;
        Self { text: text.into(), ratio, is_met: Some(ratio >= 1.0) }
    }

    /// The aim is at most `limit`.
    pub(crate) fn at_most(text: impl Into<String>, measured: f64, limit: f64) -> Self {
        let ratio = measured / limit;
        Self { text: text.into(), ratio, is_met: Some(ratio <= 1.0) }
    }

    /// There is no aim, only something to compare with.
    pub(crate) fn beside(text: impl Into<String>, measured: f64, other: f64) -> Self {
        Self { text: text.into(), ratio: measured / other, is_met: None }
    }
}

impl Row {
    pub(crate) fn new(letter: char, what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { letter, what: what.into(), measured: measured.into(), ..Self::default() }
    }

    /// A line of a load: its rate and its latencies.
    pub(crate) fn load(letter: char, what: impl Into<String>, sample: &Sample) -> Self {
        Self::new(letter, what, rate(sample.per_second()))
            .times(sample.quantile(0.5), sample.quantile(0.99))
    }

    pub(crate) fn times(self, p50: Duration, p99: Duration) -> Self {
        Self { p50: Some(p50), p99: Some(p99), ..self }
    }

    pub(crate) fn goes(self, goes: impl Into<String>) -> Self {
        Self { goes: goes.into(), ..self }
    }

    pub(crate) fn limit(self, limit: impl Into<Option<Limit>>) -> Self {
        Self { limit: limit.into(), ..self }
    }

    fn cells(&self) -> [String; 9] {
        let time = |t: Option<Duration>| t.map(time).unwrap_or_default();
        let limit = self.limit.as_ref();
        let verdict = match limit.and_then(|limit| limit.is_met) {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        [
            self.letter.to_string(),
            self.what.clone(),
            self.measured.clone(),
            time(self.p50),
            time(self.p99),
            self.goes.clone(),
            limit.map(|limit| limit.text.clone()).unwrap_or_default(),
            limit.map(|limit| format!("{:.2}", limit.ratio)).unwrap_or_default(),
            verdict.to_owned(),
        ]
    }

    fn is_missed(&self) -> bool {
        self.limit.as_ref().is_some_and(|limit| limit.is_met == Some(false))
    }
}

/// All lines.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

const HEAD: [&str; 9] =
    ["", "what", "measured", "p50", "p99", "where the time goes", "limit", "ratio", ""];

impl Table {
    /// Adds a line, and says it at once: the table takes minutes.
    pub(crate) fn add(&mut self, row: Row) {
        crate::say(format_args!("  {}", row.cells().join("  ").trim_end()));
        self.0.push(row);
    }

    /// Markdown, its columns aligned for those who read it as text.
    pub(crate) fn render(&self, scale: f64) -> String {
        let mut rows: Vec<&Row> = self.0.iter().collect();
        rows.sort_by_key(|row| row.letter);
        let cells: Vec<_> = rows.iter().map(|row| row.cells()).collect();
        let head = HEAD.map(str::to_owned);
        let widths: Vec<usize> = (0..HEAD.len())
            .map(|at| cells.iter().chain([&head]).map(|row| row[at].chars().count()).max())
            .map(|width| width.unwrap_or(0).max(1))
            .collect();
        let line = |row: &[String; 9]| -> String {
            let padded = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
            format!("|{}\n", padded.collect::<String>())
        };
        let mut text = format!("{}\n\n{}", machine(scale), line(&head));
        text.push('|');
        text.extend(widths.iter().map(|width| format!("{:-<w$}|", "", w = width + 2)));
        text.push('\n');
        text.extend(cells.iter().map(line));
        let missed = rows.iter().filter(|row| row.is_missed()).count();
        let aims = rows.iter().filter(|row| row.limit.as_ref().is_some_and(|l| l.is_met.is_some()));
        let _ = write!(text, "\n{missed} of {} aims missed.", aims.count());
        text
    }
}

/// What it was measured on.
fn machine(scale: f64) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model.trim());
    let kernel = read("/proc/sys/kernel/osrelease");
    let size = if scale < 1.0 { format!(", at {scale} of the full size") } else { String::new() };
    let build = if cfg!(debug_assertions) { ", **not optimised**" } else { "" };
    format!(
        "`cargo xtask bench`: {} cores, {model}, Linux {}; clients and servers share them{size}{build}.",
        cores(),
        kernel.trim()
    )
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `17,234 /s`.
pub(crate) fn rate(per_second: f64) -> String {
    format!("{} /s", thousands(per_second.round() as u64))
}

pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits and a unit.
pub(crate) fn time(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    let (value, unit) = match us {
        us if us < 1e3 => (us, "us"),
        us if us < 1e6 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// `38.2 MiB`.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        let shown = [900, 12_300, 456_000, 1_840_000_000].map(|ns| time(Duration::from_nanos(ns)));
        assert_eq!(shown, ["0.90 us", "12.3 us", "456 us", "1.84 s"]);
    }

    #[test]
    fn a_missed_aim_is_printed_so() {
        let mut table = Table::default();
        table.add(Row::new('b', "later", "1").limit(Limit::at_least("2", 1.0, 2.0)));
        table.add(Row::new('a', "first", "1").limit(Limit::at_most("2", 1.0, 2.0)));
        table.add(Row::new('a', "second", "1").limit(Limit::beside("2", 1.0, 2.0)));
        let text = table.render(1.0);
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let ends = |row: usize| (rows[row][2], rows[row][8], rows[row][9]);
        assert_eq!(ends(2), ("first", "0.50", "met"));
        assert_eq!(ends(3), ("second", "0.50", ""));
        assert_eq!(ends(4), ("later", "0.50", "**missed**"));
        assert!(text.ends_with("1 of 2 aims missed."), "{text}");
    }
}
