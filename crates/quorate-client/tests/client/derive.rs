//! Deriving: the same secret from every quorum and in every epoch, and who lies is named.

use crate::{
    cluster::{Fake, context, fake, sealed},
    node::Behaviour,
};
use quorate_client::{
    Client, Derived, EncryptionContext, Error, MAX_DERIVE_INPUT, NodeRef, Report,
};
use quorate_types::{Format, RefusalReason, RequestHead};
use std::sync::{Arc, Mutex, atomic::Ordering};

const INPUT: &[u8] = b"alice@example.org";

fn names(nodes: &[NodeRef]) -> Vec<String> {
    nodes.iter().map(NodeRef::to_string).collect()
}

fn client() -> (Arc<Fake>, Client) {
    let fake = fake();
    let client = fake.client(&[fake.coordinator("coordinator")]);
    (fake, client)
}

fn bytes(derived: &[Derived]) -> Vec<[u8; 64]> {
    derived.iter().map(|d| *d.expose()).collect()
}

async fn report(client: &Client, inputs: &[&[u8]]) -> Result<(Vec<[u8; 64]>, Report), Error> {
    let key = client.key("ids").await?;
    let (derived, report) = client.derive_with_report(&key, inputs, &context()).await?;
    Ok((bytes(&derived), report))
}

#[tokio::test]
async fn every_quorum_derives_the_same() {
    let (fake, client) = client();
    let first = *client.derive("ids", INPUT, &context()).await.unwrap().expose();
    for away in [[1, 2], [2, 4], [3, 5]] {
        away.iter().for_each(|node| fake.behave(*node, Behaviour::Down));
        let (again, report) = report(&client, &[INPUT]).await.unwrap();
        assert_eq!(again, [first], "{away:?}");
        assert!(report.liars.is_empty());
        away.iter().for_each(|node| fake.behave(*node, Behaviour::Honest));
    }
}

#[tokio::test]
async fn a_batch_is_what_its_inputs_are_alone() {
    let (_, client) = client();
    let inputs: Vec<Vec<u8>> = (0..1030_u16).map(|i| i.to_be_bytes().to_vec()).collect();
    let all = bytes(&client.derive_batch("ids", &inputs, &context()).await.unwrap());
    assert_eq!(all.len(), inputs.len());
    for at in [0, 1022, 1023, 1029] {
        let alone = client.derive("ids", &inputs[at], &context()).await.unwrap();
        assert_eq!(all[at], *alone.expose(), "{at}");
    }
    let none: [&[u8]; 0] = [];
    assert!(client.derive_batch("ids", &none, &context()).await.unwrap().is_empty());
}

/// The context is part of the input, unambiguously.
#[tokio::test]
async fn another_context_or_input_derives_another_secret() {
    let (_, client) = client();
    let none = EncryptionContext::default();
    let label = context().label();
    let inputs = [INPUT, b"", &[&label[..], INPUT].concat()];
    let mut seen = bytes(&client.derive_batch("ids", &inputs, &none).await.unwrap());
    seen.extend(bytes(&client.derive_batch("ids", &inputs, &context()).await.unwrap()));
    for (i, a) in seen.iter().enumerate() {
        assert!(seen[..i].iter().all(|b| a != b), "{i}");
    }
}

#[tokio::test]
async fn liars_are_named_and_the_secret_is_right_all_the_same() {
    let (fake, client) = client();
    let inputs: [&[u8]; 3] = [INPUT, b"b", b"c"];
    let (right, _) = report(&client, &inputs).await.unwrap();
    let lies = [Behaviour::Lies, Behaviour::Junk, Behaviour::Short];
    for (lie, few) in lies.into_iter().flat_map(|lie| [(lie, 1), (lie, 3)]) {
        fake.behave(2, lie);
        let (derived, report) = report(&client, &inputs[..few]).await.unwrap();
        assert_eq!(names(&report.liars), ["node-2 (CH)"], "{lie:?}");
        assert_eq!(names(&report.nodes), ["node-1 (DE)", "node-3 (NO)", "node-4 (CA)"]);
        assert_eq!(derived, right[..few], "{lie:?}");
    }
    fake.behave(4, Behaviour::Refuses(RefusalReason::InvalidItem));
    let (derived, report) = report(&client, &inputs).await.unwrap();
    assert_eq!(names(&report.liars), ["node-2 (CH)", "node-4 (CA)"], "a false accusation is a lie");
    assert_eq!(derived, right);
}

#[tokio::test]
async fn three_liars_are_named_and_nothing_comes_out() {
    let (fake, client) = client();
    [1, 3, 5].into_iter().for_each(|node| fake.behave(node, Behaviour::Lies));
    let error = report(&client, &[INPUT]).await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    for liar in ["node-1 (DE)", "node-3 (NO)", "node-5 (JP)"] {
        assert!(error.to_string().contains(liar), "{error}");
    }
}

#[tokio::test]
async fn without_a_quorum_or_a_grant_nothing_comes_out() {
    let (fake, client) = client();
    [1, 2, 3].into_iter().for_each(|node| fake.behave(node, Behaviour::Down));
    assert_eq!(report(&client, &[INPUT]).await.unwrap_err().exit_code(), 4);
    let no = Behaviour::Refuses(RefusalReason::NotGranted);
    [1, 2, 3].into_iter().for_each(|node| fake.behave(node, no));
    assert_eq!(report(&client, &[INPUT]).await.unwrap_err().exit_code(), 3);
}

/// The shares have moved since the key was pinned: the same secret, under the new epoch's
/// verifying keys, and partials of two epochs are never mixed.
#[tokio::test]
async fn a_refresh_changes_no_secret() {
    let fake = fake();
    let coordinator = fake.coordinator("coordinator");
    let client = fake.client(&[Arc::clone(&coordinator)]);
    let (before, took) = report(&client, &[INPUT, b"b"]).await.unwrap();
    assert_eq!(took.epoch.unwrap().number, 1);
    let next = Behaviour::NextEpoch;
    [1, 2].into_iter().for_each(|node| fake.behave(node, next));
    assert_eq!(report(&client, &[INPUT, b"b"]).await.unwrap().0, before);

    (3..=5).for_each(|node| fake.behave(node, next));
    *coordinator.newest.lock().unwrap() = Some(fake.keys[2].record(1).to_bytes());
    let (after, took) = report(&client, &[INPUT, b"b"]).await.unwrap();
    assert_eq!(took.epoch.unwrap().number, 1025);
    assert_eq!(after, before);
}

/// What travels says nothing of the input: no item is ever seen twice, and proofs are demanded.
#[tokio::test]
async fn nodes_see_other_elements_each_time() {
    let fake = fake();
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let mut coordinator = crate::cluster::Coordinator::honest("coordinator", &fake);
    let keep = Arc::clone(&seen);
    coordinator.question = Some(Box::new(move |question| {
        assert!(RequestHead::from_bytes(&question.head).unwrap().prove);
        keep.lock().unwrap().extend(question.items.iter().cloned());
    }));
    let coordinator = Arc::new(coordinator);
    let client = fake.client(&[Arc::clone(&coordinator)]);
    for _ in 0..3 {
        report(&client, &[INPUT, INPUT]).await.unwrap();
    }
    assert_eq!(coordinator.asked.load(Ordering::Relaxed), 3);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 9);
    for (i, a) in seen.iter().enumerate() {
        assert!(a.len() == 32 && seen[..i].iter().all(|b| a != b));
    }
}

#[tokio::test]
async fn a_key_does_what_it_is_for_and_nothing_else() {
    let (fake, client, ciphertext) = sealed(b"secret").await;
    let error = client.derive("demo", INPUT, &context()).await.unwrap_err();
    assert!(matches!(error, Error::WrongPurpose { .. }), "{error}");
    assert_eq!(error.exit_code(), 3);
    let ids = client.key("ids").await.unwrap();
    let error = ids.encrypt(b"secret", &context()).unwrap_err();
    assert!(matches!(error, Error::WrongPurpose { .. }), "{error}");
    // A ciphertext that is made to name a key that derives.
    let at = ciphertext.windows(4).position(|w| w == b"demo").unwrap();
    let named = [&ciphertext[..at - 4], &3_u32.to_be_bytes(), b"ids", &ciphertext[at + 4..]];
    let error = client.decrypt(&named.concat(), &context()).await.unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    assert!(error.to_string().contains("ids, which is to derive"), "{error}");
    drop(fake);
}

#[tokio::test]
async fn an_input_over_64_kib_is_refused() {
    let (_, client) = client();
    let longest = vec![7; MAX_DERIVE_INPUT];
    client.derive("ids", &longest, &context()).await.unwrap();
    let error = client.derive("ids", &[&longest[..], b"x"].concat(), &context()).await;
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "an input has at most 65536 bytes, got 65537");
}

#[test]
fn what_is_derived_prints_nothing() {
    let derived = Derived::new([7; 64]);
    assert_eq!(format!("{derived:?}"), "SecretBytes([redacted])");
}
