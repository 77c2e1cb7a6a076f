//! Nodes that lie, refuse, are away, or serve another epoch.

use crate::{
    cluster::{Coordinator, context, fake, sealed},
    node::Behaviour,
};
use quorate_client::{Culprit, Error, NodeRef, Report};
use quorate_types::{Format, RefusalReason};
use std::sync::Arc;

const PLAINTEXT: &[u8] = b"who owns my key?";

fn names(nodes: &[NodeRef]) -> Vec<String> {
    nodes.iter().map(NodeRef::to_string).collect()
}

/// Decrypts with these nodes behaving so.
async fn decrypt(behaviours: &[(usize, Behaviour)]) -> Result<Report, Error> {
    let (fake, client, ciphertext) = sealed(PLAINTEXT).await;
    for (node, behaviour) in behaviours {
        fake.behave(*node, *behaviour);
    }
    let (plaintext, report) = client.decrypt_with_report(&ciphertext, &context()).await?;
    assert_eq!(&plaintext[..], PLAINTEXT);
    Ok(report)
}

#[tokio::test]
async fn three_of_five_decrypt() {
    let report = decrypt(&[]).await.unwrap();
    assert_eq!(names(&report.nodes), ["node-1 (DE)", "node-2 (CH)", "node-3 (NO)"]);
    assert!(report.liars.is_empty());
    assert_eq!(report.epoch.unwrap().number, 1);
}

#[tokio::test]
async fn two_absent_nodes_do_not_matter() {
    let report = decrypt(&[(1, Behaviour::Down), (3, Behaviour::Down)]).await.unwrap();
    assert_eq!(names(&report.nodes), ["node-2 (CH)", "node-4 (CA)", "node-5 (JP)"]);
}

#[tokio::test]
async fn without_a_quorum_the_missing_are_named() {
    let away = [(1, Behaviour::Down), (3, Behaviour::Down), (4, Behaviour::Down)];
    let error = decrypt(&away).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert_eq!(
        error.to_string(),
        "no quorum: 2 of the 3 nodes needed answered; missing: node-1 (DE) unreachable, \
         node-3 (NO) unreachable and node-4 (CA) unreachable"
    );
}

/// Who was silent in the first round says more than that there was no time for a second.
#[tokio::test]
async fn the_missing_are_named_also_when_the_time_is_up() {
    let (fake, _, ciphertext) = sealed(PLAINTEXT).await;
    [1, 3, 4].into_iter().for_each(|node| fake.behave(node, Behaviour::Down));
    for most in [1, 0] {
        let mut coordinator = Coordinator::honest("coordinator", &fake);
        coordinator.most = most;
        let late = fake.client(&[Arc::new(coordinator)]);
        late.key("demo").await.unwrap();
        let error = late.decrypt(&ciphertext, &context()).await.unwrap_err();
        assert_eq!(matches!(error, Error::NoQuorum { .. }), most == 1, "{error}");
    }
}

#[tokio::test]
async fn a_liar_is_named_and_left_out() {
    for lie in [Behaviour::Lies, Behaviour::Junk, Behaviour::Short] {
        let report = decrypt(&[(2, lie)]).await.unwrap();
        assert_eq!(names(&report.liars), ["node-2 (CH)"], "{lie:?}");
        assert!(!names(&report.nodes).contains(&"node-2 (CH)".into()), "{lie:?}");
    }
}

/// `t − 1` liars, all among the first that are asked.
#[tokio::test]
async fn two_liars_are_named_and_the_rest_finishes() {
    let report = decrypt(&[(1, Behaviour::Lies), (2, Behaviour::Lies)]).await.unwrap();
    assert_eq!(names(&report.liars), ["node-1 (DE)", "node-2 (CH)"]);
    assert_eq!(names(&report.nodes), ["node-3 (NO)", "node-4 (CA)", "node-5 (JP)"]);
    let mixed = decrypt(&[(1, Behaviour::Junk), (3, Behaviour::LiesUnasked)]).await.unwrap();
    assert_eq!(names(&mixed.liars), ["node-1 (DE)", "node-3 (NO)"]);
}

/// A node that is right only when it must prove it.
#[tokio::test]
async fn a_node_that_lies_while_nobody_asks_for_a_proof_is_named() {
    let report = decrypt(&[(3, Behaviour::LiesUnasked)]).await.unwrap();
    assert_eq!(names(&report.liars), ["node-3 (NO)"]);
}

#[tokio::test]
async fn a_liar_and_two_absent_nodes_leave_no_quorum() {
    let error = decrypt(&[(1, Behaviour::Lies), (4, Behaviour::Down), (5, Behaviour::Down)]).await;
    let error = error.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    let text = error.to_string();
    assert!(text.contains("node-1 (DE) answered wrongly"), "{text}");
    assert!(text.contains("node-5 (JP) unreachable"), "{text}");
}

#[tokio::test]
async fn three_liars_are_named_and_nothing_comes_out() {
    let lies = [(1, Behaviour::Lies), (3, Behaviour::Lies), (5, Behaviour::Lies)];
    let error = decrypt(&lies).await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    let Error::Verification { culprit: Culprit::Nodes(nodes), .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(names(nodes), ["node-1 (DE)", "node-3 (NO)", "node-5 (JP)"]);
}

#[tokio::test]
async fn refusals_that_leave_no_quorum_are_a_refusal() {
    let no = Behaviour::Refuses(RefusalReason::NotGranted);
    let error = decrypt(&[(1, no), (2, no), (3, no)]).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert_eq!(
        error.to_string(),
        "refused: the key is not granted to this client (node-1 (DE), node-2 (CH) and \
         node-3 (NO))"
    );
}

#[tokio::test]
async fn some_refusals_do_not_matter() {
    let no = Behaviour::Refuses(RefusalReason::GrantExpired);
    let report = decrypt(&[(1, no), (2, no)]).await.unwrap();
    assert_eq!(names(&report.nodes), ["node-3 (NO)", "node-4 (CA)", "node-5 (JP)"]);
}

/// "I hold no share" is no decision against the client.
#[tokio::test]
async fn nodes_without_a_share_are_missing_not_refusing() {
    let none = Behaviour::Refuses(RefusalReason::NoShare);
    let error = decrypt(&[(1, none), (2, none), (3, none)]).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("node-1 (DE) refused: the node holds no active share"));
}

#[tokio::test]
async fn two_refusals_and_two_outages_are_no_quorum() {
    let no = Behaviour::Refuses(RefusalReason::NotGranted);
    let mixed = [(1, no), (2, no), (3, Behaviour::Down), (4, Behaviour::Down)];
    let error = decrypt(&mixed).await.unwrap_err();
    assert_eq!(error.exit_code(), 4, "the two that are away could still make a quorum: {error}");
}

/// A node that calls a good ciphertext bad lies: the proof can be checked here.
#[tokio::test]
async fn a_false_accusation_of_the_ciphertext_is_a_lie() {
    let report = decrypt(&[(1, Behaviour::Refuses(RefusalReason::InvalidItem))]).await.unwrap();
    assert_eq!(names(&report.liars), ["node-1 (DE)"]);
}

#[tokio::test]
async fn two_epochs_are_never_mixed() {
    let next = Behaviour::NextEpoch;
    let report = decrypt(&[(1, next), (2, next)]).await.unwrap();
    assert_eq!(report.epoch.unwrap().number, 1);
    // Three serve another epoch, and nobody proves that one: how many of it make a quorum,
    // and whose they are, only its certificate says.
    let error = decrypt(&[(1, next), (2, next), (4, next)]).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);

    let away = Behaviour::Down;
    let error = decrypt(&[(1, next), (2, next), (3, away)]).await.unwrap_err();
    assert_eq!(error.exit_code(), 4, "two of each epoch are no quorum");
    assert!(error.to_string().contains("serves another epoch"), "{error}");
}

/// The shares have moved since the key was pinned: the same call fetches the proof and goes
/// on, and the pin never goes back.
#[tokio::test]
async fn shares_that_moved_are_followed_in_the_same_call() {
    let fake = fake();
    let dir = tempfile::tempdir().unwrap();
    let home = crate::home::client_home(&fake, &dir.path().join("client"));
    let coordinator = fake.coordinator("coordinator");
    let client = crate::home::client_at(&home, std::sync::Arc::clone(&coordinator));
    let key = client.key("demo").await.unwrap();
    let ciphertext = key.encrypt(PLAINTEXT, &context()).unwrap();

    (1..=5).for_each(|node| fake.behave(node, Behaviour::NextEpoch));
    *coordinator.newest.lock().unwrap() = Some(fake.keys[0].record(1).to_bytes());
    let (plaintext, report) = client.decrypt_with_report(&ciphertext, &context()).await.unwrap();
    assert_eq!(&plaintext[..], PLAINTEXT);
    assert_eq!(report.epoch.unwrap().number, 1025);
    let moved = client.key("demo").await.unwrap();
    assert_eq!(moved.public().epoch.number, 1025);
    assert_eq!(moved.public().public_key(), key.public().public_key());

    // A liar in the new epoch is named by that epoch's values.
    fake.behave(1, Behaviour::Down);
    let asked = coordinator.keys_asked.load(std::sync::atomic::Ordering::Relaxed);
    client.decrypt(&ciphertext, &context()).await.unwrap();
    assert_eq!(coordinator.keys_asked.load(std::sync::atomic::Ordering::Relaxed), asked);

    // Another process, and a coordinator that shows the birth certificate only.
    *coordinator.newest.lock().unwrap() = None;
    let client = crate::home::client_at(&home, coordinator);
    let key = client.key("demo").await.unwrap();
    assert_eq!(key.public().epoch.number, 1025, "the epoch in force never goes back");
}

/// An epoch of another key is no epoch of this one, whoever signed it.
#[tokio::test]
async fn an_epoch_of_another_key_is_refused() {
    let (fake, client, ciphertext) = sealed(PLAINTEXT).await;
    (1..=5).for_each(|node| fake.behave(node, Behaviour::NextEpoch));
    let coordinator = fake.coordinator("coordinator");
    *coordinator.newest.lock().unwrap() = Some(fake.keys[1].record(1).to_bytes());
    drop(client);
    let client = fake.client(&[coordinator]);
    let error = client.decrypt(&ciphertext, &context()).await.unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    assert!(error.to_string().contains("another key"), "{error}");
}

#[tokio::test]
async fn an_answer_key_outside_its_day_is_not_believed() {
    let old = Behaviour::OldAnswerKey;
    let report = decrypt(&[(1, old), (2, old)]).await.unwrap();
    assert_eq!(names(&report.nodes), ["node-3 (NO)", "node-4 (CA)", "node-5 (JP)"]);
    let error = decrypt(&[(1, old), (2, old), (3, old)]).await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("check the clocks"), "{error}");
}
