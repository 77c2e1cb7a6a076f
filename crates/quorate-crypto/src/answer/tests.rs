use super::*;

struct Pair {
    node: AnswerKey,
    client: ReplyKey,
    sealing: SealingSession,
    opening: OpeningSession,
}

const INFO: &[u8] = b"cluster, node 3, client alice";
const AAD: &[u8] = b"request 1, node 3, epoch 7";

fn pair() -> Pair {
    let rng = &mut rand::rng();
    let (node, client) = (AnswerKey::generate(rng), ReplyKey::generate(rng));
    let sealing = SealingSession::new(&node, &client.public(), INFO, rng).unwrap();
    let opening =
        OpeningSession::new(&client, &node.public(), &sealing.encapsulated(), INFO).unwrap();
    Pair { node, client, sealing, opening }
}

#[test]
fn answers_of_one_session_open_in_any_order() {
    let p = pair();
    let sealed: Vec<_> = (0..3_u8).map(|i| p.sealing.seal(AAD, &[i; 9]).unwrap()).collect();
    for i in [2_u8, 0, 1] {
        let (counter, answer) = &sealed[usize::from(i)];
        assert_eq!(*counter, u64::from(i));
        assert_eq!(p.opening.open(*counter, AAD, answer).unwrap(), [i; 9]);
    }
}

#[test]
fn an_answer_for_another_client_does_not_open() {
    let p = pair();
    let (counter, sealed) = p.sealing.seal(AAD, b"partial").unwrap();
    let other = ReplyKey::generate(&mut rand::rng());
    let opening =
        OpeningSession::new(&other, &p.node.public(), &p.sealing.encapsulated(), INFO).unwrap();
    assert_eq!(opening.open(counter, AAD, &sealed), Err(AnswerError::Open));
}

#[test]
fn an_answer_of_another_node_does_not_pass_for_this_one() {
    let rng = &mut rand::rng();
    let p = pair();
    let liar = AnswerKey::generate(rng);
    let forged = SealingSession::new(&liar, &p.client.public(), INFO, rng).unwrap();
    let (counter, sealed) = forged.seal(AAD, b"forged").unwrap();
    let opening =
        OpeningSession::new(&p.client, &p.node.public(), &forged.encapsulated(), INFO).unwrap();
    assert_eq!(opening.open(counter, AAD, &sealed), Err(AnswerError::Open));
}

#[test]
fn an_answer_replayed_under_another_request_or_counter_does_not_open() {
    let p = pair();
    let (counter, sealed) = p.sealing.seal(AAD, b"partial").unwrap();
    assert_eq!(p.opening.open(counter, b"request 2", &sealed), Err(AnswerError::Open));
    assert_eq!(p.opening.open(counter + 1, AAD, &sealed), Err(AnswerError::Open));
    assert_eq!(p.opening.open(counter | 1 << 63, AAD, &sealed), Err(AnswerError::Open));
    for byte in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[byte] ^= 1;
        assert_eq!(p.opening.open(counter, AAD, &changed), Err(AnswerError::Open));
    }
    for len in 0..sealed.len() {
        assert_eq!(p.opening.open(counter, AAD, &sealed[..len]), Err(AnswerError::Open));
    }
}

#[test]
fn info_and_session_bind() {
    let p = pair();
    let (counter, sealed) = p.sealing.seal(AAD, b"partial").unwrap();
    let open = |encapsulated: [u8; 32], info: &[u8]| {
        OpeningSession::new(&p.client, &p.node.public(), &encapsulated, info)
            .and_then(|session| session.open(counter, AAD, &sealed))
    };
    assert!(open(p.sealing.encapsulated(), INFO).is_ok());
    assert_eq!(open(p.sealing.encapsulated(), b"cluster, node 4"), Err(AnswerError::Open));
    let again = SealingSession::new(&p.node, &p.client.public(), INFO, &mut rand::rng()).unwrap();
    assert_ne!(again.encapsulated(), p.sealing.encapsulated());
    assert_eq!(open(again.encapsulated(), INFO), Err(AnswerError::Open));
}

#[test]
fn keys_of_small_order_are_refused() {
    // RFC 7748 §6.1: 0, 1, and the two points of order 8.
    let small = [
        [0; 32].to_vec(),
        hex::decode("0100000000000000000000000000000000000000000000000000000000000000").unwrap(),
        hex::decode("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800").unwrap(),
        hex::decode("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157").unwrap(),
    ];
    let p = pair();
    for point in small {
        let point: [u8; 32] = point.try_into().unwrap();
        let sealing = SealingSession::new(&p.node, &point, INFO, &mut rand::rng());
        assert_eq!(sealing.err(), Some(AnswerError::Key));
        let opening = OpeningSession::new(&p.client, &p.node.public(), &point, INFO);
        assert_eq!(opening.err(), Some(AnswerError::Key));
        let opening = OpeningSession::new(&p.client, &point, &p.sealing.encapsulated(), INFO);
        assert_eq!(opening.err(), Some(AnswerError::Key));
    }
}

#[test]
fn a_session_ends_after_its_last_counter() {
    let p = pair();
    p.sealing.next.store(MAX_ANSWERS - 1, Ordering::Relaxed);
    assert_eq!(p.sealing.seal(AAD, b"").map(|(n, _)| n), Ok(MAX_ANSWERS - 1));
    assert_eq!(p.sealing.seal(AAD, b""), Err(AnswerError::Exhausted));
    assert_eq!(p.sealing.seal(AAD, b""), Err(AnswerError::Exhausted));
}

#[test]
fn threads_never_share_a_counter() {
    let p = pair();
    let mut counters: Vec<u64> = std::thread::scope(|scope| {
        let seal = || (0..200).map(|_| p.sealing.seal(AAD, b"").unwrap().0).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(seal)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    counters.sort_unstable();
    assert_eq!(counters, (0..800).collect::<Vec<_>>());
}

#[test]
fn keys_print_nothing() {
    let p = pair();
    assert_eq!(
        format!("{:?} {:?}", p.node, p.client),
        "AnswerKey([redacted]) ReplyKey([redacted])"
    );
    assert!(std::mem::needs_drop::<ReplyKey>() && std::mem::needs_drop::<OpeningSession>());
}
