//! `quorate sign` and `quorate verify`.

use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct Sign {
    /// The key's name
    #[arg(long)]
    pub key: String,
    /// The key's version, which must be the newest: no other one signs (default: the newest)
    #[arg(long, value_name = "N")]
    pub key_version: Option<u32>,
    /// Context as NAME=VALUE (repeat); nodes see and log it, it is not signed
    #[arg(long, value_name = "NAME=VALUE")]
    pub context: Vec<String>,
    #[command(flatten)]
    pub message: Message,
    /// Output file (default: stdout)
    #[arg(long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// raw: 64 bytes over the message itself; ssh: for ssh-keygen -Y verify; minisign
    #[arg(long, value_enum, default_value_t = SignatureForm::Raw)]
    pub format: SignatureForm,
    /// What an SSH signature is for: verifiers ask for the same
    #[arg(long, default_value = "file")]
    pub namespace: String,
    /// What a minisign signature vouches for beside the file (default: time and file name)
    #[arg(long, value_name = "TEXT")]
    pub trusted_comment: Option<String>,
    /// Many at once: lines of {"message": base64} to {"signature": base64}, with an "id" if you
    /// like; the file holds them
    #[arg(long, conflicts_with_all = ["format", "namespace", "trusted_comment"])]
    pub jsonl: bool,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// The key's name
    #[arg(long)]
    pub key: String,
    /// The key's version (default: the newest)
    #[arg(long, value_name = "N")]
    pub key_version: Option<u32>,
    /// The signature: raw, SSH or minisign
    #[arg(long, value_name = "FILE", required_unless_present = "jsonl", conflicts_with = "jsonl")]
    pub signature: Option<PathBuf>,
    #[command(flatten)]
    pub message: Message,
    /// What an SSH signature must be for
    #[arg(long, default_value = "file")]
    pub namespace: String,
    /// Many at once: lines of {"message": base64, "signature": base64} to {"good": true} or an
    /// error, with an "id" if you like; the file holds them
    #[arg(long)]
    pub jsonl: bool,
}

/// What is signed.
#[derive(Debug, Args)]
pub struct Message {
    /// The file that is signed (default: stdin)
    #[arg(value_name = "FILE", conflicts_with = "input")]
    positional: Option<PathBuf>,
    /// The same file, named as other commands name it
    #[arg(long = "in", visible_alias = "file", value_name = "FILE")]
    input: Option<PathBuf>,
}

impl Message {
    /// The file, named either way; `None` for stdin.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.positional.as_deref().or(self.input.as_deref())
    }
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SignatureForm {
    /// 64 bytes.
    Raw,
    /// SSHSIG, in its armour.
    Ssh,
    /// Four lines.
    Minisign,
}

impl SignatureForm {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Ssh => "ssh",
            Self::Minisign => "minisign",
        }
    }
}
