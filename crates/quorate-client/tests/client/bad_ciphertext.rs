//! Ciphertexts that are not what was sealed: exit code 5, and one line that says why.

use crate::cluster::{cluster_of, context, fake, fake_of, genesis, sealed};
use quorate_client::{CiphertextError, Client, EncryptionContext, Error};
use quorate_types::Roster;

async fn fault(client: &Client, ciphertext: &[u8], context: &EncryptionContext) -> CiphertextError {
    let error = client.decrypt(ciphertext, context).await.unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    assert!(!error.to_string().contains('\n'));
    match error {
        Error::Ciphertext(error) => error,
        other => panic!("expected a bad ciphertext, got {other}"),
    }
}

#[tokio::test]
async fn every_flipped_byte_is_found_and_nobody_is_blamed() {
    let (_fake, client, good) = sealed(b"secret").await;
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x01;
        fault(&client, &bad, &context()).await;
    }
}

#[tokio::test]
async fn every_cut_is_found() {
    let (_fake, client, good) = sealed(b"secret").await;
    for length in 0..good.len() {
        let error = fault(&client, &good[..length], &context()).await;
        let payload = good.len() - b"secret".len() - 16;
        match error {
            CiphertextError::NotQuorate => assert_eq!(length, 0),
            CiphertextError::Truncated(_) => {}
            CiphertextError::LastChunk(0) => assert!(length >= payload + 16),
            other => panic!("{length} bytes: {other}"),
        }
    }
}

#[tokio::test]
async fn what_was_added_is_counted() {
    let (_fake, client, good) = sealed(b"secret").await;
    for n in [1, 2, 16, 32] {
        let bad = [&good[..], &vec![b'\n'; n]].concat();
        assert_eq!(fault(&client, &bad, &context()).await, CiphertextError::Extended(n));
    }
    let bad = [&good[..], &[0; 500]].concat();
    assert_eq!(fault(&client, &bad, &context()).await, CiphertextError::LastChunk(0));
    let twice = [&good[..], &good].concat();
    assert_eq!(fault(&client, &twice, &context()).await, CiphertextError::LastChunk(0));
}

#[tokio::test]
async fn another_clusters_ciphertext_is_told() {
    let (_fake, client, _) = sealed(b"").await;
    let foreign = fake_of(&Roster { nonce: [8; 32], ..genesis() });
    let other = foreign.client(&[foreign.coordinator("coordinator")]);
    let ciphertext = other.key("demo").await.unwrap().encrypt(b"x", &context()).unwrap();
    let error = fault(&client, &ciphertext, &context()).await.to_string();
    let ours = cluster_of(&genesis()).fingerprint().short();
    assert!(error.contains("of another cluster") && error.contains(&ours), "{error}");
}

#[tokio::test]
async fn another_context_is_told() {
    let (_fake, client, good) = sealed(b"secret").await;
    let pair = |n: &str, v: &str| EncryptionContext::new([(n.into(), v.into())].into()).unwrap();
    for other in [EncryptionContext::default(), pair("app", "payrol"), pair("ap", "ppayroll")] {
        assert_eq!(fault(&client, &good, &other).await, CiphertextError::Proof);
    }
    let key = client.key("demo").await.unwrap();
    let bare = key.encrypt(b"secret", &EncryptionContext::default()).unwrap();
    assert_eq!(fault(&client, &bare, &context()).await, CiphertextError::NoContext);
}

/// The head of one ciphertext over the payload of another.
#[tokio::test]
async fn a_payload_under_another_head_is_found() {
    let (_fake, client, a) = sealed(b"secret").await;
    let key = client.key("demo").await.unwrap();
    let b = key.encrypt(b"public", &context()).unwrap();
    let head = a.len() - 22;
    let spliced = [&a[..head], &b[head..]].concat();
    assert_eq!(fault(&client, &spliced, &context()).await, CiphertextError::LastChunk(0));
}

/// The header says "demo", the encapsulation was made for "other".
#[tokio::test]
async fn a_ciphertext_of_another_key_is_found() {
    let (_fake, client, demo) = sealed(b"secret").await;
    let other = client.key("other").await.unwrap().encrypt(b"secret", &context()).unwrap();
    // Kind, version, suite, cluster prefix, name with its length, key version.
    let (demo_header, other_header) = (6 + 1 + 8 + 4 + 4 + 4, 6 + 1 + 8 + 4 + 5 + 4);
    let renamed = [&demo[..demo_header], &other[other_header..]].concat();
    assert_eq!(fault(&client, &renamed, &context()).await, CiphertextError::Proof);
}

#[tokio::test]
async fn what_is_no_ciphertext_is_told() {
    let (_fake, client, good) = sealed(b"secret").await;
    for text in [&b""[..], b"hello", b"-----BEGIN AGE ENCRYPTED FILE-----", &[0; 1000]] {
        assert_eq!(fault(&client, text, &context()).await, CiphertextError::NotQuorate);
    }
    let mut newer = good.clone();
    newer[5] = 9;
    let error = fault(&client, &newer, &context()).await.to_string();
    assert!(error.contains("version 9 is not known here") && error.contains("update"), "{error}");
}

#[tokio::test]
async fn an_unknown_key_is_told() {
    let fake = fake();
    let client = fake.client(&[fake.coordinator("coordinator")]);
    let error = client.key("nobody").await.unwrap_err();
    assert_eq!(error.to_string(), "the cluster has no key nobody");
    assert_eq!(client.key("no body").await.unwrap_err().exit_code(), 1);
}
