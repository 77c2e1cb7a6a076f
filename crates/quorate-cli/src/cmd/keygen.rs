//! `quorate operator keygen` and `quorate client keygen`.

use crate::{args::Keygen, failure::Failure, output::Report, session::ask_passphrase};
use quorate_client::{Home, NewHome, Role};
use quorate_crypto::{IdentityKey, envelope::Cost};
use quorate_types::{Cluster, PartyName, RosterChain, keyfile};
use serde_json::json;
use std::{
    fs::{DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
};
use zeroize::Zeroizing;

/// Makes a key. With a roster it becomes a whole home; without one the home is completed
/// when there is a roster: an operator's key comes before the roster that names it.
///
/// # Errors
/// When something is there already, or the roster is not the cluster's.
pub fn run(args: &Keygen, role: Role) -> Result<Report, Failure> {
    let name = PartyName::new(&args.name).map_err(Failure::usage)?;
    let passphrase = args.passphrase.then(|| ask_passphrase("New passphrase: ")).transpose()?;
    let key_file = args.dir.join("identity.key");
    let Some(roster) = &args.roster else {
        let key = IdentityKey::generate(&mut rand::rng());
        let text = match &passphrase {
            None => keyfile::plain(&key),
            Some(p) => keyfile::sealed(&key, p, &Cost::DEFAULT, &mut rand::rng())
                .map(Zeroizing::new)
                .map_err(Failure::new)?,
        };
        let io = |e: std::io::Error| Failure::io(key_file.display(), &e);
        DirBuilder::new().recursive(true).mode(0o700).create(&args.dir).map_err(io)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&key_file)
            .map_err(io)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        return Ok(report(args, &name, &key, None));
    };
    let text = std::fs::read_to_string(roster).map_err(|e| Failure::io(roster.display(), &e))?;
    let chain = RosterChain::from_text(&text)
        .map_err(|e| Failure::verification(format!("{}: {e}", roster.display())))?;
    let cluster = match &args.fingerprint {
        Some(pinned) => Cluster::verify(&pinned.parse().map_err(Failure::usage)?, &chain.0),
        None => Cluster::from_genesis(&chain.0),
    }
    .map_err(Failure::verification)?;
    // An operator's key that was made before its roster is taken over.
    let key = match std::fs::read_to_string(&key_file) {
        Ok(text) => {
            let passphrase = match keyfile::is_sealed(&text) {
                true => Some(ask_passphrase("Passphrase: ")?),
                false => None,
            };
            keyfile::read(&text, passphrase.as_ref().map(|p| p.as_slice()), &Cost::FLOOR)
                .map_err(Failure::new)?
        }
        Err(_) => IdentityKey::generate(&mut rand::rng()),
    };
    if args.dir.join("quorate.toml").exists() {
        return Err(Failure::new(format!("{} is a home already", args.dir.display())));
    }
    // Its content is at hand; `create` writes it anew, and refuses to replace one.
    let kept = args.dir.join("identity.key.kept");
    let replaced = key_file.exists();
    if replaced {
        std::fs::rename(&key_file, &kept).map_err(|e| Failure::io(kept.display(), &e))?;
    }
    let new = NewHome {
        role,
        cluster: &cluster,
        identity: &key,
        passphrase: passphrase.as_ref().map(|p| p.as_slice()),
        threshold: None,
        coordinators: Vec::new(),
    };
    Home::create(&args.dir, &new).map_err(|e| Failure::from(quorate_client::Error::from(e)))?;
    if replaced {
        std::fs::remove_file(&kept).map_err(|e| Failure::io(kept.display(), &e))?;
    }
    Ok(report(args, &name, &key, Some(&cluster)))
}

fn report(args: &Keygen, name: &PartyName, key: &IdentityKey, cluster: Option<&Cluster>) -> Report {
    let public = key.public();
    let mut lines = vec![format!("{name}={public}")];
    match cluster {
        Some(cluster) => lines.push(format!("pinned cluster {}", cluster.fingerprint())),
        None => lines.push(format!(
            "once the roster exists: quorate operator keygen --dir {} --name {name} --roster FILE",
            args.dir.display()
        )),
    }
    let json = json!({
        "name": name.as_str(),
        "key": public.to_string(),
        "fingerprint": cluster.map(|c| c.fingerprint().to_string()),
    });
    Report::new(lines.join("\n"), json)
}
