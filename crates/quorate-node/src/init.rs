//! A node's beginning: its keys are made on its own machine and never leave it.

use crate::{
    config::{self, KekSource},
    home::{self, HomeError},
    kek::{self, KekError, Membership},
};
use quorate_crypto::{
    IdentityKey,
    envelope::{Cost, EnvelopeError},
};
use quorate_store::{Kek, StoreError};
use quorate_types::{
    Endpoint, Jurisdiction, NodeCard, NodeEntry, NodeIndex, PartyName, ProviderName,
    armor::{self, Title},
};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Why no home was made.
#[derive(Debug, Error)]
pub enum InitError {
    /// A file is in the way, or the disk refuses.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The key-encryption key.
    #[error(transparent)]
    Kek(#[from] KekError),
    /// The key-encryption key's file.
    #[error(transparent)]
    KekFile(#[from] StoreError),
    /// The identity cannot be sealed.
    #[error(transparent)]
    Seal(#[from] EnvelopeError),
}

/// What a new node is told about itself.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The directory to make. It may be there, but none of the files may.
    pub home: PathBuf,
    /// What goes on the node's card, but for the identity.
    pub name: PartyName,
    /// Where others dial.
    pub endpoint: Endpoint,
    /// Who runs the machine.
    pub provider: ProviderName,
    /// Where the provider is at home.
    pub home_jurisdiction: Jurisdiction,
    /// Where the machine stands.
    pub location: Jurisdiction,
    /// The index that the node would like; the operators decide.
    pub index: NodeIndex,
    /// Where to listen; by default everywhere, on the endpoint's port.
    pub listen: Option<SocketAddr>,
    /// Where to serve metrics, if at all.
    pub metrics_listen: Option<SocketAddr>,
    /// What seals the identity and the store. A key file that is missing is made.
    pub kek: KekSource,
    /// Where to write the node's card as well.
    pub public_out: Option<PathBuf>,
}

impl InitOptions {
    /// A home with a key file in it, and the first index as a wish.
    #[must_use]
    pub fn new(
        home: impl Into<PathBuf>,
        name: PartyName,
        endpoint: Endpoint,
        provider: ProviderName,
        home_jurisdiction: Jurisdiction,
        location: Jurisdiction,
    ) -> Self {
        Self {
            home: home.into(),
            name,
            endpoint,
            provider,
            home_jurisdiction,
            location,
            index: NodeIndex::new(1).expect("1 is not 0"),
            listen: None,
            metrics_listen: None,
            kek: KekSource::File("kek".into()),
            public_out: None,
        }
    }
}

/// Makes a node's home: key-encryption key (unless it is there), identity key sealed under
/// it, `node.toml`. Gives the public part that the operators put into the roster.
///
/// A crash on the way leaves a home that the next attempt refuses: nobody has seen its
/// identity, so it can be removed.
///
/// # Errors
/// [`InitError`]; what was there is left as it was.
pub fn init(options: &InitOptions) -> Result<NodeCard, InitError> {
    let (toml, identity_file) =
        (options.home.join(config::FILE), options.home.join("identity.key"));
    for path in [Some(&toml), Some(&identity_file), options.public_out.as_ref()] {
        path.map_or(Ok(()), |p| home::must_be_free(p))?;
    }
    home::make_dir(&options.home)?;
    let kek = kek_of(options)?;

    let identity = IdentityKey::generate(&mut UnwrapErr(SysRng));
    let sealed = kek::seal_identity(&identity, &kek, &Cost::DEFAULT, Membership::New)?;
    let card = NodeCard::sign(entry(options, &identity), &identity);
    home::write_new(&identity_file, sealed.as_bytes(), 0o600)?;
    home::write_new(&toml, toml_text(options).as_bytes(), 0o600)?;
    if let Some(path) = &options.public_out {
        home::write_new(path, armor::write(Title::NODE, &card).as_bytes(), 0o644)?;
    }
    Ok(card)
}

fn kek_of(options: &InitOptions) -> Result<Kek, InitError> {
    let source = match &options.kek {
        KekSource::File(path) => KekSource::File(options.home.join(path)),
        KekSource::PassphraseFile(path) => KekSource::PassphraseFile(options.home.join(path)),
        KekSource::Credential(name) => KekSource::Credential(name.clone()),
    };
    if let KekSource::File(path) = &source
        && !path.exists()
    {
        return Ok(Kek::generate_file(path)?);
    }
    Ok(kek::load(&source)?)
}

fn entry(options: &InitOptions, identity: &IdentityKey) -> NodeEntry {
    NodeEntry {
        index: options.index,
        name: options.name.clone(),
        endpoint: options.endpoint.clone(),
        provider: options.provider.clone(),
        location: options.location.clone(),
        home: options.home_jurisdiction.clone(),
        identity: identity.public(),
    }
}

fn toml_text(options: &InitOptions) -> String {
    let quoted = |s: &str| toml::Value::String(s.to_owned()).to_string();
    let path = |p: &Path| quoted(&p.to_string_lossy());
    let kek = match &options.kek {
        KekSource::File(p) => format!("{{ file = {} }}", path(p)),
        KekSource::PassphraseFile(p) => format!("{{ passphrase-file = {} }}", path(p)),
        KekSource::Credential(name) => format!("{{ credential = {} }}", quoted(name)),
    };
    let listen = options
        .listen
        .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, options.endpoint.port())));
    let mut text = format!(
        "# Node {}. `quorate-node config` prints every key with its manual and default.\n\
         listen = \"{listen}\"\nkek = {kek}\n",
        options.name
    );
    if let Some(metrics) = options.metrics_listen {
        text.push_str(&format!("metrics_listen = \"{metrics}\"\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn options(home: &Path) -> InitOptions {
        InitOptions::new(
            home,
            PartyName::new("node-1").unwrap(),
            Endpoint::new("node-1.example.org:7401").unwrap(),
            ProviderName::new("Nordlys Cloud").unwrap(),
            Jurisdiction::new("US").unwrap(),
            Jurisdiction::new("DE").unwrap(),
        )
    }

    #[test]
    fn a_home_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("n");
        let card = init(&options(&home)).unwrap();
        for (file, mode) in [("", 0o700), ("kek", 0o400), ("identity.key", 0o600)] {
            let meta = fs::metadata(home.join(file)).unwrap();
            assert_eq!(meta.permissions().mode() & 0o777, mode, "{file}");
        }
        let config = Config::load(&home).unwrap();
        assert_eq!(config.listen.to_string(), "0.0.0.0:7401");
        let key = kek::open_identity(&config.identity, &kek::load(&config.kek).unwrap()).unwrap();
        assert_eq!(key.public(), card.entry.identity);

        let before = fs::read(home.join("identity.key")).unwrap();
        assert!(matches!(init(&options(&home)), Err(InitError::Home(HomeError::Exists { .. }))));
        assert_eq!(fs::read(home.join("identity.key")).unwrap(), before);
        // Text, armored, with nothing of the seed in it.
        let seed = key.seed();
        assert!(!before.windows(8).any(|w| w == &seed[..8]));
    }

    #[test]
    fn an_identity_does_not_open_under_another_kek_or_one_that_others_can_read() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("n");
        init(&options(&home)).unwrap();
        let other = Kek::generate_file(&dir.path().join("other")).unwrap();
        let refused = kek::open_identity(&home.join("identity.key"), &other);
        assert!(matches!(refused, Err(KekError::Envelope { .. })), "{refused:?}");
        fs::set_permissions(home.join("kek"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(kek::load(&KekSource::File(home.join("kek"))).is_err());
    }
}
