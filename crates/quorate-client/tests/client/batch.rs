//! Many ciphertexts in one request.

use crate::{
    cluster::{CLIENT, NOW, context, fake, key},
    node::Behaviour,
};
use quorate_client::{CiphertextError, Client, Error};
use std::sync::{Arc, atomic::Ordering};

#[tokio::test]
async fn a_batch_is_one_request_and_keeps_its_order() {
    let fake = fake();
    let coordinator = fake.coordinator("coordinator");
    let client = fake.client(&[Arc::clone(&coordinator)]);
    let key = client.key("demo").await.unwrap();
    let rows: Vec<_> =
        (0..40).map(|i| key.encrypt(format!("row {i}").as_bytes(), &context()).unwrap()).collect();
    let results = client.decrypt_batch(&rows, &context()).await.unwrap();
    for (i, result) in results.iter().enumerate() {
        assert_eq!(&result.as_ref().unwrap()[..], format!("row {i}").as_bytes());
    }
    assert_eq!(coordinator.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_empty_batch_asks_nobody() {
    let fake = fake();
    let coordinator = fake.coordinator("coordinator");
    let client = fake.client(&[Arc::clone(&coordinator)]);
    assert!(client.decrypt_batch(&[[0; 0]; 0], &context()).await.unwrap().is_empty());
    assert_eq!(coordinator.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn bad_items_stand_in_their_places_and_the_rest_opens() {
    let fake = fake();
    let client = fake.client(&[fake.coordinator("coordinator")]);
    let key = client.key("demo").await.unwrap();
    let mut rows: Vec<_> = (0..6).map(|i| key.encrypt(&[i; 9], &context()).unwrap()).collect();
    rows[1][60] ^= 1; // the encapsulation
    rows[2].truncate(50); // the head
    let end = rows[4].len() - 1;
    rows[4][end] ^= 1; // the payload
    rows[5] = b"junk".to_vec();
    let results = client.decrypt_batch(&rows, &context()).await.unwrap();
    let text = |i: usize| match results[i].as_ref().unwrap_err() {
        Error::Ciphertext(error) => error.clone(),
        other => panic!("item {i}: {other}"),
    };
    assert_eq!(&results[0].as_ref().unwrap()[..], [0; 9]);
    assert_eq!(&results[3].as_ref().unwrap()[..], [3; 9]);
    assert!(matches!(text(1), CiphertextError::Proof | CiphertextError::Head(_)));
    assert!(matches!(text(2), CiphertextError::Truncated(_)));
    assert_eq!(text(4), CiphertextError::LastChunk(0));
    assert_eq!(text(5), CiphertextError::NotQuorate);
}

#[tokio::test]
async fn several_keys_and_a_liar_in_one_batch() {
    let fake = fake();
    let client = fake.client(&[fake.coordinator("coordinator")]);
    let (demo, other) = (client.key("demo").await.unwrap(), client.key("other").await.unwrap());
    let rows: Vec<_> = (0..10)
        .map(|i| if i % 2 == 0 { &demo } else { &other }.encrypt(&[i], &context()).unwrap())
        .collect();
    fake.behave(2, Behaviour::Lies);
    let (results, report) = client.decrypt_batch_with_report(&rows, &context()).await.unwrap();
    for (i, result) in results.iter().enumerate() {
        assert_eq!(&result.as_ref().unwrap()[..], [i as u8]);
    }
    assert_eq!(report.liars.len(), 1);
    assert_eq!(report.liars[0].to_string(), "node-2 (CH)");
}

#[tokio::test]
async fn more_than_1024_items_are_two_requests() {
    let fake = fake();
    let coordinator = fake.coordinator("coordinator");
    let client = fake.client(&[Arc::clone(&coordinator)]);
    let key = client.key("demo").await.unwrap();
    let one = key.encrypt(b"same", &context()).unwrap();
    let results = client.decrypt_batch(&vec![one; 1030], &context()).await.unwrap();
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(results.len(), 1030);
    assert_eq!(coordinator.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn clones_share_keys() {
    let fake = fake();
    let coordinator = fake.coordinator("coordinator");
    let client = fake.client(&[Arc::clone(&coordinator)]);
    let ciphertext = client.key("demo").await.unwrap().encrypt(b"x", &context()).unwrap();
    for _ in 0..3 {
        client.clone().decrypt(&ciphertext, &context()).await.unwrap();
    }
    assert_eq!(coordinator.keys_asked.load(Ordering::Relaxed), 1, "decryption needs no record");
}

/// A client needs an identity and a cluster; it says which is missing.
#[tokio::test]
async fn a_builder_says_what_is_missing() {
    let text = Client::builder().build().unwrap_err().to_string();
    assert!(text.contains("an identity"), "{text}");
    let text =
        Client::builder().identity(key(CLIENT)).clock(|| NOW).build().unwrap_err().to_string();
    assert!(text.contains("a cluster"), "{text}");
}
