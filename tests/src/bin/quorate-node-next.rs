//! A node as a later release could be, for tests of upgrades before there is one: the node of this
//! build, in a process of its own, which says that it speaks another protocol version (1.1, or what
//! `QUORATE_NEXT_PROTOCOL` says) and keeps its store in the next format.
//!
//! That format is today's under another number: the number is raised once the store is open, and
//! lowered before it is opened again.

use quorate_crypto::hash::Label;
use quorate_node::{Config, Honest, Node};
use quorate_rpc::v1::ProtocolVersion;
use sha2::{Digest, Sha256};
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};
use tokio::signal::unix::{SignalKind, signal};

/// Of the store, today and next.
const FORMATS: (u16, u16) = (1, 2);
const CHECK: usize = 32;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run()));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate-node-next: {error}");
            ExitCode::from(78)
        }
    }
}

/// `run --home DIR`, as a node takes it.
async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [run, flag, home] = &arguments[..] else { return Err("say: run --home DIR".into()) };
    if run != "run" || flag != "--home" {
        return Err("say: run --home DIR".into());
    }
    let said = std::env::var("QUORATE_NEXT_PROTOCOL").unwrap_or_else(|_| "1.1".into());
    let (major, minor) = said.split_once('.').ok_or("a protocol version is major.minor")?;
    let version = ProtocolVersion { major: major.parse()?, minor: minor.parse()? };
    quorate_rpc::danger_speak(version);

    let home = PathBuf::from(home);
    let config = Config::load(&home)?;
    let format = config.store.join("format");
    let mut terminate = signal(SignalKind::terminate())?;
    renumber(&format, FORMATS.1, FORMATS.0)?;
    let node = Node::start(&home, config, Arc::new(Honest)).await?;
    renumber(&format, FORMATS.0, FORMATS.1)?;
    eprintln!("speaks protocol {}, store format {}", ProtocolVersion::spoken(), FORMATS.1);
    tokio::select! {
        () = node.failed() => std::process::exit(70),
        _ = terminate.recv() => node.stop().await,
    }
    Ok(())
}

/// Gives the format file (`docs/protocol/store.md`) another number, if it has this one.
fn renumber(path: &Path, from: u16, to: u16) -> Result<(), Box<dyn Error>> {
    let mut bytes = fs::read(path)?;
    if bytes.get(4..6) != Some(&from.to_be_bytes()) {
        return Ok(());
    }
    bytes[4..6].copy_from_slice(&to.to_be_bytes());
    bytes.truncate(bytes.len().saturating_sub(CHECK));
    let mut check = Sha256::new();
    check.update(Label::STORE_CHECK.as_bytes());
    check.update((bytes.len() as u64).to_be_bytes());
    check.update(&bytes);
    bytes.extend_from_slice(&check.finalize());
    let beside = path.with_extension("next");
    fs::write(&beside, bytes)?;
    Ok(fs::rename(beside, path)?)
}
