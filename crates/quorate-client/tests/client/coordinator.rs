//! Coordinators that cheat (fault matrix, row 18): whatever they do, nothing false is
//! believed, and an honest one is asked instead.

use crate::{
    cluster::{Coordinator, Fake, context, fake, index, key, material, order, record_of},
    node::Behaviour,
};
use quorate_client::{
    Client, Culprit, Error,
    transport::{Question, Replies, Reply, ReplyOutcome},
};
use quorate_types::*;
use std::sync::{Arc, Mutex, atomic::Ordering};

/// A client of one cheating coordinator.
fn cheated(fake: &Arc<Fake>, cheat: impl FnOnce(&mut Coordinator)) -> (Client, Client) {
    let mut cheater = Coordinator::honest("mallory", fake);
    cheat(&mut cheater);
    let cheater = Arc::new(cheater);
    let alone = fake.client(&[Arc::clone(&cheater)]);
    let both = fake.client(&[cheater, fake.coordinator("alice")]);
    (alone, both)
}

async fn seal(fake: &Arc<Fake>) -> Vec<u8> {
    let client = fake.client(&[fake.coordinator("alice")]);
    client.key("demo").await.unwrap().encrypt(b"secret", &context()).unwrap()
}

/// With the cheater alone: exit code 5, naming it. With an honest one beside: the plaintext.
async fn is_caught(cheat: impl FnOnce(&mut Coordinator)) -> String {
    let fake = fake();
    let ciphertext = seal(&fake).await;
    let (alone, both) = cheated(&fake, cheat);
    let (plaintext, report) = both.decrypt_with_report(&ciphertext, &context()).await.unwrap();
    assert_eq!(&plaintext[..], b"secret");
    assert!(report.liars.is_empty(), "no honest node is blamed: {:?}", report.liars);
    let error = alone.decrypt(&ciphertext, &context()).await.unwrap_err();
    assert_eq!(error.exit_code(), 5, "{error}");
    let Error::Verification { culprit: Culprit::Coordinator(name), what } = error else {
        panic!("expected the coordinator to be blamed, got {error}")
    };
    assert_eq!(name, "mallory");
    what
}

fn tamper(change: impl Fn(&mut Replies) + Send + Sync + 'static) -> impl FnOnce(&mut Coordinator) {
    move |c| c.replies = Some(Box::new(change))
}

fn each_sealed(replies: &mut Replies, change: impl Fn(&mut SealedAnswer)) {
    for reply in &mut replies.answers {
        if let ReplyOutcome::Sealed(bytes) = &mut reply.outcome {
            let mut sealed = SealedAnswer::from_bytes(bytes).unwrap();
            change(&mut sealed);
            *bytes = sealed.to_bytes();
        }
    }
}

#[tokio::test]
async fn changed_answers_are_not_believed() {
    let what = is_caught(tamper(|r| each_sealed(r, |s| s.sealed[0] ^= 1))).await;
    assert!(what.contains("does not open"), "{what}");
    is_caught(tamper(|r| each_sealed(r, |s| s.counter += 1))).await;
    is_caught(tamper(|r| each_sealed(r, |s| s.encapsulated[0] ^= 1))).await;
    is_caught(tamper(|r| each_sealed(r, |s| s.epoch.number += 1))).await;
    is_caught(tamper(|r| each_sealed(r, |s| s.key.public[0] ^= 1))).await;
    is_caught(tamper(|r| each_sealed(r, |s| s.key.not_after = s.key.not_before))).await;
}

#[tokio::test]
async fn junk_is_not_believed() {
    let junk = |make: fn(Vec<u8>) -> ReplyOutcome| {
        tamper(move |r| r.answers.iter_mut().for_each(|a| a.outcome = make(vec![0; 300])))
    };
    is_caught(junk(ReplyOutcome::Sealed)).await;
    is_caught(junk(ReplyOutcome::Refused)).await;
}

#[tokio::test]
async fn answers_in_another_nodes_name_are_not_believed() {
    let what = is_caught(tamper(|r| {
        let n = r.answers.len() as u32;
        r.answers.iter_mut().for_each(|a| a.node = a.node % n + 1);
    }))
    .await;
    assert!(what.contains("is another node's answer"), "{what}");
}

#[tokio::test]
async fn one_nodes_answer_three_times_is_one_answer() {
    let fake = fake();
    let ciphertext = seal(&fake).await;
    let (alone, both) = cheated(
        &fake,
        tamper(|r| {
            let first = r.answers[0].clone();
            r.answers = vec![first.clone(), first.clone(), first];
        }),
    );
    // Each round brings one new node, and the cheat only costs time.
    assert!(alone.decrypt(&ciphertext, &context()).await.is_ok());
    assert!(both.decrypt(&ciphertext, &context()).await.is_ok());
}

#[tokio::test]
async fn replayed_answers_are_not_believed() {
    let kept: Mutex<Option<Replies>> = Mutex::new(None);
    let fake = fake();
    let ciphertext = seal(&fake).await;
    let (alone, _) = cheated(
        &fake,
        tamper(move |r| {
            let mut kept = kept.lock().unwrap();
            match &*kept {
                Some(old) => *r = old.clone(),
                None => *kept = Some(r.clone()),
            }
        }),
    );
    assert!(alone.decrypt(&ciphertext, &context()).await.is_ok(), "the first is genuine");
    let error = alone.decrypt(&ciphertext, &context()).await.unwrap_err();
    assert!(error.to_string().contains("answers another request"), "{error}");
    assert_eq!(error.exit_code(), 5);
}

#[tokio::test]
async fn answers_of_strangers_are_not_believed() {
    let what = is_caught(tamper(|r| {
        for (i, reply) in r.answers.iter_mut().enumerate() {
            reply.node = 200 + i as u32;
        }
        each_sealed(r, |s| {
            let card = AnswerKeyCard::sign(
                &Fingerprint::default(),
                index(200),
                [9; 32],
                s.key.not_before,
                &key(200),
            );
            s.key = card;
        });
    }))
    .await;
    assert!(what.contains("holds no share") || what.contains("another"), "{what}");
}

/// Nodes see the change and refuse; the client can tell who made it.
#[tokio::test]
async fn changed_requests_are_traced_to_the_coordinator() {
    let change =
        |change: fn(&mut Question)| move |c: &mut Coordinator| c.question = Some(Box::new(change));
    let what = is_caught(change(|q| {
        let mut items = q.items.to_vec();
        items[0][40] ^= 1;
        q.items = items.into();
    }))
    .await;
    assert!(what.contains("changed the request's items"), "{what}");
    is_caught(change(|q| q.items = vec![q.items[0].clone(); 2].into())).await;
}

/// A refusal needs the node's signature over this very request.
#[tokio::test]
async fn forged_and_foreign_refusals_are_not_believed() {
    let fingerprint = *fake().cluster.fingerprint();
    let refuse = move |signer: fn(u32) -> u8| {
        tamper(move |r: &mut Replies| {
            for reply in &mut r.answers {
                let (node, reason) = (index(reply.node as u16), RefusalReason::NotGranted);
                let request = Hash([1; 32]);
                let refusal = Refusal { node, request, at: Millis(0), reason, item: None };
                let signed = SignedRefusal::sign(refusal, &fingerprint, &key(signer(reply.node)));
                reply.outcome = ReplyOutcome::Refused(signed.to_bytes());
            }
        })
    };
    let what = is_caught(refuse(|_| 120)).await;
    assert!(what.contains("did not sign"), "{what}");
    // Each node's own signature, from another request.
    let what = is_caught(refuse(|node| node as u8)).await;
    assert!(what.contains("refuses another request"), "{what}");
}

#[tokio::test]
async fn withheld_answers_are_an_outage_and_another_coordinator_helps() {
    let fake = fake();
    let ciphertext = seal(&fake).await;
    let (alone, both) = cheated(&fake, tamper(|r| r.answers.clear()));
    assert!(both.decrypt(&ciphertext, &context()).await.is_ok());
    let error = alone.decrypt(&ciphertext, &context()).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("node-5 (JP) gave no answer"), "{error}");
}

#[tokio::test]
async fn a_coordinator_that_is_down_is_passed_over_and_remembered() {
    let fake = fake();
    let mut first = Coordinator::honest("first", &fake);
    first.down = true;
    let (first, second) = (Arc::new(first), fake.coordinator("second"));
    let client = fake.client(&[Arc::clone(&first), Arc::clone(&second)]);
    let key = client.key("demo").await.unwrap();
    let ciphertext = key.encrypt(b"secret", &context()).unwrap();
    assert!(client.decrypt(&ciphertext, &context()).await.is_ok());
    assert_eq!(second.asked.load(Ordering::Relaxed), 1);

    let alone = fake.client(&[first]);
    let error = alone.key("demo").await.unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert_eq!(error.to_string(), "first: unreachable: connection refused");
}

/// Nobody is believed to know that a key does not exist.
#[tokio::test]
async fn a_key_that_one_coordinator_denies_is_asked_for_elsewhere() {
    let (with, without) = (fake(), fake());
    let mut denies = Coordinator::honest("mallory", &without);
    denies.denies_keys = true;
    let both = with.client(&[Arc::new(denies), with.coordinator("alice")]);
    assert!(both.key("demo").await.is_ok());
}

/// Cheats on the key record, seen at `client.key`.
async fn key_is_refused(cheat: impl Fn(&mut KeyRecord) + Send + Sync + 'static) -> String {
    let fake = fake();
    let (alone, both) = cheated(&fake, |c| c.record = Some(Box::new(cheat)));
    assert!(both.key("demo").await.is_ok(), "the honest coordinator is asked instead");
    let error = alone.key("demo").await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().starts_with("verification failed: mallory "), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_swapped_public_key_is_refused() {
    let other = material(&fake().cluster, "demo", 3).epochs[0].public.commitments.clone();
    let text = key_is_refused(move |r| r.certificate.public.commitments = other.clone()).await;
    assert!(text.contains("0 of 5 nodes have validly signed"), "{text}");
}

/// The coordinator makes a key of its own, with nodes and operators of its own.
#[tokio::test]
async fn a_self_made_key_is_refused() {
    let text = key_is_refused(|r| {
        let body = r.order.0.body.clone();
        let mut signed = Signed::unsigned(body);
        let fingerprint = r.certificate.public.fingerprint;
        signed.sign(&key(120), quorate_crypto::hash::Label::SIG_ORDER, &fingerprint);
        r.order = SignedOrder(signed);
    })
    .await;
    assert!(text.contains("0 of the 1 operators"), "{text}");
}

#[tokio::test]
async fn another_keys_record_is_refused() {
    let fake = fake();
    let other = fake.keys[1].record(0);
    let text = key_is_refused(move |r| *r = other.clone()).await;
    assert!(text.contains("was asked for key demo and sent the record of other"), "{text}");
}

/// Every node signed it, the operators did not order it.
#[tokio::test]
async fn a_record_with_another_threshold_is_refused() {
    let fake = fake();
    let lower = material(&fake.cluster, "demo", 2).epochs[0].public.clone();
    let text = key_is_refused(move |r| {
        let mut public = lower.clone();
        public.order = r.certificate.public.order;
        *r = record_of(r.order.clone(), public);
    })
    .await;
    assert!(text.contains("committee or threshold in the certificate is not what"), "{text}");
    assert!(order(&fake.cluster, "demo", 2, Purpose::Decrypt) != fake.keys[0].order);
}

#[tokio::test]
async fn too_few_active_signatures_bear_no_key() {
    let text = key_is_refused(|r| r.actives.truncate(4)).await;
    assert!(text.contains("4 of 5 nodes have validly signed the epoch active"), "{text}");
}

/// Not a cheat: the reply is empty, and nobody panics.
#[tokio::test]
async fn a_reply_without_a_node_is_passed_over() {
    let fake = fake();
    let ciphertext = seal(&fake).await;
    fake.behave(1, Behaviour::Down);
    let (alone, _) = cheated(
        &fake,
        tamper(|r| {
            r.answers.push(Reply {
                node: 70_000,
                outcome: ReplyOutcome::Sealed(vec![]),
                also: Vec::new(),
            });
            r.failures.push((0, "\u{1b}[2J".into()));
        }),
    );
    assert!(alone.decrypt(&ciphertext, &context()).await.is_ok());
}
