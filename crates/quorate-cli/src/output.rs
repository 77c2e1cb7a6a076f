//! What a command prints: text for people or one JSON document for programs.

use crate::args::Output;
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// A command's result in both forms.
#[derive(Debug, Default)]
pub struct Report {
    /// Lines for people, without the last newline.
    pub text: String,
    /// The same for programs.
    pub json: Value,
}

impl Report {
    /// A result.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json }
    }

    /// Prints the form that was asked for to stdout.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print(&self, output: Output) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        match output {
            Output::Text if self.text.is_empty() => Ok(()),
            Output::Text => writeln!(out, "{}", self.text),
            Output::Json => writeln!(out, "{:#}", self.json),
        }
    }
}

/// Progress on stderr, on a terminal only: one line that changes.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    shown: bool,
}

impl Progress {
    /// Progress that shows itself if stderr is a terminal.
    #[must_use]
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: false }
    }

    /// Shows a line in place of the one before.
    pub fn show(&mut self, line: &str) {
        if self.terminal {
            let line: String = line.chars().take(100).collect();
            let _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
            let _ = std::io::stderr().flush();
            self.shown = true;
        }
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
            let _ = std::io::stderr().flush();
            self.shown = false;
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Text in columns, each as wide as its widest cell.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(width - cell.chars().count() + 2));
        }
        text.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
