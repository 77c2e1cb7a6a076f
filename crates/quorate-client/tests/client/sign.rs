//! Signing: whoever spoils a signature is named, whoever leaves is replaced, and every attempt
//! takes fresh nonces. (The nodes here refuse a nonce that they have used.)

use crate::{
    cluster::{Coordinator, Fake, context, fake},
    node::Behaviour,
};
use quorate_client::{Client, Error, MAX_SIGN_MESSAGE, NodeRef, Report, Signature};
use quorate_crypto::frost;
use quorate_types::{Format, Operation, RefusalReason, RequestHead};
use std::sync::{Arc, Mutex, atomic::Ordering};

const MESSAGE: &[u8] = b"v1.2.3 is good";

fn client() -> (Arc<Fake>, Arc<Coordinator>, Client) {
    let fake = fake();
    let coordinator = fake.coordinator("coordinator");
    let client = fake.client(&[Arc::clone(&coordinator)]);
    (fake, coordinator, client)
}

fn indices(nodes: &[NodeRef]) -> Vec<u16> {
    nodes.iter().map(|n| n.index.get()).collect()
}

/// Signs, and verifies with nothing of the client's.
async fn signed(client: &Client, messages: &[&[u8]]) -> Result<Report, Error> {
    let key = client.key("release").await?;
    let (made, report) = client.sign_with_report(&key, messages, &context()).await?;
    assert_eq!(made.len(), messages.len());
    for (message, signature) in messages.iter().zip(&made) {
        frost::verify(key.public().public_key(), message, signature).unwrap();
    }
    assert_eq!(report.nodes.len(), if messages.is_empty() { 0 } else { 3 });
    Ok(report)
}

#[tokio::test]
async fn every_quorum_signs_one_message_or_many() {
    let (fake, _, client) = client();
    for away in [[1, 2], [2, 4], [3, 5]] {
        away.iter().for_each(|node| fake.behave(*node, Behaviour::Down));
        let report = signed(&client, &[MESSAGE]).await.unwrap();
        assert!(report.liars.is_empty());
        assert!(indices(&report.nodes).iter().all(|i| !away.contains(&usize::from(*i))));
        signed(&client, &[b"a", b"", b"a", MESSAGE]).await.unwrap();
        away.iter().for_each(|node| fake.behave(*node, Behaviour::Honest));
    }
    let longest = [7; MAX_SIGN_MESSAGE];
    signed(&client, &[&longest]).await.unwrap();
    signed(&client, &[]).await.unwrap();
    let long = client.sign("release", &[7; MAX_SIGN_MESSAGE + 1]).await.unwrap_err();
    assert!(matches!(long, Error::Invalid(_)), "{long}");
}

#[tokio::test]
async fn a_batch_of_a_thousand_is_signed() {
    let (_, _, client) = client();
    let messages: Vec<Vec<u8>> = (0..1030_u16).map(|i| i.to_be_bytes().to_vec()).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    signed(&client, &messages).await.unwrap();
}

#[tokio::test]
async fn liars_are_named_and_the_signature_is_right_all_the_same() {
    for lie in [Behaviour::Lies, Behaviour::Junk, Behaviour::Short] {
        let (fake, _, client) = client();
        fake.behave(1, lie);
        fake.behave(3, lie);
        let report = signed(&client, &[MESSAGE, b"b"]).await.unwrap();
        assert_eq!(indices(&report.liars), [1, 3], "{lie:?}");
        assert_eq!(indices(&report.nodes), [2, 4, 5]);
    }
}

#[tokio::test]
async fn three_liars_are_named_and_nothing_comes_out() {
    let (fake, _, client) = client();
    [1, 2, 4].iter().for_each(|node| fake.behave(*node, Behaviour::Lies));
    let error = signed(&client, &[MESSAGE]).await.unwrap_err();
    assert!(matches!(error, Error::Verification { .. }), "{error}");
    let text = error.to_string();
    for node in ["node-1", "node-2", "node-4"] {
        assert!(text.contains(node), "{text}");
    }
    assert!(!text.contains("node-3") && !text.contains("node-5"), "{text}");
}

/// A node that is gone after it has drawn nonces spoils the attempt, and is not blamed.
#[tokio::test]
async fn a_node_that_leaves_between_the_rounds_is_replaced_and_not_blamed() {
    let (fake, _, client) = client();
    fake.behave(2, Behaviour::Leaves);
    let report = signed(&client, &[MESSAGE]).await.unwrap();
    assert!(report.liars.is_empty());
    assert_eq!(indices(&report.nodes), [1, 3, 4]);
    [1, 3].iter().for_each(|node| fake.behave(*node, Behaviour::Leaves));
    let error = signed(&client, &[MESSAGE]).await.unwrap_err();
    assert!(matches!(error, Error::NoQuorum { .. }), "{error}");
}

/// Once a node may have started again; twice in one call it is left out.
#[tokio::test]
async fn a_node_that_forgets_its_nonces_is_asked_once_more_and_then_left_out() {
    let (fake, coordinator, client) = client();
    fake.behave(1, Behaviour::Forgets);
    let report = signed(&client, &[MESSAGE]).await.unwrap();
    assert!(report.liars.is_empty());
    assert_eq!(indices(&report.nodes), [2, 3, 4]);
    assert!(coordinator.asked.load(Ordering::Relaxed) <= 6);

    // A real new start: what was drawn ahead is of no use, and the node signs all the same.
    let (fake, _, client) = self::client();
    let key = client.key("release").await.unwrap();
    client.prepare_signing(&key, 1).await.unwrap();
    fake.nodes[0].starts_again();
    let report = signed(&client, &[MESSAGE]).await.unwrap();
    assert_eq!((indices(&report.nodes), indices(&report.liars)), (vec![1, 2, 3], vec![]));
}

#[tokio::test]
async fn with_nonces_at_hand_a_signature_is_one_question() {
    let (_, coordinator, client) = client();
    let key = client.key("release").await.unwrap();
    client.prepare_signing(&key, 3).await.unwrap();
    for _ in 0..3 {
        let before = coordinator.asked.load(Ordering::Relaxed);
        signed(&client, &[MESSAGE]).await.unwrap();
        assert_eq!(coordinator.asked.load(Ordering::Relaxed), before + 1);
    }
}

#[tokio::test]
async fn shares_that_moved_are_followed_in_the_same_call() {
    let (fake, coordinator, client) = client();
    signed(&client, &[MESSAGE]).await.unwrap();
    (1..=5).for_each(|node| fake.behave(node, Behaviour::NextEpoch));
    let moved = fake.keys[3].record(1).to_bytes();
    *coordinator.newest.lock().unwrap() = Some(moved);
    let report = signed(&client, &[MESSAGE]).await.unwrap();
    assert_eq!(report.epoch.unwrap().number, 1025);
}

/// A coordinator that shows one node another message or set than the others cannot: the items are
/// under the client's signature. One that answers with what it was answered before is noticed.
#[tokio::test]
async fn a_coordinator_can_neither_change_nor_replay_anything() {
    let fake = fake();
    let mut changes = Coordinator::honest("changes", &fake);
    changes.question = Some(Box::new(|question| {
        if RequestHead::from_bytes(&question.head).unwrap().operation == Operation::Sign {
            let mut items = question.items.to_vec();
            let last = items[0].len() - 1;
            items[0][last] ^= 1;
            question.items = items.into();
        }
    }));
    let client = fake.client(&[Arc::new(changes)]);
    let error = signed(&client, &[MESSAGE]).await.unwrap_err();
    assert!(error.to_string().contains("changed the request's items"), "{error}");

    let kept = Mutex::new(None);
    let mut replays = Coordinator::honest("replays", &fake);
    replays.replies = Some(Box::new(move |replies| {
        let mut kept = kept.lock().unwrap();
        match &*kept {
            // The second time and later: what was answered the first time.
            Some(old) => *replies = Clone::clone(old),
            None => *kept = Some(replies.clone()),
        }
    }));
    let client = fake.client(&[Arc::new(replays)]);
    let error = signed(&client, &[MESSAGE]).await.unwrap_err();
    assert!(!matches!(error, Error::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_key_does_what_it_is_for_and_no_other_key_signs() {
    let (fake, coordinator, client) = client();
    for key in ["demo", "ids"] {
        let error = client.sign(key, MESSAGE).await.unwrap_err();
        assert!(matches!(error, Error::WrongPurpose { .. }), "{error}");
    }
    let key = client.key("release").await.unwrap();
    let error = key.encrypt(b"m", &context()).unwrap_err();
    assert!(matches!(error, Error::WrongPurpose { .. }), "{error}");
    let error = client.derive("release", b"m", &context()).await.unwrap_err();
    assert!(matches!(error, Error::WrongPurpose { .. }), "{error}");
    assert_eq!(coordinator.asked.load(Ordering::Relaxed), 0, "no node was asked");

    (1..=5).for_each(|n| fake.behave(n, Behaviour::Refuses(RefusalReason::NotGranted)));
    let error = client.sign("release", MESSAGE).await.unwrap_err();
    assert!(matches!(error, Error::Refused { reason: RefusalReason::NotGranted, .. }), "{error}");
}

#[tokio::test]
async fn a_signature_is_verified_for_its_own_message_and_key() {
    let (_, _, client) = client();
    let signature: Signature = client.sign("release", MESSAGE).await.unwrap();
    let key = client.key("release").await.unwrap();
    key.verify_signature(MESSAGE, &signature).unwrap();
    let error = key.verify_signature(b"other", &signature).unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    let other = client.key("demo").await.unwrap();
    assert!(matches!(other.verify_signature(MESSAGE, &signature), Err(Error::WrongPurpose { .. })));
}
