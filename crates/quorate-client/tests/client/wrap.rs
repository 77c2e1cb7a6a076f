//! Wrapping: no key is used before every node's proof holds, what was wrapped opens by every quorum
//! and in every epoch, and who lies is named.

use crate::{
    cluster::{Coordinator, Fake, context, fake},
    node::Behaviour,
};
use quorate_client::{
    CacheLimits, Client, DataKeyCache, EncryptionContext, Error, Key, MAX_WRAP, NodeRef, Report,
    ToUnwrap, ToWrap, Wrapped,
};
use quorate_types::{Format, Operation, RefusalReason, RequestHead};
use std::{
    collections::BTreeSet,
    io::Cursor,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

const SECRET: &[u8] = b"a secret of this length";

fn names(nodes: &[NodeRef]) -> Vec<String> {
    nodes.iter().map(NodeRef::to_string).collect()
}

async fn client() -> (Arc<Fake>, Client, Key) {
    let fake = fake();
    let client = fake.client(&[fake.coordinator("coordinator")]);
    let key = client.key("vault").await.unwrap();
    (fake, client, key)
}

async fn sealed(client: &Client, key: &Key, n: usize) -> Vec<Vec<u8>> {
    let plain: Vec<Vec<u8>> = (0..n).map(|i| format!("secret {i}").into_bytes()).collect();
    client.encrypt_batch(key, &plain, &context()).await.unwrap().0
}

async fn opened(client: &Client, sealed: &[Vec<u8>]) -> (Vec<Result<String, Error>>, Report) {
    let (opened, report) = client.decrypt_batch_with_report(sealed, &context()).await.unwrap();
    let text = |p: Result<_, _>| {
        p.map(|p: quorate_client::Plaintext| String::from_utf8(p.to_vec()).unwrap())
    };
    (opened.into_iter().map(text).collect(), report)
}

fn all_open(opened: &[Result<String, Error>]) -> bool {
    (opened.iter().enumerate()).all(|(i, o)| o.as_ref().is_ok_and(|o| *o == format!("secret {i}")))
}

#[tokio::test]
async fn what_was_sealed_opens_by_every_quorum() {
    let (fake, client, key) = client().await;
    let ciphertext = client.encrypt(&key, SECRET, &context()).await.unwrap();
    for away in [[1, 2], [2, 4], [3, 5]] {
        away.iter().for_each(|node| fake.behave(*node, Behaviour::Down));
        let (plain, report) = client.decrypt_with_report(&ciphertext, &context()).await.unwrap();
        assert_eq!((&plain[..], report.liars.len()), (SECRET, 0), "{away:?}");
        away.iter().for_each(|node| fake.behave(*node, Behaviour::Honest));
    }
    // Shorter than under a public key, by what the key encapsulation takes.
    let public = client.key("demo").await.unwrap().encrypt(SECRET, &context()).unwrap();
    assert_eq!(public.len() + "vault".len() - "demo".len(), ciphertext.len() + 192);
}

#[tokio::test]
async fn no_one_time_key_is_used_before_every_proof_holds() {
    let (fake, client, key) = client().await;
    let lies = [Behaviour::Lies, Behaviour::Junk, Behaviour::Short];
    for (lie, n) in lies.into_iter().flat_map(|lie| [(lie, 1), (lie, 3)]) {
        fake.behave(2, lie);
        let plain = vec![SECRET; n];
        let (made, report) = client.encrypt_batch(&key, &plain, &context()).await.unwrap();
        assert_eq!(names(&report.liars), ["node-2 (CH)"], "{lie:?}");
        assert_eq!(names(&report.nodes), ["node-1 (DE)", "node-3 (NO)", "node-4 (CA)"]);
        fake.behave(2, Behaviour::Honest);
        for one in made {
            assert_eq!(&client.decrypt(&one, &context()).await.unwrap()[..], SECRET, "{lie:?}");
        }
    }
    fake.behave(4, Behaviour::Refuses(RefusalReason::InvalidItem));
    let (_, report) = client.encrypt_batch(&key, &[SECRET], &context()).await.unwrap();
    assert!(!names(&report.nodes).contains(&"node-4 (CA)".into()));
}

#[tokio::test]
async fn a_node_that_lies_when_unwrapping_is_named_and_all_opens() {
    let (fake, client, key) = client().await;
    for n in [1, 5] {
        let sealed = sealed(&client, &key, n).await;
        for lie in [Behaviour::Lies, Behaviour::LiesUnasked, Behaviour::Junk, Behaviour::Short] {
            fake.behave(1, lie);
            let (opened, report) = opened(&client, &sealed).await;
            assert!(all_open(&opened), "{lie:?}");
            assert_eq!(names(&report.liars), ["node-1 (DE)"], "{lie:?}");
        }
        fake.behave(1, Behaviour::Honest);
    }
}

/// Unwrapping asks for no proof as long as the commitments hold; wrapping always does.
#[tokio::test]
async fn proofs_are_demanded_to_wrap_and_in_doubt_only_to_unwrap() {
    let fake = fake();
    let seen: Arc<Mutex<Vec<bool>>> = Arc::default();
    let mut coordinator = Coordinator::honest("coordinator", &fake);
    let keep = Arc::clone(&seen);
    coordinator.question = Some(Box::new(move |question| {
        let head = RequestHead::from_bytes(&question.head).unwrap();
        assert_eq!(head.operation, Operation::Wrap);
        assert!(question.items.iter().all(|i| i.len() == 16));
        keep.lock().unwrap().push(head.prove);
    }));
    let client = fake.client(&[Arc::new(coordinator)]);
    let key = client.key("vault").await.unwrap();
    let mut sealed = sealed(&client, &key, 3).await;
    assert!(all_open(&opened(&client, &sealed).await.0));
    assert_eq!(*seen.lock().unwrap(), [true, false]);
    let at = sealed[1].len() - 10;
    sealed[1][at] ^= 1;
    assert!(opened(&client, &sealed).await.0[1].is_err());
    // The payload is beside the point; the commitment says that the key was right.
    assert_eq!(*seen.lock().unwrap(), [true, false, false]);
}

#[tokio::test]
async fn what_was_changed_stays_shut_and_the_rest_of_the_batch_opens() {
    let (_, client, key) = client().await;
    let good = sealed(&client, &key, 3).await;
    let header = good[1].len() - "secret 1".len() - 16 - 32 - 16;
    // Nonce, commitment, payload, tag.
    for at in [header, header + 15, header + 16, header + 47, header + 48, good[1].len() - 1] {
        let mut sealed = good.clone();
        sealed[1][at] ^= 1;
        let (opened, report) = opened(&client, &sealed).await;
        assert_eq!(opened[0].as_ref().unwrap(), "secret 0");
        assert_eq!(opened[1].as_ref().unwrap_err().exit_code(), 5, "{at}");
        assert_eq!(opened[2].as_ref().unwrap(), "secret 2");
        assert!(report.liars.is_empty(), "nobody is blamed for a bad ciphertext");
    }
    for cut in [good[1].len() - 1, header + 20, 10] {
        let error = client.decrypt(&good[1][..cut], &context()).await.unwrap_err();
        assert_eq!(error.exit_code(), 5, "{error}");
    }
    let error = client.decrypt(&good[0], &EncryptionContext::default()).await.unwrap_err();
    assert!(error.to_string().contains("another encryption context"), "{error}");
}

#[tokio::test]
async fn three_liars_or_too_few_nodes_give_nothing() {
    let (fake, client, key) = client().await;
    let ciphertext = client.encrypt(&key, SECRET, &context()).await.unwrap();
    [1, 3, 5].into_iter().for_each(|node| fake.behave(node, Behaviour::Lies));
    for error in [
        client.decrypt(&ciphertext, &context()).await.unwrap_err(),
        client.encrypt(&key, SECRET, &context()).await.unwrap_err(),
    ] {
        assert_eq!(error.exit_code(), 5, "{error}");
        for liar in ["node-1 (DE)", "node-3 (NO)", "node-5 (JP)"] {
            assert!(error.to_string().contains(liar), "{error}");
        }
    }
    for (behaviour, code) in
        [(Behaviour::Down, 4), (Behaviour::Refuses(RefusalReason::NotGranted), 3)]
    {
        [1, 3, 5].into_iter().for_each(|node| fake.behave(node, behaviour));
        assert_eq!(client.decrypt(&ciphertext, &context()).await.unwrap_err().exit_code(), code);
        assert_eq!(client.encrypt(&key, SECRET, &context()).await.unwrap_err().exit_code(), code);
    }
}

#[tokio::test]
async fn what_was_sealed_opens_after_a_refresh() {
    let fake = fake();
    let coordinator = fake.coordinator("coordinator");
    let client = fake.client(&[Arc::clone(&coordinator)]);
    let key = client.key("vault").await.unwrap();
    let ciphertext = client.encrypt(&key, SECRET, &context()).await.unwrap();
    let item = ToWrap { plaintext: SECRET, other_data: b"" };
    let (wrapped, _) = client.wrap(&key, &[item], &context()).await.unwrap();
    (1..=5).for_each(|node| fake.behave(node, Behaviour::NextEpoch));
    *coordinator.newest.lock().unwrap() = Some(fake.keys[4].record(1).to_bytes());
    let (plain, report) = client.decrypt_with_report(&ciphertext, &context()).await.unwrap();
    assert_eq!((&plain[..], report.epoch.unwrap().number), (SECRET, 1025));
    let back = ToUnwrap { wrapped: &wrapped[0], other_data: b"" };
    let (plain, _) = client.unwrap(&key, &[back], &context()).await.unwrap();
    assert_eq!(&plain[0].as_ref().unwrap()[..], SECRET);
}

#[tokio::test]
async fn what_is_wrapped_is_as_long_as_it_was_with_a_nonce_and_a_tag() {
    let (fake, client, key) = client().await;
    let plain: Vec<Vec<u8>> = [0, 1, 4300, MAX_WRAP].iter().map(|n| vec![0x5a; *n]).collect();
    let items: Vec<_> =
        plain.iter().map(|p| ToWrap { plaintext: p, other_data: b"volume 7" }).collect();
    fake.behave(3, Behaviour::Lies);
    let (wrapped, report) = client.wrap(&key, &items, &context()).await.unwrap();
    assert_eq!(names(&report.liars), ["node-3 (NO)"]);
    for (one, plain) in wrapped.iter().zip(&plain) {
        assert_eq!(one.ciphertext.len(), plain.len());
        let bytes = one.to_bytes();
        assert_eq!(bytes.len(), plain.len() + 32);
        assert_eq!(&Wrapped::from_bytes(&bytes).unwrap(), one);
    }
    let nonces: BTreeSet<_> = wrapped.iter().map(|w| w.nonce).collect();
    assert_eq!(nonces.len(), 4);
    let unwrap = async |other_data: &[u8], context: &EncryptionContext| {
        let items: Vec<_> =
            wrapped.iter().map(|wrapped| ToUnwrap { wrapped, other_data }).collect();
        client.unwrap(&key, &items, context).await.unwrap()
    };
    // Nothing commits to the key, so a lie is found by its proof, not by what it does.
    let (opened, report) = unwrap(b"volume 7", &context()).await;
    assert_eq!(names(&report.liars), ["node-3 (NO)"]);
    for (opened, plain) in opened.iter().zip(&plain) {
        assert_eq!(&opened.as_ref().unwrap()[..], plain);
    }
    let none = EncryptionContext::default();
    for (other, context) in [(&b"volume 8"[..], &context()), (b"volume 7", &none)] {
        let (opened, _) = unwrap(other, context).await;
        assert!(opened.iter().all(|o| o.as_ref().is_err_and(|e| e.exit_code() == 5)));
    }
    let long = ToWrap { plaintext: &[0; MAX_WRAP + 1], other_data: b"" };
    let error = client.wrap(&key, &[long], &context()).await.unwrap_err().to_string();
    assert!(error.contains("at most 65536 bytes, got 65537"), "{error}");
    for wrong in [&[0; 31][..], &[0; MAX_WRAP + 33]] {
        assert!(Wrapped::from_bytes(wrong).is_err());
    }
}

#[tokio::test]
async fn a_key_wraps_or_does_something_else() {
    let (_, client, vault) = client().await;
    let item = ToWrap { plaintext: SECRET, other_data: b"" };
    for other in ["demo", "ids", "release"] {
        let key = client.key(other).await.unwrap();
        let error = client.wrap(&key, &[item], &context()).await.unwrap_err();
        assert!(matches!(error, Error::WrongPurpose { .. }), "{error}");
    }
    for error in [
        vault.encrypt(SECRET, &context()).map(drop).unwrap_err(),
        client.derive("vault", SECRET, &context()).await.map(drop).unwrap_err(),
        client.sign("vault", SECRET).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::WrongPurpose { .. }), "{error}");
    }
    // Ciphertexts that are made to name a key for something else.
    let wrapped = client.encrypt(&vault, SECRET, &context()).await.unwrap();
    let encrypted = client.key("demo").await.unwrap().encrypt(SECRET, &context()).unwrap();
    for (ciphertext, old, new) in
        [(&wrapped, "vault", "demo"), (&wrapped, "vault", "ids"), (&encrypted, "demo", "vault")]
    {
        let at = ciphertext.windows(old.len()).position(|w| w == old.as_bytes()).unwrap();
        let length = u32::try_from(new.len()).unwrap().to_be_bytes();
        let tail = &ciphertext[at + old.len()..];
        let named = [&ciphertext[..at - 4], &length, new.as_bytes(), tail].concat();
        let error = client.decrypt(&named, &context()).await.unwrap_err();
        assert_eq!(error.exit_code(), 5, "{error}");
        assert!(error.to_string().contains(&format!("{new}, which is to")), "{error}");
    }
}

#[tokio::test]
async fn batches_mix_both_forms_and_more_than_one_request() {
    let (_, client, vault) = client().await;
    let plain: Vec<Vec<u8>> = (0..1030_u32).map(|i| i.to_be_bytes().to_vec()).collect();
    let (mut all, report) = client.encrypt_batch(&vault, &plain, &context()).await.unwrap();
    assert_eq!(report.nodes.len(), 3);
    let demo = client.key("demo").await.unwrap();
    all.push(client.encrypt(&demo, b"the last", &context()).await.unwrap());
    let opened = client.decrypt_batch(&all, &context()).await.unwrap();
    for (opened, plain) in opened.iter().zip(plain.iter().map(|p| &p[..]).chain([&b"the last"[..]]))
    {
        assert_eq!(&opened.as_ref().unwrap()[..], plain);
    }
    let none: [&[u8]; 0] = [];
    assert!(client.encrypt_batch(&vault, &none, &context()).await.unwrap().0.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_sealed_and_sealed_again_under_another_key() {
    let (_, client, vault) = client().await;
    let demo = client.key("demo").await.unwrap();
    let plain: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
    let first = Cursor::new(plain.clone());
    let sealed = client.encrypt_stream(&vault, first, Vec::new(), &context()).await.unwrap();
    assert_eq!(sealed.bytes, plain.len() as u64);
    let none = EncryptionContext::default();
    let from = Cursor::new(sealed.writer);
    let again = client.reencrypt_stream(from, Vec::new(), &context(), &demo, &none).await.unwrap();
    let from = Cursor::new(again.writer.clone());
    let back = client.decrypt_stream(from, Vec::new(), &none).await.unwrap();
    assert!(back.writer == plain);
    // And the other way round, in memory.
    let once_more = client.reencrypt(&again.writer, &none, &vault, &context()).await.unwrap();
    assert!(client.decrypt(&once_more, &context()).await.unwrap()[..] == plain);

    // One that is cut or changed half-way is an error, and never ends as a shorter ciphertext.
    let mut bad = again.writer.clone();
    bad[200_000] ^= 1;
    for bad in [bad, again.writer[..200_000].to_vec()] {
        let from = Cursor::new(bad);
        let done = client.reencrypt_stream(from, Vec::new(), &none, &vault, &none).await;
        assert_eq!(done.unwrap_err().exit_code(), 5);
    }
    let ids = client.key("ids").await.unwrap();
    let error = client.reencrypt(&again.writer, &none, &ids, &none).await.unwrap_err();
    assert!(matches!(error, Error::WrongPurpose { .. }), "{error}");
}

#[tokio::test]
async fn data_keys_come_back_and_nothing_else_does() {
    let (_, client, vault) = client().await;
    let demo = client.key("demo").await.unwrap();
    for key in [&vault, &demo] {
        let made = client.data_key(key, &context()).await.unwrap();
        let back = client.unwrap_data_key(&made.wrapped, &context()).await.unwrap();
        assert_eq!(back.expose(), made.plaintext.expose());
        let hidden = client.data_key_without_plaintext(key, &context()).await.unwrap();
        let (many, _) = client.data_keys(key, 3, &context()).await.unwrap();
        let mut all: Vec<_> = many.iter().map(|k| k.wrapped.clone()).collect();
        all.push(hidden);
        all.push(client.encrypt(key, b"no data key", &context()).await.unwrap());
        let back = client.unwrap_data_keys(&all, &context()).await.unwrap();
        for (back, made) in back.iter().zip(&many) {
            assert_eq!(back.as_ref().unwrap().expose(), made.plaintext.expose());
        }
        assert!(back[3].is_ok());
        let error = back[4].as_ref().unwrap_err();
        assert!(error.to_string().contains("11 bytes, and a data key has 32"), "{error}");
        let distinct: BTreeSet<_> = back.iter().flatten().map(|k| *k.expose()).collect();
        assert_eq!(distinct.len(), 4);
    }
    let ids = client.key("ids").await.unwrap();
    assert!(matches!(client.data_key(&ids, &context()).await, Err(Error::WrongPurpose { .. })));
}

/// Nothing is reused without a cache; with one, as often as it says and for one context.
#[tokio::test]
async fn data_keys_are_reused_within_the_cache_only() {
    let fake = fake();
    let coordinator = fake.coordinator("coordinator");
    let client = fake.client(&[Arc::clone(&coordinator)]);
    let asked = || coordinator.asked.load(Ordering::Relaxed);
    let limits = CacheLimits { max_age: Duration::from_secs(60), max_uses: 2, max_entries: 10 };
    let cache = DataKeyCache::new(client.clone(), limits).unwrap();
    let (one, two) = (context(), EncryptionContext::default());
    let first = cache.data_key("vault", &one).await.unwrap();
    let before = asked();
    let again = cache.data_key("vault", &one).await.unwrap();
    assert_eq!((again.plaintext.expose(), asked()), (first.plaintext.expose(), before));
    let other = cache.data_key("vault", &two).await.unwrap();
    assert_ne!(other.plaintext.expose(), first.plaintext.expose());
    let third = cache.data_key("vault", &one).await.unwrap();
    assert_ne!(third.plaintext.expose(), first.plaintext.expose(), "used up");

    let back = cache.unwrap_data_key(&first.wrapped, &one).await.unwrap();
    let before = asked();
    cache.unwrap_data_key(&first.wrapped, &one).await.unwrap();
    assert_eq!((back.expose(), asked()), (first.plaintext.expose(), before));
    assert!(cache.unwrap_data_key(&first.wrapped, &two).await.is_err());
    cache.unwrap_data_key(&first.wrapped, &one).await.unwrap();
    assert!(asked() > before, "used up");
    cache.clear();
    let before = asked();
    cache.unwrap_data_key(&first.wrapped, &one).await.unwrap();
    assert!(asked() > before);
    assert!(DataKeyCache::new(client, CacheLimits { max_uses: 0, ..limits }).is_err());
}
