//! `quorate encrypt`, `quorate decrypt` and `quorate reencrypt`: streams of any size, or many at
//! once.

use super::jsonl::{self, Item, Made, SEALED, bytes_field};
use crate::{
    args::{Crypt, Encrypt, Global, Reencrypt},
    failure::Failure,
    session,
};
use quorate_client::{Client, EncryptionContext, Error, Key, NodeRef, Plaintext, Report};
use quorate_types::Purpose;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, IoSlice, Read, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// Encrypts; asks a coordinator for the key's certificates only, or a quorum for one-time keys.
///
/// # Errors
/// When the key does not verify, or input or output fail; for a key that wraps also by exit code:
/// refused, no quorum.
pub async fn encrypt(global: &Global, args: &Encrypt) -> Result<(), Failure> {
    let (args, symmetric) = (&args.crypt, args.symmetric);
    let name = args
        .key
        .as_deref()
        .ok_or_else(|| Failure::usage("say --key NAME: which key to encrypt to"))?;
    let context = context(&args.context)?;
    let client = session::client(global)?;
    let key = client.key(name).await?;
    let purpose = key.public().purpose;
    if symmetric && purpose != Purpose::Wrap {
        return Err(Failure::usage(format!(
            "--symmetric takes a key that wraps, and {name} is to {purpose}; omit it, or create a \
             key with --purpose wrap"
        )));
    }
    let input = input(args.input.as_deref())?;
    let output = Output::open(args.out.as_deref())?;
    if args.jsonl {
        let seal = async |items: Vec<[Item; 1]>| {
            let plain: Vec<&[u8]> = items.iter().map(|[p]| &p[..]).collect();
            let (made, report) = client.encrypt_batch(&key, &plain, &context).await?;
            warn(&report);
            Ok(made.iter().map(|c| Ok(bytes_field("ciphertext", c))).collect())
        };
        return jsonl::run(input, output, ["plaintext"], seal).await;
    }
    let done = client.encrypt_stream(&key, input, output, &context).await?;
    warn(&done.report);
    done.writer.keep()
}

/// Decrypts by quorum. Only verified plaintext is written; a stream that fails on the way
/// ends with an error, and a file is not put in its place.
///
/// # Errors
/// By exit code: refused, no quorum, does not verify.
pub async fn decrypt(global: &Global, args: &Crypt) -> Result<(), Failure> {
    let context = context(&args.context)?;
    let client = session::client(global)?;
    let input = input(args.input.as_deref())?;
    let output = Output::open(args.out.as_deref())?;
    if args.jsonl {
        let open = async |items: Vec<[Item; 1]>| {
            let opened = opened(&client, &items, &context).await?;
            let made = |one: Result<Plaintext, Error>| Ok(bytes_field("plaintext", &one?));
            Ok(opened.into_iter().map(made).collect())
        };
        return jsonl::run(input, output, [SEALED], open).await;
    }
    let done = client.decrypt_stream(input, output, &context).await?;
    warn(&done.report);
    done.writer.keep()
}

/// Decrypts and encrypts again.
///
/// # Errors
/// By exit code: refused, no quorum, does not verify.
pub async fn reencrypt(global: &Global, args: &Reencrypt) -> Result<(), Failure> {
    let from = context(&args.context)?;
    let to = if args.to_context.is_empty() { from.clone() } else { context(&args.to_context)? };
    let client = session::client(global)?;
    let key = client.key(&args.key).await?;
    let input = input(args.input.as_deref())?;
    let output = Output::open(args.out.as_deref())?;
    if args.jsonl {
        let again = async |items: Vec<[Item; 1]>| again(&client, &key, &items, &from, &to).await;
        return jsonl::run(input, output, [SEALED], again).await;
    }
    let done = client.reencrypt_stream(input, output, &from, &key, &to).await?;
    warn(&done.report);
    done.writer.keep()
}

/// What opens is sealed again, in as few requests; what does not stands in its place.
async fn again(
    client: &Client,
    key: &Key,
    items: &[[Item; 1]],
    from: &EncryptionContext,
    to: &EncryptionContext,
) -> Result<Vec<Made>, Failure> {
    let opened = opened(client, items, from).await?;
    let plain: Vec<&[u8]> = opened.iter().flatten().map(|p| &p[..]).collect();
    let (sealed, report) = client.encrypt_batch(key, &plain, to).await?;
    warn(&report);
    let mut sealed = sealed.into_iter();
    let made = |one: &Result<Plaintext, Error>| match one {
        Ok(_) => {
            let sealed = sealed.next().ok_or_else(|| Failure::new("no ciphertext was made"))?;
            Ok(bytes_field("ciphertext", &sealed))
        }
        Err(error) => Err(Failure { message: error.to_string(), code: error.exit_code() }),
    };
    Ok(opened.iter().map(made).collect())
}

async fn opened(
    client: &Client,
    items: &[[Item; 1]],
    context: &EncryptionContext,
) -> Result<Vec<Result<Plaintext, Error>>, Failure> {
    let sealed: Vec<&[u8]> = items.iter().map(|[c]| &c[..]).collect();
    let (opened, report) = client.decrypt_batch_with_report(&sealed, context).await?;
    warn(&report);
    Ok(opened)
}

/// Names liars on stderr.
pub(super) fn warn(report: &Report) {
    let named = |liar: &NodeRef| eprintln!("warning: {liar} answered wrongly and was left out");
    report.liars.iter().for_each(named);
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
