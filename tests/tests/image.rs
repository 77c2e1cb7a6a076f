//! Whoever has the whole disk of a node, and the key-encryption key, does not get back what the
//! node has erased: shares of an epoch before the one in force.
//!
//! The adversary knows everything about the formats (`docs/protocol/store.md`) and all public
//! values: cluster, node, key, epoch numbers. It is written here a second time, from the document,
//! and uses nothing of the store. It tries every window of every file of the node's home as a
//! wrapped key: first under the KEK, then under the root keys that gave, then every record of the
//! two epochs under every key that it has. What it can do, the image of before the refresh shows.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use quorate_ceremony::Subject;
use quorate_client::{Operator, operator::Via};
use quorate_crypto::{SecretScalar, ShareIndex, hash::Label};
use quorate_tests::Cluster;
use quorate_types::{EpochPublic, KeyName};
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Instant,
};

const KEY: &str = "demo";
const PASSPHRASE: &[u8] = b"a passphrase of many words, for a test";
/// The node whose KEK is a file, and the one whose KEK is a passphrase.
const NODES: [(u16, Kek); 2] = [(1, Kek::File), (4, Kek::Passphrase)];

#[derive(Clone, Copy, Debug)]
enum Kek {
    File,
    Passphrase,
}

#[test]
fn no_disk_image_of_after_a_refresh_opens_an_old_share_with_the_kek_at_hand() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    add_a_node_with_a_passphrase(&mut cluster);
    ok(&cluster.operator(&["key", "create", KEY, "--threshold", "2"]));
    let old = in_force(&cluster);
    let before = NODES.map(|(node, _)| image(&mut cluster, node));
    cluster.wait_until_serving();
    let text = ok(&cluster.operator(&["share", "refresh", KEY]));
    assert!(text.contains("every old share is reported erased"), "{text}");
    let new = in_force(&cluster);
    assert!(new.epoch.number > old.epoch.number);
    let after = NODES.map(|(node, _)| image(&mut cluster, node));

    for (at, (node, kek)) in NODES.into_iter().enumerate() {
        let began = Instant::now();
        let adversary = Adversary { cluster: *old.fingerprint.as_bytes(), node, kek };
        let (then, now) =
            (adversary.search(&before[at], &[&old]), adversary.search(&after[at], &[&old, &new]));
        println!("node {node}, {kek:?}: {:?}", began.elapsed());

        // Before: the adversary has the share of the epoch that was in force then, and it is it.
        let share = then.shares.get(&old.epoch.number).expect("the scan finds what is there");
        assert!(is_share(&old, node, share), "it is the node's share");
        // After: that of the new one, and nothing of the old one.
        let fresh = now.shares.get(&new.epoch.number).expect("the scan finds what is there");
        assert!(is_share(&new, node, fresh), "it is the node's share");
        assert_eq!(now.epoch_keys.get(&old.epoch.number), None, "an erased epoch's key opens");
        assert_eq!(now.shares.get(&old.epoch.number), None, "an erased share opens");
        // Not for want of the record: the database's log has it still, and it opens as soon as
        // its key is known from elsewhere. All hangs on the key file.
        let key = &then.epoch_keys[&old.epoch.number];
        let opened = adversary.open_records(&after[at], &old, &[*key]);
        assert_eq!(opened.as_ref(), Some(share), "the database has forgotten the record itself");
        // And neither lies in the clear anywhere.
        let roots = then.roots.iter().map(|(_, root)| root);
        for secret in [share, key].into_iter().chain(roots) {
            assert!(!after[at].values().any(|file| contains(file, secret)));
        }
    }
}

/// The same adversary, and a key that was deleted: no share of it opens, though the records of the
/// node's database are there still.
#[test]
fn no_disk_image_of_after_a_deletion_opens_a_share_with_the_kek_at_hand() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    ok(&cluster.operator(&["key", "create", KEY, "--threshold", "2", "--quick-deletion"]));
    let epoch = in_force(&cluster);
    let (node, kek) = NODES[0];
    let before = image(&mut cluster, node);
    ok(&cluster.operator(&["key", "schedule-deletion", KEY, "--after", "1s", "--yes"]));
    let show = ["--output", "json", "key", "show", KEY];
    let began = Instant::now();
    loop {
        let shown: serde_json::Value = serde_json::from_str(&ok(&cluster.operator(&show))).unwrap();
        let nodes = shown["state"]["nodes"].as_array().unwrap();
        if nodes.len() == 3 && nodes.iter().all(|n| n["destroyed_at"].is_u64()) {
            break;
        }
        assert!(began.elapsed().as_secs() < 30, "{shown}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let after = image(&mut cluster, node);
    let adversary = Adversary { cluster: *epoch.fingerprint.as_bytes(), node, kek };
    let (then, now) = (adversary.search(&before, &[&epoch]), adversary.search(&after, &[&epoch]));
    let share = then.shares.get(&epoch.epoch.number).expect("the scan finds what is there");
    assert!(is_share(&epoch, node, share), "it is the node's share");
    assert!(!now.roots.is_empty(), "the scan opens what it can");
    assert_eq!(now.epoch_keys.get(&epoch.epoch.number), None, "an erased epoch's key opens");
    assert_eq!(now.shares.get(&epoch.epoch.number), None, "an erased share opens");
    let key = &then.epoch_keys[&epoch.epoch.number];
    let opened = adversary.open_records(&after, &epoch, &[*key]);
    assert_eq!(opened.as_ref(), Some(share), "the database has forgotten the record itself");
    for secret in [share, key].into_iter().chain(then.roots.iter().map(|(_, root)| root)) {
        assert!(!after.values().any(|file| contains(file, secret)));
    }
}

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Node 4 joins; what it holds is sealed under a passphrase, which is not on its disk.
fn add_a_node_with_a_passphrase(cluster: &mut Cluster) {
    let file = cluster.home("passphrase");
    fs::write(&file, PASSPHRASE).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    let card = cluster.new_node_with(4, "", &["--passphrase-file", file.to_str().unwrap()]);
    ok(&cluster.operator(&["cluster", "add", "--node-file", card.to_str().unwrap()]));
    cluster.give_roster("node-4");
    cluster.start_node(4);
    cluster.wait_until_serving();
}

/// The public values of the epoch in force.
fn in_force(cluster: &Cluster) -> EpochPublic {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let operator = Operator::open(cluster.home("operator-1"), None, &Via::Coordinators);
        let key = operator.unwrap().key_in_force(&KeyName::new(KEY).unwrap()).await.unwrap();
        key.public().clone()
    })
}

/// Every file of a node's home, the machine being off.
type Image = BTreeMap<PathBuf, Vec<u8>>;

fn image(cluster: &mut Cluster, node: u16) -> Image {
    let home = cluster.home(&format!("node-{node}"));
    assert!(cluster.stop(node).success());
    let mut files = Image::new();
    let mut folders = vec![home];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => drop(files.insert(entry.path(), fs::read(entry.path()).unwrap())),
            }
        }
    }
    cluster.start_node(node);
    cluster.wait_until_serving();
    files
}

fn is_share(epoch: &EpochPublic, node: u16, share: &[u8; 32]) -> bool {
    let commitments = epoch.decode_commitments().unwrap();
    let share = SecretScalar::from_bytes(share).expect("a canonical scalar");
    commitments.verify_share(ShareIndex::new(node).unwrap(), &share)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

/// Who has the disk and the KEK of this node.
struct Adversary {
    cluster: [u8; 32],
    node: u16,
    kek: Kek,
}

/// What opens, by epoch number.
#[derive(Default)]
struct Loot {
    /// With the generation that they are bound to.
    roots: Vec<(u64, [u8; 32])>,
    epoch_keys: BTreeMap<u64, [u8; 32]>,
    shares: BTreeMap<u64, [u8; 32]>,
}

impl Adversary {
    fn search(&self, image: &Image, epochs: &[&EpochPublic]) -> Loot {
        let windows = windows(image);
        let kek = self.wrapping_key(image);
        let mut loot = Loot::default();
        // More generations than the key file has had.
        for generation in 1..=generation(image) + 1 {
            let aad = self.aad(Label::STORE_ROOT_KEY, &[&generation.to_be_bytes()]);
            let found = windows.iter().filter_map(|w| open(&kek, &aad, w));
            loot.roots.extend(found.map(|root| (generation, root)));
        }
        assert!(!loot.roots.is_empty(), "a home opens with its KEK");
        for epoch in epochs {
            let (number, id) = (epoch.epoch.number, store_epoch(epoch));
            let key = loot.roots.iter().find_map(|(generation, root)| {
                // More places than the key file has entries.
                (0..=entries(image)).find_map(|place| {
                    let parts: [&[u8]; 3] = [&generation.to_be_bytes(), &place.to_be_bytes(), &id];
                    let aad = self.aad(Label::STORE_EPOCH_KEY, &parts);
                    windows.iter().find_map(|w| open(root, &aad, w))
                })
            });
            let key = key.or_else(|| {
                loot.roots.iter().find_map(|(generation, root)| {
                    let aad = self.aad(Label::STORE_EPOCHS, &[&generation.to_be_bytes()]);
                    blocks(image).into_iter().find_map(|block| {
                        let plain = open_all(root, &aad, block)?;
                        let at = plain.windows(id.len()).position(|w| w == id)? + id.len();
                        plain[at..].first_chunk().copied()
                    })
                })
            });
            loot.epoch_keys.extend(key.map(|key| (number, key)));
        }
        let roots = loot.roots.iter().map(|(_, root)| *root);
        let keys: Vec<_> = roots.chain(loot.epoch_keys.values().copied()).chain([kek]).collect();
        for epoch in epochs {
            let share = self.open_records(image, epoch, &keys);
            loot.shares.extend(share.map(|share| (epoch.epoch.number, share)));
        }
        loot
    }

    /// The node's share of an epoch, from any place where a record of it may begin.
    fn open_records(
        &self,
        image: &Image,
        epoch: &EpochPublic,
        keys: &[[u8; 32]],
    ) -> Option<[u8; 32]> {
        let id = store_epoch(epoch);
        let name = share_record(epoch);
        // sequence u64 ‖ length of the epoch u8 ‖ epoch ‖ body
        let head = 8 + 1 + id.len();
        image.values().flat_map(|file| file.windows(head + SEALED)).find_map(|w| {
            let (sequence, rest) = w.split_at(8);
            let (epoch, body) = rest[1..].split_at(id.len());
            if epoch != id {
                return None;
            }
            let aad = self.aad(Label::STORE_SEALED, &[&[1], &name, &id, sequence]);
            keys.iter().find_map(|key| open(key, &aad, body))
        })
    }

    /// HKDF over the key file, or over the stretched passphrase.
    fn wrapping_key(&self, image: &Image) -> [u8; 32] {
        let key = match self.kek {
            Kek::File => file(image, "kek").to_vec(),
            Kek::Passphrase => {
                assert!(!image.keys().any(|path| path.ends_with("kek")));
                // kind 4 ‖ version 2 ‖ node 2 ‖ cluster 32 ‖ identity 32 ‖ 2 ‖ costs ‖ salt
                let format = file(image, "store/format");
                assert_eq!(format[72], 2, "a store under a passphrase");
                let cost = |at: usize| u32::from_be_bytes(format[at..at + 4].try_into().unwrap());
                let params = argon2::Params::new(cost(73), cost(77), cost(81), Some(32)).unwrap();
                let (algorithm, version) = (argon2::Algorithm::Argon2id, argon2::Version::V0x13);
                let mut key = vec![0; 32];
                argon2::Argon2::new(algorithm, version, params)
                    .hash_password_into(PASSPHRASE, &format[85..101], &mut key)
                    .unwrap();
                key
            }
        };
        let mut out = [0; 32];
        hkdf::Hkdf::<sha2::Sha256>::new(Some(&self.cluster), &key)
            .expand(Label::STORE_WRAP.as_bytes(), &mut out)
            .unwrap();
        out
    }

    fn aad(&self, label: Label, parts: &[&[u8]]) -> Vec<u8> {
        let mut out = label.as_bytes().to_vec();
        out.extend_from_slice(&self.node.to_be_bytes());
        out.extend_from_slice(&self.cluster);
        for part in parts {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }
}

/// Nonce and tag.
const SEAL: usize = 24 + 16;

/// A sealed key.
const SEALED: usize = SEAL + 32;

/// An epoch in a block of keys: length, name, key.
const ENTRY: usize = 2 + 32 + 32;

/// Every window of every file in which a key may lie wrapped. One that begins with eight zeros is
/// none, since a nonce is random; the files are full of zeros.
fn windows(image: &Image) -> HashSet<&[u8]> {
    let all = image.values().flat_map(|file| file.windows(SEALED));
    all.filter(|w| w[..8] != [0; 8]).collect()
}

/// What may be a block of epochs' keys: whatever has its own length, that of so many entries,
/// in front of it.
fn blocks(image: &Image) -> Vec<&[u8]> {
    let mut found = Vec::new();
    for file in image.values() {
        for at in 0..file.len().saturating_sub(4) {
            let (length, rest) = file[at..].split_first_chunk().expect("four bytes are left");
            let length = u32::from_be_bytes(*length) as usize;
            if length > SEAL && (length - SEAL).is_multiple_of(ENTRY) {
                found.extend(rest.get(..length));
            }
        }
    }
    found
}

fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Option<[u8; 32]> {
    open_all(key, aad, sealed)?.try_into().ok()
}

fn open_all(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_first_chunk::<24>()?;
    let cipher = XChaCha20Poly1305::new(key.into());
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: body, aad }).ok()
}

/// How many keys of epochs the key file has, at most.
fn entries(image: &Image) -> u32 {
    let header = 4 + 2 + 2 + 32 + 8 + SEALED + 32;
    u32::try_from((file(image, "store/keys").len() - header).div_ceil(ENTRY)).unwrap()
}

/// How often the key file was written.
fn generation(image: &Image) -> u64 {
    u64::from_be_bytes(file(image, "store/keys")[40..48].try_into().unwrap())
}

fn file<'a>(image: &'a Image, end: &str) -> &'a [u8] {
    let found = image.iter().find(|(path, _)| path.ends_with(Path::new(end)));
    found.map(|(_, bytes)| &bytes[..]).expect("a home has this file")
}

/// What the store calls the epoch.
fn store_epoch(epoch: &EpochPublic) -> [u8; 32] {
    let (key, version, number) = (epoch.key.clone(), epoch.version, epoch.epoch.number);
    Subject { key, version, number }.store_epoch()
}

/// Where the share lies: kind ‖ name ‖ 0 ‖ version ‖ number.
fn share_record(epoch: &EpochPublic) -> Vec<u8> {
    const SHARE: u8 = 3;
    let (version, number) = (epoch.version.get().to_be_bytes(), epoch.epoch.number.to_be_bytes());
    [&[SHARE][..], epoch.key.as_str().as_bytes(), &[0], &version, &number].concat()
}
