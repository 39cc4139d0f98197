//! What an author or a caller must be granted.

use std::fmt;

/// A method of a program, at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The program called.
    pub program: String,
    /// Its method; queries are methods too.
    pub method: String,
    /// The path touched; empty when the method has none.
    pub path: Vec<u8>,
}

impl Need {
    /// A need without a path.
    pub fn new(program: impl Into<String>, method: impl Into<String>) -> Self {
        Self { program: program.into(), method: method.into(), path: Vec::new() }
    }

    /// The same need, at `path`.
    pub fn at(mut self, path: impl Into<Vec<u8>>) -> Self {
        self.path = path.into();
        self
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.program, self.method)?;
        if !self.path.is_empty() {
            write!(f, " at {}", self.path.escape_ascii())?;
        }
        Ok(())
    }
}
