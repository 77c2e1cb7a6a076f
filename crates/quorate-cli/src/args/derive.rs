//! `quorate derive`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Derive {
    /// The key's name
    #[arg(long)]
    pub key: String,
    /// The key's version; another one derives other secrets (default: the newest)
    #[arg(long, value_name = "N")]
    pub key_version: Option<u32>,
    /// Context as NAME=VALUE (repeat); part of the input, and nodes see it
    #[arg(long, value_name = "NAME=VALUE")]
    pub context: Vec<String>,
    /// Input file, at most 64 KiB (default: stdin)
    #[arg(long = "in", value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Output file (default: stdout)
    #[arg(long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Form of the secret (default: hex on a terminal and in JSON, else raw)
    #[arg(long, value_enum)]
    pub encoding: Option<Encoding>,
    /// Many at once: lines of {"input": base64} to {"secret": base64}, with an "id" if you like
    #[arg(long, conflicts_with = "encoding")]
    pub jsonl: bool,
}

/// How a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// 128 digits and a newline.
    Hex,
    /// 64 bytes.
    Raw,
    /// With padding and a newline.
    Base64,
}
