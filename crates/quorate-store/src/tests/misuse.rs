//! Wrong directories, wrong keys, wrong hands: each refused by its own error.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use quorate_crypto::{IdentityKey, SecretBytes, ShareIndex};

use super::{epoch, folder, home, opening};
use crate::{
    Batch, Kek, Opening, SledStore, Store, StoreError, Tree,
    keyring::Keyring,
    layout::{CHECK_LEN, check},
};

/// Other tests of this process start children, and one that is being started has a copy of every
/// open file, a lock too, until it runs: a lock that goes away soon is no answer.
fn refused(dir: &Path, opening: impl Fn() -> Opening) -> StoreError {
    let begun = Instant::now();
    loop {
        match SledStore::open(dir, opening()) {
            Ok(_) => panic!("it opened"),
            Err(StoreError::InUse { .. }) if begun.elapsed() < Duration::from_secs(2) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(e) => return e,
        }
    }
}

#[test]
fn a_missing_or_empty_directory_is_never_begun_anew() {
    let home = folder();
    let dir = home.path().join("store");
    assert!(matches!(refused(&dir, opening), StoreError::Missing { .. }));
    assert!(!dir.exists());
    fs::create_dir(&dir).unwrap();
    assert!(matches!(refused(&dir, opening), StoreError::Missing { .. }));
    assert!(fs::read_dir(&dir).unwrap().next().is_none());
}

#[test]
fn each_missing_file_is_refused_by_name() {
    for file in
        ["format", "keys", "manifest", "sled/db", "sled/conf", "audit/audit-00000000000000000000"]
    {
        let home = home();
        let dir = home.path().join("store");
        fs::remove_file(dir.join(file)).unwrap();
        let error = refused(&dir, opening);
        assert_eq!(error.exit_code(), 65, "{file}: {error}");
        let folder = file.split('/').next().unwrap();
        assert!(error.to_string().contains(folder), "{file}: {error}");
        assert!(!dir.join(file).exists(), "{file} was made anew");
    }
    for folder in ["sled", "audit"] {
        let home = home();
        let dir = home.path().join("store");
        fs::remove_dir_all(dir.join(folder)).unwrap();
        assert_eq!(refused(&dir, opening).exit_code(), 65);
    }
}

#[test]
fn a_store_is_only_made_where_nothing_is() {
    let home = home();
    let dir = home.path().join("store");
    assert!(matches!(SledStore::create(&dir, opening()), Err(StoreError::NotEmpty { .. })));
    // What a crash during creation leaves is no obstacle.
    let (other, scratch) = (home.path().join("other"), home.path().join("other.creating"));
    fs::create_dir_all(scratch.join("sled")).unwrap();
    fs::write(scratch.join("keys"), b"half").unwrap();
    assert!(matches!(refused(&other, opening), StoreError::Missing { .. }));
    SledStore::create(&other, opening()).unwrap();
    assert!(!scratch.exists());
}

#[test]
fn another_nodes_clusters_identitys_or_formats_store_is_refused() {
    let home = home();
    let dir = home.path().join("store");
    let node = || Opening { node: ShareIndex::new(2).unwrap(), ..opening() };
    assert!(matches!(refused(&dir, node), StoreError::OtherNode { expected: 2, got: 1, .. }));
    let cluster = || Opening { cluster: [2; 32], ..opening() };
    assert!(matches!(refused(&dir, cluster), StoreError::OtherCluster { .. }));
    let identity = || Opening { identity: IdentityKey::from_seed(&[2; 32]), ..opening() };
    assert!(matches!(refused(&dir, identity), StoreError::OtherIdentity { .. }));

    for (file, version, end) in [("keys", 1, Some(Keyring::HEADER)), ("format", 2, None)] {
        let path = dir.join(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[5] = version;
        let body = end.unwrap_or(bytes.len()) - CHECK_LEN;
        let seal = check(&bytes[..body]);
        bytes[body..body + CHECK_LEN].copy_from_slice(&seal);
        fs::write(&path, bytes).unwrap();
        let error = refused(&dir, opening);
        let StoreError::OtherFormat { expected, got, .. } = error else { panic!("{error}") };
        assert_eq!((expected, got), (3 - u16::from(version), u16::from(version)), "{file}");
        assert_eq!(error.exit_code(), 78);
    }
}

/// Rows 25 and 27: files of another node, or of this node at another time, put in place of its own.
#[test]
fn swapped_files_are_refused() {
    let (ours, theirs) = (home(), home());
    let other = Opening { node: ShareIndex::new(2).unwrap(), ..opening() };
    let theirs = theirs.path().join("their store");
    SledStore::create(&theirs, other).unwrap().close().unwrap();
    let ours = ours.path().join("store");
    let store = SledStore::open(&ours, opening()).unwrap();
    let old = super::trace::read_all(&ours);
    store.commit(Batch::new().seal(Tree::Secrets, "s", &epoch("e"), vec![1])).unwrap();
    store.audit_append(vec![1]).unwrap();
    store.close().unwrap();
    let new = super::trace::read_all(&ours);
    let foreign = super::trace::read_all(&theirs);
    let audit = PathBuf::from("audit/audit-00000000000000000000");
    for file in ["keys", "manifest", "sled/db", audit.to_str().unwrap()] {
        for source in [&old, &foreign] {
            let copy = folder();
            super::trace::write_all(copy.path(), &new);
            fs::write(copy.path().join(file), &source[Path::new(file)]).unwrap();
            let same = source[Path::new(file)] == new[Path::new(file)];
            match SledStore::open(copy.path(), opening()) {
                Ok(_) => assert!(same, "{file} was swapped unseen"),
                Err(e) => assert_eq!(e.exit_code(), 65, "{file}: {e}"),
            }
        }
    }
}

#[test]
fn a_wrong_key_or_passphrase_is_told_from_corruption() {
    let home = home();
    let dir = home.path().join("store");
    let with = |kek| Opening { kek, ..opening() };
    let wrong = || Kek::from_bytes(SecretBytes::new([1; 32]));
    let phrase = |p: &str| Kek::from_passphrase(p.as_bytes().to_vec());
    assert!(matches!(refused(&dir, || with(wrong())), StoreError::WrongKek { .. }));
    let kind = refused(&dir, || with(phrase("a passphrase")));
    assert!(matches!(kind, StoreError::KekKind { expected: "key", .. }));

    let dir = home.path().join("by passphrase");
    SledStore::create(&dir, with(phrase("correct horse"))).unwrap().close().unwrap();
    SledStore::open(&dir, with(phrase("correct horse"))).unwrap().close().unwrap();
    let error = refused(&dir, || with(phrase("battery staple")));
    assert!(matches!(error, StoreError::WrongKek { source_name: "passphrase", .. }));
    assert_eq!(error.exit_code(), 78);
    assert!(!error.to_string().contains("battery"));
    assert!(matches!(refused(&dir, || with(wrong())), StoreError::KekKind { .. }));
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let home = folder();
    let path = home.path().join("kek");
    Kek::generate_file(&path).unwrap();
    assert!(Kek::from_file(&path).is_ok());
    assert!(Kek::generate_file(&path).is_err(), "it was overwritten");
    let chmod = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o440, 0o644, 0o404, 0o500] {
        chmod(mode);
        assert!(Kek::from_file(&path).unwrap_err().to_string().contains("chmod 0400"));
    }
    chmod(0o600);
    fs::write(&path, [1; 31]).unwrap();
    assert!(Kek::from_file(&path).unwrap_err().to_string().contains("exactly 32 bytes"));
    let Kek::Key(key) = Kek::from_bytes(SecretBytes::new([7; 32])) else { panic!() };
    assert_eq!(format!("{:?}", Kek::Key(key)), "Kek(key, [redacted])");
}

#[test]
fn two_handles_cannot_hold_one_store() {
    let home = home();
    let dir = home.path().join("store");
    let store = SledStore::open(&dir, opening()).unwrap();
    let error = refused(&dir, opening);
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    store.commit(Batch::new().put(Tree::Meta, "k", "v")).unwrap();
    drop(store);
    SledStore::open(&dir, opening()).unwrap();
}
