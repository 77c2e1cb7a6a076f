//! Aliases: whose key they mean is an order's word, and nobody takes it back.

use crate::cluster::{Coordinator, Fake, NOW, fake, key};
use quorate_client::{Client, Error};
use quorate_crypto::hash::Label;
use quorate_types::*;
use std::sync::Arc;

fn state(fake: &Fake, key_name: &str, revision: u64, aliases: &[&str]) -> SignedOrder {
    deleted(fake, key_name, revision, aliases, None)
}

fn deleted(
    fake: &Fake,
    key_name: &str,
    revision: u64,
    aliases: &[&str],
    deletion: Option<Millis>,
) -> SignedOrder {
    let state = SetKeyState {
        deletion,
        revision,
        aliases: aliases.iter().map(|a| a.parse().unwrap()).collect(),
        ..SetKeyState::initial(key_name.parse().unwrap())
    };
    let order = Order {
        fingerprint: *fake.cluster.fingerprint(),
        roster_version: 1,
        roster_hash: fake.cluster.roster_hash(),
        issued_at: NOW,
        expires_at: NOW.plus(Millis::DAY),
        nonce: [7; 32],
        predecessor: Hash::default(),
        action: Action::SetKeyState(state),
    };
    let mut signed = Signed::unsigned(order.to_bytes());
    signed.sign(&key(101), Label::SIG_ORDER, fake.cluster.fingerprint());
    SignedOrder(signed)
}

/// A client, and the coordinator that shows it what the test says.
fn client() -> (Arc<Fake>, Client, Arc<Coordinator>) {
    let fake = fake();
    let coordinator = fake.coordinator("coordinator");
    let client = fake.client(&[Arc::clone(&coordinator)]);
    (fake, client, coordinator)
}

fn shows(coordinator: &Coordinator, orders: impl Into<Vec<SignedOrder>>) {
    *coordinator.states.lock().unwrap() = orders.into();
}

#[tokio::test]
async fn a_key_is_found_by_an_alias_that_operators_gave_it() {
    let (fake, client, coordinator) = client();
    assert!(matches!(client.key("prod").await.unwrap_err(), Error::UnknownKey { .. }));
    shows(&coordinator, [state(&fake, "demo", 1, &["prod"])]);
    assert_eq!(client.key("prod").await.unwrap().name().as_str(), "demo");
    let first = client.key_version("prod", KeyVersion::FIRST).await.unwrap();
    assert_eq!(first.name().as_str(), "demo");
    // A key's own name means that key, whatever somebody shows.
    shows(&coordinator, [state(&fake, "other", 1, &["demo"])]);
    assert_eq!(client.key("demo").await.unwrap().name().as_str(), "demo");
}

#[tokio::test]
async fn an_alias_that_no_operators_gave_is_not_believed() {
    let (fake, client, coordinator) = client();
    let mut forged = Signed::unsigned(state(&fake, "demo", 1, &["prod"]).0.body);
    forged.sign(&key(102), Label::SIG_ORDER, fake.cluster.fingerprint());
    shows(&coordinator, [SignedOrder(forged)]);
    let error = client.key("prod").await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("state that does not verify"), "{error}");
}

/// The alias was given to another key, and then back: a coordinator that kept the orders of the
/// time between cannot have clients encrypt to that key again.
#[tokio::test]
async fn a_coordinator_cannot_take_an_alias_back() {
    let (fake, client, coordinator) = client();
    let old = state(&fake, "other", 1, &["prod"]);
    let new = state(&fake, "demo", 3, &["prod"]);
    let released = state(&fake, "other", 2, &[]);
    shows(&coordinator, [new.clone(), released.clone()]);
    assert_eq!(client.key("prod").await.unwrap().name().as_str(), "demo");
    // The old order alone: what the alias meant before is asked for, and withheld.
    shows(&coordinator, [old.clone()]);
    let error = client.key("prod").await.unwrap_err();
    assert!(error.to_string().contains("of which revision 3 was seen"), "{error}");
    // With an old order of that key, which did not have it yet.
    shows(&coordinator, [old.clone(), state(&fake, "demo", 2, &[])]);
    let error = client.key("prod").await.unwrap_err();
    assert!(error.to_string().contains("shows revision 2 of the state of key demo"), "{error}");
    // Two keys with one alias are nobody's choice.
    shows(&coordinator, [old.clone(), new.clone()]);
    let error = client.key("prod").await.unwrap_err();
    assert!(error.to_string().contains("an alias of two keys"), "{error}");
    // A newer order takes it away indeed.
    shows(&coordinator, [state(&fake, "demo", 4, &[]), state(&fake, "other", 3, &["prod"])]);
    assert_eq!(client.key("prod").await.unwrap().name().as_str(), "other");
}

#[tokio::test]
async fn a_deleted_key_gives_its_aliases_back() {
    let (fake, client, coordinator) = client();
    let waits = deleted(&fake, "demo", 1, &["prod"], Some(NOW.plus(1)));
    shows(&coordinator, [waits, state(&fake, "other", 1, &["prod"])]);
    assert!(client.key("prod").await.unwrap_err().to_string().contains("an alias of two keys"));
    let gone = deleted(&fake, "demo", 2, &["prod"], Some(NOW));
    shows(&coordinator, [gone, state(&fake, "other", 1, &["prod"])]);
    assert_eq!(client.key("prod").await.unwrap().name().as_str(), "other");
}

/// The order that cancelled the deletion is withheld, and its time has gone by.
#[tokio::test]
async fn an_alias_that_meant_a_key_is_given_back_only_once_most_nodes_have_destroyed_that() {
    let (fake, client, coordinator) = client();
    shows(&coordinator, [state(&fake, "demo", 5, &["prod"])]);
    assert_eq!(client.key("prod").await.unwrap().name().as_str(), "demo");
    let waits = deleted(&fake, "demo", 6, &["prod"], Some(NOW));
    shows(&coordinator, [waits, state(&fake, "other", 1, &["prod"])]);
    let destroyed = |name: &str, nodes: &[u16], signer: u8| {
        let gone = Destroyed { key: name.parse().unwrap(), order: Hash([6; 32]), at: NOW };
        let receipt = |i: &u16| {
            let (node, n) = (NodeIndex::new(*i).unwrap(), signer + u8::try_from(*i).unwrap());
            DestroyedReceipt::sign(gone.clone(), node, fake.cluster.fingerprint(), &key(n))
        };
        *coordinator.receipts.lock().unwrap() = nodes.iter().map(receipt).collect();
    };
    let all = u16::try_from(fake.cluster.roster().nodes.len()).unwrap();
    let most: Vec<u16> = (1..=all / 2 + 1).collect();
    // None, too few, of another key, and none of the nodes' own.
    for (name, nodes, signer) in
        [("demo", &[][..], 0), ("demo", &most[1..], 0), ("other", &most, 0), ("demo", &most, 90)]
    {
        destroyed(name, nodes, signer);
        let error = client.key("prod").await.unwrap_err();
        assert!(error.to_string().contains("an alias of two keys"), "{error}");
    }
    destroyed("demo", &most, 0);
    assert_eq!(client.key("prod").await.unwrap().name().as_str(), "other");
}

#[tokio::test]
async fn what_was_seen_of_a_keys_state_is_kept_over_processes() {
    let fake = fake();
    let dir = tempfile::tempdir().unwrap();
    let home = crate::home::client_home(&fake, &dir.path().join("client"));
    let coordinator = fake.coordinator("coordinator");
    let client = || crate::home::client_at(&home, Arc::clone(&coordinator));
    shows(&coordinator, [state(&fake, "demo", 3, &["prod"])]);
    assert_eq!(client().key("prod").await.unwrap().name().as_str(), "demo");
    shows(&coordinator, [state(&fake, "demo", 2, &["prod"])]);
    let error = client().key_state("demo").await.unwrap_err();
    assert!(error.to_string().contains("of which 3 was seen"), "{error}");
    // With nobody there, the alias means what it meant.
    let mut down = Coordinator::honest("coordinator", &fake);
    down.down = true;
    let offline = crate::home::client_at(&home, Arc::new(down));
    assert_eq!(offline.key("prod").await.unwrap().name().as_str(), "demo");
}
