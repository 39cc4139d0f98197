//! Two runs of one log, line by line.

use std::fmt;

/// The first line in which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which step it is.
    pub at: String,
    /// What is different there: of the first run, and of the second.
    pub parts: (String, String),
}

/// Finds the first difference between two runs, whose lines are as [`Line`](crate::Line) shows them.
pub fn first_difference<A: AsRef<str>, B: AsRef<str>>(
    ours: impl IntoIterator<Item = A>,
    theirs: impl IntoIterator<Item = B>,
) -> Option<Difference> {
    let (mut ours, mut theirs) = (ours.into_iter(), theirs.into_iter());
    loop {
        let (ours, theirs) = match (ours.next(), theirs.next()) {
            (None, None) => return None,
            (ours, theirs) => (ours, theirs),
        };
        let ours = ours.as_ref().map_or("nothing more", AsRef::as_ref);
        let theirs = theirs.as_ref().map_or("nothing more", AsRef::as_ref);
        if ours != theirs {
            return Some(Difference::of(ours, theirs));
        }
    }
}

impl Difference {
    fn of(ours: &str, theirs: &str) -> Self {
        let at = |line: &str| line.split(" | ").next().unwrap_or_default().to_owned();
        let (at, theirs_at) = (at(ours), at(theirs));
        if at != theirs_at {
            return Self { at, parts: (ours.to_owned(), theirs.to_owned()) };
        }
        // The first field that differs says most: later ones follow from it.
        let (mut fields, mut others) = (ours.split(" | "), theirs.split(" | "));
        loop {
            let (field, other) = (fields.next(), others.next());
            if field != other || field.is_none() {
                let part = |field: Option<&str>| field.unwrap_or("nothing more").to_owned();
                return Self { at, parts: (part(field), part(other)) };
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = &self.parts;
        write!(f, "{}:\n  {ours}\n  {theirs}", self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ours: &[&str], theirs: &[&str], expected: Option<(&str, &str, &str)>) {
        let found = first_difference(ours, theirs);
        let parts = |d: &Difference| (d.at.clone(), d.parts.0.clone(), d.parts.1.clone());
        let expected = expected.map(|(at, a, b)| (at.to_owned(), a.to_owned(), b.to_owned()));
        assert_eq!(found.as_ref().map(parts), expected);
    }

    #[test]
    fn the_first_field_of_the_first_line_is_named() {
        let same = "entry 1 | ok 0 | results aa";
        check(&[same], &[same], None);
        let (a, b) = ("entry 2 | ok 5 | results bb", "entry 2 | ok 6 | results cc");
        check(&[same, a, "end | x"], &[same, b, "end | y"], Some(("entry 2", "ok 5", "ok 6")));
        check(
            &[same, a],
            &[same],
            Some((a.split(" | ").next().unwrap_or_default(), a, "nothing more")),
        );
        check(&["entry 1 | ok 0"], &[same], Some(("entry 1", "nothing more", "results aa")));
    }
}
