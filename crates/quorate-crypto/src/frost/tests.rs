//! Signing, as it is meant.

use super::*;
use crate::{
    group::Group,
    index::{ShareIndex, Threshold},
    secret::SecretScalar,
    sharing::{Commitments, Polynomial},
};
use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

/// A key shared among nodes 1 to `n`.
pub(super) struct Shared {
    pub(super) threshold: Threshold,
    pub(super) commitments: Commitments,
    pub(super) secrets: BTreeMap<ShareIndex, SecretScalar>,
}

pub(super) fn index(i: u16) -> ShareIndex {
    ShareIndex::new(i).unwrap()
}

impl Shared {
    pub(super) fn of(t: u16, nodes: &[u16]) -> Self {
        Self::of_secret(t, nodes, &SecretScalar::random(&mut rand::rng()))
    }

    pub(super) fn of_secret(t: u16, nodes: &[u16], secret: &SecretScalar) -> Self {
        let threshold = Threshold::new(t, nodes.len()).unwrap();
        let f = Polynomial::random(threshold, secret, &mut rand::rng()).unwrap();
        let secrets = nodes.iter().map(|i| (index(*i), f.evaluate(index(*i)))).collect();
        Self { threshold, commitments: f.commit(Group::Edwards25519), secrets }
    }

    pub(super) fn key(&self, i: u16) -> KeyShare {
        let share = &self.secrets[&index(i)];
        KeyShare::new(index(i), share, self.threshold, &self.commitments).unwrap()
    }

    /// Fresh nonces of these signers, and the set that names them.
    pub(super) fn set(&self, message: &[u8], who: &[u16]) -> (Vec<(u16, NoncePair)>, SigningSet) {
        let drawn = who.iter().map(|i| (*i, commit(&self.key(*i), b"", &mut rand::rng())));
        let (mut nonces, mut signers) = (Vec::new(), BTreeMap::new());
        for (i, (pair, commitments)) in drawn {
            nonces.push((i, pair));
            signers.insert(index(i), commitments);
        }
        (nonces, SigningSet::new(message, signers))
    }

    pub(super) fn shares(
        &self,
        nonces: Vec<(u16, NoncePair)>,
        set: &SigningSet,
    ) -> Vec<(ShareIndex, [u8; SHARE_LEN])> {
        let one = |(i, pair)| (index(i), sign(pair, set, &self.key(i)).unwrap());
        nonces.into_iter().map(one).collect()
    }

    pub(super) fn signature(&self, message: &[u8], who: &[u16]) -> [u8; SIGNATURE_LEN] {
        let (nonces, set) = self.set(message, who);
        let shares = self.shares(nonces, &set);
        aggregate(&set, &shares, self.threshold, &self.commitments).unwrap()
    }
}

fn verifies_strictly(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).unwrap();
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
}

/// `openssl`, with a folder of its own for the files that it wants.
struct OpenSsl(PathBuf);

impl OpenSsl {
    /// For the test of so many; `None`, said aloud, where it is not installed.
    fn find(of: usize) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("SKIPPED: openssl is not installed, so it has verified nothing");
            return None;
        }
        let folder =
            std::env::temp_dir().join(format!("quorate-frost-{of}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Some(Self(folder))
    }

    fn verifies(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        let file = |name: &str, bytes: &[u8]| {
            let path = self.0.join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        // RFC 8410: the algorithm, and a bit string of 32 bytes.
        let der = [&hex::decode("302a300506032b6570032100").unwrap()[..], key].concat();
        let mut openssl = Command::new("openssl");
        openssl.args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin"]);
        openssl.arg("-inkey").arg(file("key", &der)).arg("-in").arg(file("message", message));
        openssl.arg("-sigfile").arg(file("signature", signature));
        openssl.output().unwrap().status.success()
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every `openssl_every`th is verified by `openssl` too.
fn many(count: usize, openssl_every: usize) {
    use rand::{RngExt, seq::SliceRandom};
    let rng = &mut rand::rng();
    let mut shared = Shared::of(2, &[1, 2]);
    let openssl = OpenSsl::find(count);
    for at in 0..count {
        if at % 50 == 0 {
            let (n, first) = (rng.random_range(2..=7_u16), rng.random_range(1..60_000_u16));
            let nodes: Vec<u16> = (0..n).map(|i| first + 7 * i).collect();
            shared = Shared::of(rng.random_range(2..=n), &nodes);
        }
        let mut who: Vec<u16> = shared.secrets.keys().map(|i| i.get()).collect();
        who.shuffle(rng);
        who.truncate(rng.random_range(shared.threshold.as_usize()..=who.len()));
        let message: Vec<u8> = (0..rng.random_range(0..300)).map(|_| rng.random()).collect();
        let signature = shared.signature(&message, &who);
        let key = shared.commitments.constant_bytes();
        assert!(verifies_strictly(key, &message, &signature), "signature {at}");
        assert_eq!(verify(key, &message, &signature), Ok(()));
        // It reads no empty message.
        if let Some(openssl) = &openssl
            && at % openssl_every == 0
            && !message.is_empty()
        {
            assert!(openssl.verifies(key, &message, &signature), "signature {at}");
            let other = [&message[..], b"."].concat();
            assert!(at > 0 || !openssl.verifies(key, &other, &signature));
        }
    }
}

#[test]
fn signatures_of_random_sets_verify_strictly_anywhere() {
    many(300, 30);
}

#[test]
#[ignore = "some minutes: ten thousand signatures"]
fn ten_thousand_signatures_verify_strictly_anywhere() {
    many(10_000, 1);
}

#[test]
fn the_signature_is_of_the_shared_key_and_of_this_message_only() {
    let secret = SecretScalar::random(&mut rand::rng());
    let (before, after) = (
        Shared::of_secret(3, &[1, 2, 3, 4, 5], &secret),
        Shared::of_secret(2, &[7, 8, 9], &secret),
    );
    let key = Group::Edwards25519.mul_base(&secret).encode();
    for signature in [before.signature(b"m", &[2, 4, 5]), after.signature(b"m", &[9, 7])] {
        assert_eq!(verify(&key, b"m", &signature), Ok(()), "the key stays, whoever shares it");
        assert_eq!(verify(&key, b"n", &signature), Err(VerifyError::Mismatch));
        for bit in 0..8 * SIGNATURE_LEN {
            let mut flipped = signature;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&key, b"m", &flipped), Err(VerifyError::Mismatch), "bit {bit}");
        }
    }
}

#[test]
fn secrets_print_nothing_and_are_wiped() {
    let shared = Shared::of(2, &[1, 2, 3]);
    let (pair, _) = commit(&shared.key(1), b"", &mut rand::rng());
    assert_eq!(format!("{pair:?}"), "NoncePair([redacted])");
    assert_eq!(format!("{:?}", shared.key(1)), "KeyShare(1, [redacted])");
    assert!(std::mem::needs_drop::<NoncePair>() && std::mem::needs_drop::<KeyShare>());
    fn wiped_on_drop<T: zeroize::ZeroizeOnDrop>() {}
    wiped_on_drop::<frost_ed25519::round1::SigningNonces>();
    wiped_on_drop::<frost_ed25519::keys::KeyPackage>();
}
