//! `quorate sign` and `quorate verify`: Ed25519 signatures, as they are or as other programs
//! frame them.

use super::{
    crypt::{Output, context, input},
    jsonl::{self, Item, Made, bytes_field},
};
use crate::{
    args::{Global, Output as Form, Sign, SignatureForm, Verify},
    failure::Failure,
    output::Report,
    session,
    signature::{FormatError, minisign, ssh},
    time::now,
};
use quorate_client::{Client, EncryptionContext, Key, MAX_SIGN_MESSAGE, NodeRef, Signature};
use quorate_types::{KeyVersion, NodeIndex};
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::Path,
};

/// The longest file of a signature.
const MAX_SIGNATURE_FILE: u64 = 16 * 1024;

/// Who signed and who lied, over all signatures of a command.
#[derive(Default)]
struct Took {
    nodes: BTreeMap<NodeIndex, NodeRef>,
    liars: BTreeMap<NodeIndex, NodeRef>,
    epoch: Option<u64>,
}

impl Took {
    fn warn(&self) {
        for liar in self.liars.values() {
            eprintln!("warning: {liar} spoilt a signature and was left out");
        }
    }
}

/// Signs stdin or a file; writes the signature only when it has been verified.
///
/// # Errors
/// By exit code: refused, no quorum, does not verify.
pub async fn sign(global: &Global, args: &Sign) -> Result<(), Failure> {
    let json = global.output == Form::Json;
    let context = context(&args.context)?;
    let client = session::client(global)?;
    let mut key = key(&client, &args.key, args.key_version).await?;
    let exactly = args.key_version.is_some();
    let from = input(args.message.path())?;
    let mut took = Took::default();
    if args.jsonl {
        let sign = async |items: Vec<[Item; 1]>| {
            let messages: Vec<&[u8]> = items.iter().map(|[m]| &m[..]).collect();
            let (made, report) = signed(&client, &mut key, exactly, &messages, &context).await?;
            took.liars.extend(report.liars.into_iter().map(|n| (n.index, n)));
            Ok(made.iter().map(|s| Ok(bytes_field("signature", s))).collect())
        };
        let output = Output::open(args.out.as_deref())?;
        let ended = jsonl::run(from, output, ["message"], sign).await;
        took.warn();
        return ended;
    }
    let mut by = Signer { client: &client, key, exactly, context: &context, took: &mut took };
    let (signature, framed) = match args.format {
        SignatureForm::Raw => {
            let signature = by.sign(&short(from)?).await?;
            (signature, signature.to_vec())
        }
        SignatureForm::Ssh => {
            let message = ssh::message(&args.namespace, from).map_err(|e| unread(&e))?;
            let signature = by.sign(&message).await?;
            let public = by.key.public().public_key();
            (signature, ssh::signature(public, &args.namespace, &signature).into_bytes())
        }
        SignatureForm::Minisign => {
            let file = by.sign(&minisign::message(from).map_err(|e| unread(&e))?).await?;
            let comment = comment(args);
            let second = minisign::global_message(&file, &comment).map_err(usage)?;
            // Both under one public key.
            by.exactly = true;
            let global = by.sign(&second).await?;
            let both = minisign::Signatures { file, comment, global };
            let text = both.write(by.key.public().public_key(), by.key.name().as_str());
            (file, text.into_bytes())
        }
    };
    let key = by.key;
    took.warn();
    let written =
        if json { document(&key, args.format, &signature, &framed, &took) } else { framed };
    let mut output = Output::open(args.out.as_deref())?;
    output.write_all(&written).map_err(|e| Failure::io("output", &e))?;
    output.keep()
}

/// Verifies a signature under a key that is pinned, or is fetched and verified.
///
/// # Errors
/// With exit code 5 if it does not verify.
pub async fn verify(global: &Global, args: &Verify) -> Result<Option<Report>, Failure> {
    let client = session::client(global)?;
    let key = key(&client, &args.key, args.key_version).await?;
    let from = input(args.message.path())?;
    let Some(signature) = &args.signature else {
        let verify =
            async |items: Vec<[Item; 2]>| Ok(items.iter().map(|i| good(&key, i)).collect());
        let output = Output::open(None)?;
        return jsonl::run(from, output, ["message", "signature"], verify).await.map(|()| None);
    };
    let bytes = signature_file(signature)?;
    let public = key.public().public_key();
    let mut trusted = None;
    let format = if ssh::looks_so(&bytes) {
        let signature = ssh::read(&text(&bytes)?, public, &args.namespace).map_err(wrong)?;
        let message = ssh::message(&args.namespace, from).map_err(|e| unread(&e))?;
        key.verify_signature(&message, &signature)?;
        SignatureForm::Ssh
    } else if minisign::looks_so(&bytes) {
        let both = minisign::Signatures::read(&text(&bytes)?, public).map_err(wrong)?;
        let message = minisign::message(from).map_err(|e| unread(&e))?;
        key.verify_signature(&message, &both.file)?;
        let second = minisign::global_message(&both.file, &both.comment).map_err(wrong)?;
        key.verify_signature(&second, &both.global)?;
        trusted = Some(both.comment);
        SignatureForm::Minisign
    } else {
        let signature: Signature = bytes[..].try_into().map_err(|_| {
            wrong(FormatError(format!(
                "a raw signature has 64 bytes, got {}; SSH and minisign signatures are known by \
                 their first line",
                bytes.len()
            )))
        })?;
        key.verify_signature(&short(from)?, &signature)?;
        SignatureForm::Raw
    };
    let mut line = format!("good: signed by {} version {}", key.name(), key.version());
    if let Some(comment) = &trusted {
        line += &format!("\ntrusted comment: {comment}");
    }
    let json = json!({
        "key": key.name().as_str(),
        "version": key.version().get(),
        "format": format.as_str(),
        "trusted_comment": trusted,
    });
    Ok(Some(Report::new(line, json)))
}

/// One line's verdict.
fn good(key: &Key, [message, signature]: &[Item; 2]) -> Made {
    let signature: Signature = signature[..].try_into().map_err(|_| {
        let got = signature.len();
        wrong(FormatError(format!("a raw signature has 64 bytes, got {got}")))
    })?;
    key.verify_signature(message, &signature)?;
    Ok(serde_json::Map::from_iter([("good".to_owned(), json!(true))]))
}

struct Signer<'a> {
    client: &'a Client,
    key: Key,
    /// Under this version and no newer one.
    exactly: bool,
    context: &'a EncryptionContext,
    took: &'a mut Took,
}

impl Signer<'_> {
    async fn sign(&mut self, message: &[u8]) -> Result<Signature, Failure> {
        let (client, key) = (self.client, &mut self.key);
        let (made, report) = signed(client, key, self.exactly, &[message], self.context).await?;
        self.took.nodes.extend(report.nodes.into_iter().map(|n| (n.index, n)));
        self.took.liars.extend(report.liars.into_iter().map(|n| (n.index, n)));
        self.took.epoch = report.epoch.map(|e| e.number);
        made.first().copied().ok_or_else(|| Failure::new("the message has no signature"))
    }
}

/// Under the version that was asked for, or under the newest, which `key` is then.
async fn signed(
    client: &Client,
    key: &mut Key,
    exactly: bool,
    messages: &[&[u8]],
    context: &EncryptionContext,
) -> Result<(Vec<Signature>, quorate_client::Report), quorate_client::Error> {
    match exactly {
        true => client.sign_with_report(key, messages, context).await,
        false => client.sign_newest(key, messages, context).await,
    }
}

async fn key(client: &Client, name: &str, version: Option<u32>) -> Result<Key, Failure> {
    let Some(version) = version else { return Ok(client.key(name).await?) };
    let version =
        KeyVersion::new(version).ok_or_else(|| Failure::usage("--key-version begins at 1"))?;
    Ok(client.key_version(name, version).await?)
}

/// A message that nodes sign as it is.
fn short(from: impl Read) -> Result<Vec<u8>, Failure> {
    let most = u64::try_from(MAX_SIGN_MESSAGE).unwrap_or(u64::MAX);
    let mut bytes = Vec::with_capacity(MAX_SIGN_MESSAGE + 1);
    from.take(most + 1).read_to_end(&mut bytes).map_err(|e| Failure::io("input", &e))?;
    if bytes.len() > MAX_SIGN_MESSAGE {
        return Err(Failure::usage(format!(
            "a message that is signed as it is has at most {MAX_SIGN_MESSAGE} bytes; --format ssh \
             and --format minisign sign files of any size"
        )));
    }
    Ok(bytes)
}

fn signature_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |e: &std::io::Error| Failure::io(path.display(), e);
    let file = std::fs::File::open(path).map_err(|e| failed(&e))?;
    let mut bytes = Vec::new();
    file.take(MAX_SIGNATURE_FILE + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if bytes.len() as u64 > MAX_SIGNATURE_FILE {
        return Err(wrong(FormatError(format!(
            "a signature file has at most {MAX_SIGNATURE_FILE} bytes"
        ))));
    }
    Ok(bytes)
}

fn text(bytes: &[u8]) -> Result<String, Failure> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| wrong(FormatError("the signature is no text".into())))
}

/// What minisign writes itself.
fn comment(args: &Sign) -> String {
    args.trusted_comment.clone().unwrap_or_else(|| {
        let name = args.message.path().and_then(Path::file_name);
        let name = name.map_or("-".into(), |n| n.to_string_lossy().into_owned());
        format!("timestamp:{}\tfile:{name}\thashed", now().0 / 1000)
    })
}

/// One JSON document.
fn document(
    key: &Key,
    format: SignatureForm,
    signature: &Signature,
    framed: &[u8],
    took: &Took,
) -> Vec<u8> {
    let indices =
        |nodes: &BTreeMap<NodeIndex, NodeRef>| nodes.keys().map(|i| i.get()).collect::<Vec<_>>();
    let framed = match format {
        SignatureForm::Raw => None,
        SignatureForm::Ssh | SignatureForm::Minisign => Some(String::from_utf8_lossy(framed)),
    };
    let document = json!({
        "key": key.name().as_str(),
        "version": key.version().get(),
        "public_key": hex::encode(key.public().public_key()),
        "format": format.as_str(),
        "signature": hex::encode(signature),
        "file": framed,
        "epoch": took.epoch,
        "nodes": indices(&took.nodes),
        "liars": indices(&took.liars),
    });
    format!("{document:#}\n").into_bytes()
}

fn unread(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::InvalidInput => Failure::usage(error),
        _ => Failure::io("input", error),
    }
}

fn usage(error: FormatError) -> Failure {
    Failure::usage(error)
}

/// What is no signature of this key.
fn wrong(error: FormatError) -> Failure {
    Failure::verification(error)
}
