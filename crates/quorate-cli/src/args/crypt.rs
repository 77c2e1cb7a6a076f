//! `quorate encrypt`, `decrypt`, `reencrypt` and `datakey`.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Encrypt {
    #[command(flatten)]
    pub crypt: Crypt,
    /// Insist on a key that wraps: one-time keys from a quorum, and no public key
    #[arg(long)]
    pub symmetric: bool,
}

#[derive(Debug, Args)]
pub struct Reencrypt {
    /// The key to encrypt to, in its newest version
    #[arg(long)]
    pub key: String,
    /// Encryption context of the input as NAME=VALUE (repeat)
    #[arg(long, value_name = "NAME=VALUE")]
    pub context: Vec<String>,
    /// Encryption context of the output (repeat; default: that of the input)
    #[arg(long, value_name = "NAME=VALUE")]
    pub to_context: Vec<String>,
    /// Input file (default: stdin)
    #[arg(long = "in", value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Output file (default: stdout)
    #[arg(long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Many at once: lines of {"ciphertext": base64} in and out, with an "id" if you like; lines of
    /// `datakey` are taken too
    #[arg(long)]
    pub jsonl: bool,
}

#[derive(Debug, Args)]
pub struct DataKey {
    /// The key that they are encrypted to: one that decrypts or wraps
    #[arg(long)]
    pub key: String,
    /// Encryption context as NAME=VALUE (repeat); the same is needed to decrypt
    #[arg(long, value_name = "NAME=VALUE")]
    pub context: Vec<String>,
    /// How many
    #[arg(long, default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub count: u32,
    /// Do not give them out in the clear: for whoever is to store and never to use them
    #[arg(long)]
    pub wrapped_only: bool,
    /// Output file, lines of {"plaintext", "wrapped"} in base64 (default: stdout); `decrypt --jsonl`
    /// and `reencrypt --jsonl` take them
    #[arg(long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Crypt {
    /// The key's name (decrypt finds it in the ciphertext)
    #[arg(long)]
    pub key: Option<String>,
    /// Encryption context as NAME=VALUE (repeat); the same is needed to decrypt
    #[arg(long, value_name = "NAME=VALUE")]
    pub context: Vec<String>,
    /// Input file (default: stdin)
    #[arg(long = "in", value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Output file (default: stdout)
    #[arg(long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Many at once: lines of {"plaintext": base64} to {"ciphertext": base64} and back, with an
    /// "id" if you like; decrypt takes lines of `datakey` too
    #[arg(long)]
    pub jsonl: bool,
}
