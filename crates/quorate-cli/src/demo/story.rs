//! How the story is told: short lines, a mark for each check, progress in between.

use crate::{failure::Failure, output::Progress};
use std::time::Instant;

/// The teller.
pub(super) struct Story {
    begun: Instant,
    checks: usize,
    progress: Progress,
}

impl Story {
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), checks: 0, progress: Progress::new() }
    }

    /// What happens next.
    pub(super) fn say(&mut self, line: &str) {
        self.progress.clear();
        println!("\n{line}");
    }

    /// Something to look at.
    pub(super) fn detail(&mut self, line: &str) {
        self.progress.clear();
        println!("      {line}");
    }

    /// What is under way, until something is printed.
    pub(super) fn work(&mut self, line: &str) {
        self.progress.show(line);
    }

    /// A check that must hold.
    pub(super) fn check(&mut self, line: &str, held: bool) -> Result<(), Failure> {
        self.progress.clear();
        self.checks += 1;
        println!("  {}  {line}", if held { "✓" } else { "✗" });
        match held {
            true => Ok(()),
            false => Err(Failure::new("a check of the demonstration did not hold; see above")),
        }
    }

    pub(super) fn end(mut self) {
        self.progress.clear();
        let seconds = self.begun.elapsed().as_secs_f64();
        println!("\nAll {} checks held, in {seconds:.1} s.", self.checks);
    }
}
