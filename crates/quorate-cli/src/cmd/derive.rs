//! `quorate derive`: a secret from an input that no node sees.

use super::{
    crypt::{Output, context, input, warn},
    jsonl::{self, Item, bytes_field},
};
use crate::{
    args::{Derive, Encoding, Global, Output as Form},
    failure::Failure,
    session,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use quorate_client::{Derived, Key, MAX_DERIVE_INPUT, Report};
use quorate_types::{KeyVersion, NodeIndex};
use serde_json::json;
use std::io::{self, IsTerminal, Read, Write};
use zeroize::Zeroizing;

/// Derives; writes the secret only when every byte of it was computed from verified answers.
///
/// # Errors
/// By exit code: refused, no quorum, does not verify.
pub async fn run(global: &Global, args: &Derive) -> Result<(), Failure> {
    let json = global.output == Form::Json;
    if json && args.encoding == Some(Encoding::Raw) {
        return Err(Failure::usage("--output json takes --encoding hex or base64, not raw"));
    }
    let context = context(&args.context)?;
    let version = args
        .key_version
        .map(|v| KeyVersion::new(v).ok_or_else(|| Failure::usage("--key-version begins at 1")))
        .transpose()?;
    let client = session::client(global)?;
    let key = match version {
        Some(version) => client.key_version(&args.key, version).await?,
        None => client.key(&args.key).await?,
    };
    if args.jsonl {
        let derive = async |items: Vec<[Item; 1]>| {
            let inputs: Vec<&[u8]> = items.iter().map(|[i]| &i[..]).collect();
            let (derived, report) = client.derive_with_report(&key, &inputs, &context).await?;
            warn(&report);
            Ok(derived.iter().map(|s| Ok(bytes_field("secret", s.expose()))).collect())
        };
        let output = Output::open(args.out.as_deref())?;
        let from = input(args.input.as_deref())?;
        return jsonl::run(from, output, ["input"], derive).await;
    }
    let input = read_all(args)?;
    let (derived, report) = client.derive_with_report(&key, &[&input[..]], &context).await?;
    let [secret] = &derived[..] else { return Err(Failure::new("the input has no result")) };
    warn(&report);
    let plain = args.out.is_none() && io::stdout().is_terminal();
    let encoding = args.encoding.unwrap_or(match json || plain {
        true => Encoding::Hex,
        false => Encoding::Raw,
    });
    let written =
        if json { document(&key, secret, encoding, &report) } else { encoded(secret, encoding) };
    let mut output = Output::open(args.out.as_deref())?;
    output.write_all(&written).map_err(|e| Failure::io("output", &e))?;
    output.keep()
}

/// The whole input, which is short.
fn read_all(args: &Derive) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_DERIVE_INPUT + 1));
    let from = input(args.input.as_deref())?;
    let most = u64::try_from(MAX_DERIVE_INPUT).unwrap_or(u64::MAX);
    from.take(most + 1).read_to_end(&mut bytes).map_err(|e| Failure::io("input", &e))?;
    if bytes.len() > MAX_DERIVE_INPUT {
        return Err(Failure::usage(format!("an input has at most {MAX_DERIVE_INPUT} bytes")));
    }
    Ok(bytes)
}

fn encoded(secret: &Derived, encoding: Encoding) -> Zeroizing<Vec<u8>> {
    let bytes = secret.expose();
    Zeroizing::new(match encoding {
        Encoding::Hex => (hex::encode(bytes) + "\n").into_bytes(),
        Encoding::Base64 => (STANDARD.encode(bytes) + "\n").into_bytes(),
        Encoding::Raw => bytes.to_vec(),
    })
}

/// One JSON document.
fn document(
    key: &Key,
    secret: &Derived,
    encoding: Encoding,
    report: &Report,
) -> Zeroizing<Vec<u8>> {
    let text = encoded(secret, encoding);
    let text = Zeroizing::new(String::from_utf8_lossy(&text).trim_end().to_owned());
    let word = if encoding == Encoding::Base64 { "base64" } else { "hex" };
    let indices = |nodes: &[quorate_client::NodeRef]| {
        nodes.iter().map(|n| NodeIndex::get(n.index)).collect::<Vec<_>>()
    };
    let document = json!({
        "key": key.name().as_str(),
        "version": key.version().get(),
        "encoding": word,
        "secret": &text[..],
        "epoch": report.epoch.map(|e| e.number),
        "nodes": indices(&report.nodes),
        "liars": indices(&report.liars),
    });
    Zeroizing::new(format!("{document:#}\n").into_bytes())
}
