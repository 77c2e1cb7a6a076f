//! Home directories.

use crate::cluster::{CLIENT, Coordinator, Fake, NOW, cluster_of, fake, genesis, key};
use quorate_client::{Client, Home, HomeError, NewHome, Role};
use quorate_types::Roster;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A client's home at `dir`.
pub(crate) fn client_home(fake: &Arc<Fake>, dir: &Path) -> PathBuf {
    let new = NewHome {
        role: Role::Client,
        cluster: &fake.cluster,
        identity: &key(CLIENT),
        passphrase: None,
        threshold: None,
        coordinators: Vec::new(),
    };
    Home::create(dir, &new).unwrap();
    dir.to_owned()
}

pub(crate) fn client_at(home: &Path, coordinator: Arc<Coordinator>) -> Client {
    Client::builder().home(home).transport(coordinator).clock(|| NOW).build().unwrap()
}

fn home() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let home = client_home(&fake(), &dir.path().join("client"));
    (dir, home)
}

fn error(home: &Path) -> String {
    match Home::open(home).and_then(|h| h.identity(None).map(|_| ())) {
        Ok(()) => panic!("the home opens"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn a_home_comes_back() {
    let (_dir, path) = home();
    let home = Home::open(&path).unwrap();
    assert_eq!(home.cluster().roster(), &genesis());
    assert_eq!(home.config().role, Role::Client);
    assert_eq!(home.identity(None).unwrap().public(), key(CLIENT).public());
    assert!(!home.is_sealed().unwrap());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 4, "no temporary file is left");
}

#[test]
fn a_home_is_never_overwritten() {
    let (_dir, path) = home();
    let fake = fake();
    let new = NewHome {
        role: Role::Operator,
        cluster: &fake.cluster,
        identity: &key(101),
        passphrase: None,
        threshold: Some(3),
        coordinators: vec!["127.0.0.1:1".parse().unwrap()],
    };
    assert!(matches!(Home::create(&path, &new), Err(HomeError::Exists(_))));
    assert_eq!(Home::open(&path).unwrap().config().role, Role::Client);
    let other = path.with_file_name("operator");
    let home = Home::create(&other, &new).unwrap();
    assert_eq!(home.coordinators().unwrap()[0].as_str(), "127.0.0.1:1");
    assert_eq!(Home::open(&other).unwrap().config(), home.config());
}

#[cfg(unix)]
#[test]
fn the_identity_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, path) = home();
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let identity = path.join("identity.key");
    assert_eq!(mode(&identity), 0o600);
    for bad in [0o640, 0o604, 0o660] {
        fs::set_permissions(&identity, fs::Permissions::from_mode(bad)).unwrap();
        let text = error(&path);
        assert!(text.contains(&format!("mode {bad:o}")) && text.contains("chmod 600"), "{text}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let (_dir, path) = home();
    let text = error(&path.join("nowhere"));
    assert!(text.contains("is no home directory") && text.contains("--home"), "{text}");
    fs::remove_file(path.join("identity.key")).unwrap();
    assert!(error(&path).contains("identity.key is missing"), "{}", error(&path));
    fs::remove_file(path.join("roster.json")).unwrap();
    assert!(error(&path).contains("roster.json is missing; ask an operator"));
}

#[test]
fn unknown_settings_are_refused() {
    let (_dir, path) = home();
    let config = path.join("quorate.toml");
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("fingerprnit = \"x\"\n{good}")).unwrap();
    assert!(error(&path).contains("fingerprnit"), "{}", error(&path));
    fs::write(&config, good.replace("client", "owner")).unwrap();
    assert!(error(&path).contains("quorate.toml"), "{}", error(&path));
    fs::write(&config, good.replace("fingerprint = \"", "fingerprint = \"z")).unwrap();
    assert!(error(&path).contains("64 lower-case hexadecimal digits"), "{}", error(&path));
}

#[test]
fn a_roster_of_another_cluster_is_refused() {
    let (_dir, path) = home();
    let foreign = cluster_of(&Roster { nonce: [8; 32], ..genesis() });
    let text = quorate_types::RosterChain(foreign.chain().to_vec()).to_text();
    fs::write(path.join("roster.json"), text).unwrap();
    let error = quorate_client::Error::from(Home::open(&path).unwrap_err());
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("this is another cluster"), "{error}");
    fs::write(path.join("roster.json"), "hello").unwrap();
    assert!(Home::open(&path).unwrap_err().to_string().contains("QUORATE ROSTER"));
}

#[test]
fn a_sealed_identity_needs_its_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let fake = fake();
    let new = NewHome {
        role: Role::Client,
        cluster: &fake.cluster,
        identity: &key(CLIENT),
        passphrase: Some(b"correct horse battery"),
        threshold: None,
        coordinators: Vec::new(),
    };
    let path = dir.path().join("client");
    let home = Home::create(&path, &new).unwrap();
    assert!(home.is_sealed().unwrap());
    assert!(error(&path).contains("a passphrase is needed"), "{}", error(&path));
    let opened = home.identity(Some(b"correct horse battery")).unwrap();
    assert_eq!(opened.public(), key(CLIENT).public());
    assert!(home.identity(Some(b"another passphrase")).is_err());
}
