//! `quorate encrypt` and `quorate decrypt`: streams of any size.

use crate::{
    args::{Crypt, Global},
    failure::Failure,
    session,
};
use quorate_client::EncryptionContext;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, IoSlice, Read, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// Encrypts; asks a coordinator for the key's certificates only.
///
/// # Errors
/// When the key does not verify, or input or output fail.
pub async fn encrypt(global: &Global, args: &Crypt) -> Result<(), Failure> {
    let name = args
        .key
        .as_deref()
        .ok_or_else(|| Failure::usage("say --key NAME: which key to encrypt to"))?;
    let context = context(&args.context)?;
    let key = session::client(global)?.key(name).await?;
    let input = input(args.input.as_deref())?;
    let mut output = Output::open(args.out.as_deref())?;
    let done = tokio::task::spawn_blocking(move || {
        key.encrypt_stream(input, &mut output, &context).map(|_| output)
    });
    done.await.map_err(Failure::new)??.keep()
}

/// Decrypts by quorum. Only verified plaintext is written; a stream that fails on the way
/// ends with an error, and a file is not put in its place.
///
/// # Errors
/// By exit code: refused, no quorum, does not verify.
pub async fn decrypt(global: &Global, args: &Crypt) -> Result<(), Failure> {
    let context = context(&args.context)?;
    let client = session::client(global)?;
    let done = client
        .decrypt_stream(input(args.input.as_deref())?, Output::open(args.out.as_deref())?, &context)
        .await?;
    for liar in &done.report.liars {
        eprintln!("warning: {liar} answered wrongly and was left out");
    }
    done.writer.keep()
}

/// Parses NAME=VALUE pairs.
///
/// # Errors
/// For a pair without `=`, a name twice, and text that is too long.
pub fn context(pairs: &[String]) -> Result<EncryptionContext, Failure> {
    let mut map = BTreeMap::new();
    for pair in pairs {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--context takes NAME=VALUE, got {pair}")))?;
        if map.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::usage(format!("--context names {name} twice")));
        }
    }
    EncryptionContext::new(map).map_err(Failure::usage)
}

/// A file, or stdin.
pub(super) fn input(path: Option<&Path>) -> Result<Box<dyn Read + Send>, Failure> {
    match path {
        None => Ok(Box::new(io::stdin())),
        Some(path) => {
            let file = File::open(path).map_err(|e| Failure::io(path.display(), &e))?;
            Ok(Box::new(file))
        }
    }
}

/// Where output goes: stdout, or a file that appears under its name only when it is whole.
pub(super) enum Output {
    /// Without the standard library's buffer, which looks for line ends in what is none.
    Stdout(File),
    File {
        file: File,
        partial: PathBuf,
        path: PathBuf,
    },
}

impl Output {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            let fd = io::stdout().as_fd().try_clone_to_owned();
            return Ok(Self::Stdout(fd.map_err(|e| Failure::io("stdout", &e))?.into()));
        };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".part-{}", std::process::id()));
        let partial = path.with_file_name(name);
        let file = create(&partial).map_err(|e| Failure::io(partial.display(), &e))?;
        Ok(Self::File { file, partial, path: path.to_owned() })
    }

    /// The output is whole.
    pub(super) fn keep(mut self) -> Result<(), Failure> {
        match &mut self {
            Self::Stdout(out) => out.flush().map_err(|e| Failure::io("stdout", &e)),
            Self::File { file, partial, path } => file
                .sync_all()
                .and_then(|()| std::fs::rename(&*partial, &*path))
                .map_err(|e| Failure::io(path.display(), &e)),
        }
    }
}

/// Plaintext is for its owner.
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

impl Drop for Output {
    fn drop(&mut self) {
        // Gone already if it was kept.
        if let Self::File { partial, .. } = self {
            let _ = std::fs::remove_file(partial);
        }
    }
}

impl Output {
    fn file(&mut self) -> &mut File {
        match self {
            Self::Stdout(file) | Self::File { file, .. } => file,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.file().write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}
