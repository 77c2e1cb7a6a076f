//! A log that is read while it is written: what a test waits for.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::{Duration, Instant},
};

/// The lines of a log from some moment on.
#[derive(Debug)]
pub struct LogTail {
    file: File,
    unread: Vec<u8>,
}

impl LogTail {
    pub(crate) fn of(path: &Path) -> Self {
        let mut file = File::open(path).expect("the log is there");
        file.seek(SeekFrom::End(0)).expect("a log is a file");
        Self { file, unread: Vec::new() }
    }

    /// Waits for a line that holds all of these words, and gives it; `None` after `limit`.
    ///
    /// # Panics
    /// If the log cannot be read.
    pub fn wait_for(&mut self, words: &[&str], limit: Duration) -> Option<String> {
        let begun = Instant::now();
        loop {
            while let Some(line) = self.next() {
                if words.iter().all(|word| line.contains(word)) {
                    return Some(line);
                }
            }
            if begun.elapsed() > limit {
                return None;
            }
            // A step of a ceremony takes some milliseconds: so does what waits for one.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn next(&mut self) -> Option<String> {
        let end = |bytes: &[u8]| bytes.iter().position(|b| *b == b'\n');
        if end(&self.unread).is_none() {
            self.file.read_to_end(&mut self.unread).expect("the log can be read");
        }
        let at = end(&self.unread)?;
        let line: Vec<u8> = self.unread.drain(..=at).collect();
        Some(String::from_utf8_lossy(&line).into_owned())
    }
}
