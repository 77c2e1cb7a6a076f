//! A coordinator's home: a TLS key and a configuration.

use crate::config::{FILE, MANUAL};
use quorate_crypto::IdentityKey;
use quorate_types::{
    CoordinatorCard, CoordinatorEntry, Endpoint, PartyName,
    armor::{self, Title},
    keyfile,
};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// What a coordinator states of itself.
#[derive(Clone, Debug)]
pub struct Init {
    /// Its name in the roster.
    pub name: PartyName,
    /// Where clients and operators dial.
    pub endpoint: Endpoint,
    /// Where it listens.
    pub listen: SocketAddr,
}

/// Makes a home: key, configuration. Overwrites nothing.
///
/// # Errors
/// The file that could not be made, `AlreadyExists` for a home that is there.
pub fn init(home: &Path, init: &Init) -> io::Result<CoordinatorCard> {
    DirBuilder::new().recursive(true).mode(0o700).create(home)?;
    let key = IdentityKey::generate(&mut UnwrapErr(SysRng));
    write_new(&home.join("tls.key"), 0o600, keyfile::plain(&key).as_bytes())?;
    let config = MANUAL.replace("{listen}", &init.listen.to_string());
    write_new(&home.join(FILE), 0o644, config.as_bytes())?;
    File::open(home)?.sync_all()?;
    let entry = CoordinatorEntry {
        name: init.name.clone(),
        endpoint: init.endpoint.clone(),
        tls_key: key.public(),
    };
    Ok(CoordinatorCard::sign(entry, &key))
}

/// The card as text, for the operator who writes the roster.
#[must_use]
pub fn card_text(card: &CoordinatorCard) -> String {
    armor::write(Title::COORDINATOR, card)
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(named)?;
    file.write_all(bytes).map_err(named)?;
    file.sync_all().map_err(named)
}
