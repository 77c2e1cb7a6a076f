//! Keys and rosters: what was once verified is never taken back.

use crate::cluster::{
    Coordinator, Fake, cluster_of, context, extend, fake, genesis, material, record_of,
};
use quorate_client::{Client, Error};
use quorate_types::*;
use std::sync::{Arc, Mutex};

fn client_of(fake: &Arc<Fake>, change: impl FnOnce(&mut Coordinator)) -> Client {
    let mut coordinator = Coordinator::honest("coordinator", fake);
    change(&mut coordinator);
    fake.client(&[Arc::new(coordinator)])
}

/// A coordinator that serves the record that the test puts here.
fn served(fake: &Arc<Fake>) -> (Client, Arc<Mutex<KeyRecord>>) {
    let record = Arc::new(Mutex::new(fake.keys[0].record(0)));
    let now = Arc::clone(&record);
    let client = client_of(fake, move |c| {
        c.record = Some(Box::new(move |r| *r = now.lock().unwrap().clone()));
    });
    (client, record)
}

#[tokio::test]
async fn a_pin_never_changes() {
    let fake = fake();
    let (client, record) = served(&fake);
    let first = client.key("demo").await.unwrap();
    // Operators and nodes together make another key of this name and version.
    let other = material(&fake.cluster, "demo", 3);
    *record.lock().unwrap() = other.record(0);
    let error = client.key("demo").await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("another public key for demo version 1"), "{error}");
    let again = client.key_version("demo", KeyVersion::FIRST).await.unwrap();
    assert_eq!(again.public(), first.public());
}

#[tokio::test]
async fn an_older_version_is_not_the_newest() {
    let fake = fake();
    let (client, record) = served(&fake);
    let mut second = fake.keys[0].record(0);
    let mut order = Order::from_bytes(&second.order.0.body).unwrap();
    let Action::CreateKey(create) = &mut order.action else { panic!() };
    create.version = KeyVersion::new(2).unwrap();
    let mut signed = Signed::unsigned(order.to_bytes());
    let fingerprint = fake.cluster.fingerprint();
    signed.sign(&crate::cluster::key(101), quorate_crypto::hash::Label::SIG_ORDER, fingerprint);
    let order = SignedOrder(signed);
    let verified = VerifiedOrder::verify(&fake.cluster, &order).unwrap();
    let public = &mut second.certificate.public;
    (public.version, public.order) = (KeyVersion::new(2).unwrap(), verified.hash());
    *record.lock().unwrap() = record_of(order, public.clone());
    assert_eq!(client.key("demo").await.unwrap().version().get(), 2);
    *record.lock().unwrap() = fake.keys[0].record(0);
    let error = client.key("demo").await.unwrap_err();
    assert!(error.to_string().contains("but 2 is pinned"), "{error}");
    // An old version by its number is fine: old ciphertexts still decrypt.
    assert!(client.key_version("demo", KeyVersion::FIRST).await.is_ok());
}

#[tokio::test]
async fn encryption_needs_nobody_once_a_key_is_pinned() {
    let fake = fake();
    let dir = tempfile::tempdir().unwrap();
    let home = crate::home::client_home(&fake, &dir.path().join("client"));
    let coordinator = fake.coordinator("coordinator");
    let client = crate::home::client_at(&home, coordinator);
    let pinned = client.key("demo").await.unwrap();

    let mut down = Coordinator::honest("coordinator", &fake);
    down.down = true;
    let offline = crate::home::client_at(&home, Arc::new(down));
    let key = offline.key("demo").await.unwrap();
    assert_eq!(key.public(), pinned.public());
    let ciphertext = key.encrypt(b"offline", &context()).unwrap();
    assert_eq!(&client.decrypt(&ciphertext, &context()).await.unwrap()[..], b"offline");
    assert!(matches!(offline.key("other").await.unwrap_err(), Error::Party { .. }));
}

#[tokio::test]
async fn a_changed_pin_file_is_refused() {
    let fake = fake();
    let dir = tempfile::tempdir().unwrap();
    let home = crate::home::client_home(&fake, &dir.path().join("client"));
    let client = || crate::home::client_at(&home, fake.coordinator("coordinator"));
    client().key("demo").await.unwrap();
    let path = home.join("pins/demo@1");
    let good = std::fs::read_to_string(&path).unwrap();
    assert!(client().key("demo").await.is_ok());

    // Another valid key under this name, put there by somebody with the disk.
    let other = material(&fake.cluster, "demo", 3).record(0);
    let public = *other.certificate.public.public_key();
    let pin = quorate_client::Pin { public, record: other, newest: None };
    let text = quorate_types::armor::write(quorate_types::armor::Title("QUORATE PIN"), &pin);
    std::fs::write(&path, text).unwrap();
    let error = client().key("demo").await.unwrap_err();
    assert!(error.to_string().contains("than the pinned one"), "{error}");

    std::fs::write(&path, good.replace('A', "B")).unwrap();
    let error = client().key("demo").await.unwrap_err().to_string();
    assert!(error.contains("pins/demo@1"), "{error}");
}

fn chain(cluster: &Cluster) -> Vec<Vec<u8>> {
    cluster.chain().iter().map(Format::to_bytes).collect()
}

#[tokio::test]
async fn a_longer_roster_chain_is_kept_and_a_shorter_one_ignored() {
    let fake = fake();
    let dir = tempfile::tempdir().unwrap();
    let home = crate::home::client_home(&fake, &dir.path().join("client"));
    let newer = extend(&fake.cluster, |r| {
        r.nodes[4].endpoint = "127.0.0.1:9999".parse().unwrap();
    });
    let mut coordinator = Coordinator::honest("coordinator", &fake);
    coordinator.rosters = chain(&newer);
    let client = crate::home::client_at(&home, Arc::new(coordinator));
    client.key("demo").await.unwrap();
    assert_eq!(client.cluster().roster().version, 2);

    // Stored; and a coordinator with the old chain takes nothing back.
    let client = crate::home::client_at(&home, fake.coordinator("coordinator"));
    assert_eq!(client.cluster().roster().version, 2);
    client.refresh_roster().await.unwrap();
    assert_eq!(client.cluster().roster().version, 2);
}

#[tokio::test]
async fn another_roster_chain_is_refused() {
    let fake = fake();
    let foreign = cluster_of(&Roster { nonce: [8; 32], ..genesis() });
    let client = client_of(&fake, |c| c.rosters = chain(&foreign));
    let error = client.key("demo").await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("this is another cluster"), "{error}");

    // Two second versions: the one that was seen first stays.
    let a = extend(&fake.cluster, |r| r.nodes[4].endpoint = "127.0.0.1:9999".parse().unwrap());
    let b = extend(&fake.cluster, |r| r.nodes[4].endpoint = "127.0.0.1:8888".parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let home = crate::home::client_home(&fake, &dir.path().join("client"));
    for (cluster, refused) in [(&a, false), (&b, true)] {
        let mut coordinator = Coordinator::honest("coordinator", &fake);
        coordinator.rosters = chain(cluster);
        let result = crate::home::client_at(&home, Arc::new(coordinator)).refresh_roster().await;
        assert_eq!(result.is_err(), refused, "{result:?}");
    }
}

/// A key that was ordered under a roster which the client does not know yet.
#[tokio::test]
async fn a_key_of_a_newer_roster_brings_the_roster() {
    let old = fake();
    let newer = extend(&old.cluster, |r| r.written_at = Millis(1));
    let record = material(&newer, "demo", 3).record(0);
    let rosters = Arc::new(chain(&newer));
    let client = client_of(&old, move |c| {
        c.rosters = rosters.to_vec();
        c.record = Some(Box::new(move |r| *r = record.clone()));
    });
    assert_eq!(client.cluster().roster().version, 1);
    assert_eq!(client.key("demo").await.unwrap().name().as_str(), "demo");
    assert_eq!(client.cluster().roster().version, 2);
}

/// What a pin file holds: the public key, then the record, whose bytes quorate-types pins,
/// and whether there is a newer one.
#[test]
fn the_bytes_of_a_pin() {
    let record = fake().keys[0].record(0);
    let public = *record.certificate.public.public_key();
    let expected = [&b"QPIN\0\x02"[..], &public, &record.to_bytes()[6..], &[0]].concat();
    let pin = quorate_client::Pin { public, record, newest: None };
    assert_eq!(pin.to_bytes(), expected);
    assert_eq!(quorate_client::Pin::from_bytes(&expected), Ok(pin));
}
