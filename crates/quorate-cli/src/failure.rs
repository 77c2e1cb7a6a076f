//! How a command fails: one line for people, an exit code for programs.

use std::fmt;

/// Exit codes of `quorate`.
pub mod code {
    /// Something failed.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// Nodes refused by policy.
    pub const REFUSED: u8 = 3;
    /// Too few nodes answer.
    pub const NO_QUORUM: u8 = 4;
    /// A proof, signature or ciphertext does not verify.
    pub const VERIFICATION: u8 = 5;
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// One line that says what was expected and what to do next.
    pub message: String,
    /// The process's exit code.
    pub code: u8,
}

impl Failure {
    /// Something failed.
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: code::FAILED }
    }

    /// The command line is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: code::USAGE }
    }

    /// A proof, signature or format does not verify.
    pub fn verification(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: code::VERIFICATION }
    }

    /// An input or output error on something with a name.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(format!("{what}: {error}"))
    }
}

impl From<quorate_client::Error> for Failure {
    fn from(error: quorate_client::Error) -> Self {
        Self { message: error.to_string(), code: error.exit_code() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
