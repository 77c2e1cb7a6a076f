//! `quorate key export|export-keygen|combine`: breaking the glass.

use super::{
    order::{self, Fate, make},
    roster::up_to_date,
};
use crate::{
    args::{Global, KeyCombine, KeyExport},
    failure::Failure,
    output::Report,
    render,
};
use quorate_client::{
    Client, CombineFailure, Key, Operator,
    export::{LeftOut, combine, liars},
};
use quorate_crypto::RecipientKey;
use quorate_types::{
    Action, ExportKey, ExportStep, KeyName, KeyVersion, Purpose, Roster, VerifiedOrder,
    armor::{self, Title},
};
use serde_json::{Value, json};
use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path};
use zeroize::Zeroizing;

const TITLE: Title = Title("QUORATE PRIVATE RECIPIENT");

/// Makes the recipient's key pair; the secret half goes to a file.
///
/// # Errors
/// When the file is there already.
pub fn keygen(out: &Path) -> Result<Report, Failure> {
    let key = RecipientKey::generate(&mut rand::rng());
    let text = Zeroizing::new(armor::encode(TITLE, &key.to_bytes()[..]));
    write_new(out, text.as_bytes())?;
    let public = hex::encode(key.public());
    let text = format!(
        "{public}\nthe private half is in {}: whoever has it and the sealed shares has the exported \
         key",
        out.display()
    );
    Ok(Report::new(text, json!({ "recipient": public })))
}

/// Orders an export, or its end.
///
/// # Errors
/// For a key without the right, and when it is refused.
pub async fn export(global: &Global, args: &KeyExport) -> Result<Report, Failure> {
    let operator = up_to_date(global).await?;
    let name = KeyName::new(args.name.as_str()).map_err(Failure::usage)?;
    let version = match args.version.map(KeyVersion::new) {
        Some(version) => version.ok_or_else(|| Failure::usage("--version begins at 1"))?,
        None => match &args.close {
            Some(order) => exported_version(&operator, &name, order).await?,
            None => operator.client().key(name.as_str()).await?.version(),
        },
    };
    let step = match (&args.recipient, &args.close) {
        (Some(recipient), _) => {
            let key = operator.client().key_version(name.as_str(), version).await?;
            if !key.ordered().rights.exportable {
                let text =
                    format!("key {name} was not made with --exportable, and never can be exported");
                return Err(Failure::usage(text));
            }
            let expected =
                "--recipient is 64 hexadecimal digits: what `quorate key export-keygen` prints";
            let recipient = hex::decode(recipient).ok().and_then(|r| r.try_into().ok());
            ExportStep::Open {
                recipient: recipient.ok_or_else(|| Failure::usage(expected))?,
                danger_no_cooling_off: args.danger_no_cooling_off,
            }
        }
        (None, Some(order)) => ExportStep::Close { order: order.parse().map_err(Failure::usage)? },
        (None, None) => return Err(Failure::usage("say --recipient KEY, or --close ORDER")),
    };
    let closes = matches!(step, ExportStep::Close { .. });
    let heads = operator.heads(Some(&name)).await?;
    let action = Action::ExportKey(ExportKey { name, version, step });
    match make(&operator, action, heads.key, &args.order).await? {
        Fate::Written(text) => Ok(Report::new(text, json!({ "done": false }))),
        Fate::Done(_) if closes => Ok(Report::new("the export is closed", json!({ "done": true }))),
        Fate::Done(_) => {
            let text =
                "the export is open; the recipient puts the key together: quorate key combine";
            Ok(Report::new(text, json!({ "done": true })))
        }
    }
}

/// The version that an order exports: not always the newest, once the key was rotated.
async fn exported_version(
    operator: &Operator,
    name: &KeyName,
    order: &str,
) -> Result<KeyVersion, Failure> {
    let newest = operator.client().key(name.as_str()).await?;
    for key in operator.client().versions(&newest).await? {
        let orders = operator.client().exports(&key).await?;
        if orders.iter().any(|o| o.hash().to_string() == *order) {
            return Ok(key.version());
        }
    }
    Ok(newest.version())
}

/// Opens the shares of an export, and writes the key.
///
/// # Errors
/// When too few right shares are there; the wrong ones are named.
pub async fn run_combine(global: &Global, args: &KeyCombine) -> Result<Report, Failure> {
    let recipient = read_recipient(&args.recipient_key)?;
    let operator = up_to_date(global).await?;
    let cluster = operator.cluster();
    let (signed, verified) = match &args.order {
        Some(file) => {
            let (signed, _) = order::read(file)?;
            let verified =
                VerifiedOrder::verify(&cluster, &signed).map_err(Failure::verification)?;
            (signed, verified)
        }
        None => {
            let key = operator.client().key(&args.name).await?;
            let orders = operator.client().exports(&key).await?;
            let to = |o: &&VerifiedOrder| {
                o.export().and_then(ExportKey::recipient) == Some(&recipient.public())
            };
            let newest = orders.iter().rev().find(to).ok_or_else(|| {
                Failure::new("no order exports the newest version of this key to this recipient")
            })?;
            (newest.signed().clone(), newest.clone())
        }
    };
    let export = verified.export().ok_or_else(|| Failure::usage("the order exports no key"))?;
    if export.name.as_str() != args.name {
        let text = format!("the order exports key {}, not {}", export.name, args.name);
        return Err(Failure::usage(text));
    }
    let key = operator.version_in_force(&export.name, export.version).await?;
    let sealed = operator.sealed_shares(&signed).await?;
    let result = combine(&verified, key.epoch(), &sealed.shares, &recipient);
    let left_out = match &result {
        Ok(combined) => combined.left_out.clone(),
        Err(CombineFailure::TooFew { left_out, .. }) => left_out.clone(),
        Err(_) => Vec::new(),
    };
    tell(cluster.roster(), &left_out, &sealed.failures);
    let wrong = liars(&cluster, &left_out);
    let combined = match result {
        Ok(combined) => combined,
        Err(failure) if wrong.is_empty() => return Err(Failure::new(failure)),
        Err(failure) => {
            let names: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            let text = format!("{failure}; wrong shares came from {}", names.join(", "));
            return Err(Failure::verification(text));
        }
    };
    let digits = combined.secret.to_bytes();
    let mut text = Zeroizing::new(String::with_capacity(65));
    digits.iter().for_each(|byte| push_hex(&mut text, *byte));
    text.push('\n');
    write_new(&args.out, text.as_bytes())?;
    let mut lines = vec![format!(
        "{} version {}: the key is in {}, as a scalar of 64 hexadecimal digits (little-endian); put \
         together from the shares of nodes {}",
        export.name,
        export.version,
        args.out.display(),
        combined.used.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )];
    if key.public().purpose == Purpose::Sign {
        lines.push(
            "it signs as a scalar: it is no seed, and programs that expect an Ed25519 private key \
             cannot take it; `quorate key import` can"
                .into(),
        );
    }
    lines.extend(wrong.iter().map(|node| format!("WRONG SHARE from {node}, which has signed it")));
    let nodes = |refs: &[quorate_client::NodeRef]| -> Vec<u16> {
        refs.iter().map(|node| node.index.get()).collect()
    };
    let json = json!({
        "key": export.name.as_str(),
        "version": export.version.get(),
        "used": combined.used.iter().map(|i| i.get()).collect::<Vec<_>>(),
        "wrong": nodes(&wrong),
    });
    Ok(Report::new(lines.join("\n"), json))
}

/// That versions of a key were exported, in lines and JSON, for `key show` and `who-owns`.
pub(super) async fn history(client: &Client, versions: &[Key]) -> (Vec<String>, Value) {
    let recipient = |o: &VerifiedOrder| {
        o.export().and_then(ExportKey::recipient).map(hex::encode).unwrap_or_default()
    };
    let (mut lines, mut entries) = (Vec::new(), Vec::new());
    for key in versions {
        let orders = match client.exports(key).await {
            Ok(orders) => orders,
            Err(error) => {
                lines.push(format!("exports     nobody could be asked: {error}"));
                return (lines, Value::Null);
            }
        };
        let of = match versions {
            [_] => String::new(),
            _ => format!(" (version {})", key.version()),
        };
        for order in &orders {
            lines.push(format!(
                "EXPORTED    to {} by order {} of {}{of}",
                recipient(order),
                order.hash().short(),
                render::time(order.order().issued_at)
            ));
            entries.push(json!({
                "version": key.version().get(),
                "order": order.hash().to_string(),
                "recipient": recipient(order),
                "issued_at": order.order().issued_at.0,
            }));
        }
    }
    (lines, json!(entries))
}

fn tell(roster: &Roster, left_out: &[LeftOut], failures: &[(u32, String)]) {
    for share in left_out {
        eprintln!("{}: {}", render::node(roster, share.node), share.reason);
    }
    for (node, reason) in failures {
        eprintln!("node {node} gave no share: {reason}");
    }
}

fn read_recipient(file: &Path) -> Result<RecipientKey, Failure> {
    let bad = || {
        let file = file.display();
        Failure::usage(format!("{file}: expected what `quorate key export-keygen` has written"))
    };
    let text = std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(|e| Failure::io(file.display(), &e))?;
    let bytes = armor::decode(TITLE, &text).map(Zeroizing::new).map_err(|_| bad())?;
    let bytes: Zeroizing<[u8; 32]> =
        Zeroizing::new(<[u8; 32]>::try_from(&bytes[..]).map_err(|_| bad())?);
    RecipientKey::from_bytes(&bytes).map_err(|_| bad())
}

/// A new file that only its owner can read.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let io = |e: std::io::Error| Failure::io(path.display(), &e);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)
}

fn push_hex(text: &mut String, byte: u8) {
    for nibble in [byte >> 4, byte & 15] {
        text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
    }
}
