//! What an owner checks before it deals: a coordinator that asks for anything else gets nothing.

use super::*;
use quorate_crypto::{
    PublicKey,
    dealing::{Dealing, VerifiedDealing},
    hash::Label,
};
use quorate_types::*;

fn key(n: u8) -> IdentityKey {
    IdentityKey::from_seed(&[n; 32])
}

fn public(n: u8) -> PublicKey {
    key(n).public()
}

fn index(i: u16) -> NodeIndex {
    NodeIndex::new(i).unwrap()
}

fn cluster() -> Cluster {
    let node = |i: u16| NodeEntry {
        index: index(i),
        name: format!("node-{i}").parse().unwrap(),
        endpoint: format!("127.0.0.1:{}", 7400 + i).parse().unwrap(),
        provider: format!("provider-{i}").parse().unwrap(),
        location: ["CH", "IS", "DE", "CA"][usize::from(i) - 1].parse().unwrap(),
        home: ["CH", "IS", "DE", "CA"][usize::from(i) - 1].parse().unwrap(),
        identity: public(i as u8),
    };
    let roster = Roster {
        cluster: "test".parse().unwrap(),
        version: 1,
        previous: Hash::default(),
        nonce: [7; 32],
        written_at: Millis(1),
        nodes: (1..=4).map(node).collect(),
        coordinators: vec![CoordinatorEntry {
            name: "coordinator".parse().unwrap(),
            endpoint: "127.0.0.1:7400".parse().unwrap(),
            tls_key: public(120),
        }],
        operators: vec![OperatorEntry { name: "op".parse().unwrap(), key: public(101) }],
        quorum: 1,
    };
    let mut signed = Signed::unsigned(roster.to_bytes());
    let fingerprint = quorate_types::roster::fingerprint(&signed.body);
    signed.sign(&key(101), Label::SIG_ROSTER, &fingerprint);
    Cluster::verify(&fingerprint, &[SignedRoster(signed)]).unwrap()
}

/// 2 of nodes 1 to 3; node 4 is no member. Key 50 owns.
fn order(cluster: &Cluster, action: Action) -> VerifiedOrder {
    let order = Order {
        fingerprint: *cluster.fingerprint(),
        roster_version: 1,
        roster_hash: cluster.roster_hash(),
        issued_at: Millis(1),
        expires_at: Millis(1000),
        nonce: [3; 32],
        predecessor: Hash::default(),
        action,
    };
    let mut signed = Signed::unsigned(order.to_bytes());
    signed.sign(&key(101), Label::SIG_ORDER, cluster.fingerprint());
    VerifiedOrder::verify(cluster, &SignedOrder(signed)).unwrap()
}

fn create(suite: Suite) -> CreateKey {
    let member = |i: u16| Member { index: index(i), identity: public(i as u8) };
    CreateKey {
        name: "legacy".parse().unwrap(),
        version: KeyVersion::FIRST,
        suite,
        purpose: suite.purpose(),
        committee: Committee::new((1..=3).map(member).collect(), 2).unwrap(),
        q: 3,
        first_number: 1,
        grants: Vec::new(),
        danger_concentrated: false,
        acknowledge_fragile: true,
        rights: Rights::NONE,
    }
}

struct Import {
    order: VerifiedOrder,
    key: OwnedKey,
    ceremony: Vec<SecretScalar>,
}

fn import(suite: Suite) -> Import {
    let cluster = cluster();
    let key = OwnedKey::parse(&[5; 32]).unwrap();
    let public_key = key.public_key(suite).unwrap();
    let action = ImportKey { create: create(suite), public_key, dealer: public(50) };
    let order = order(&cluster, Action::ImportKey(action));
    let ceremony = (0..4).map(|_| SecretScalar::random(&mut rand::rng())).collect();
    Import { order, key, ceremony }
}

impl Import {
    fn attempt(&self, number: u64) -> AttemptId {
        AttemptId {
            fingerprint: self.order.order().fingerprint,
            key: "legacy".parse().unwrap(),
            version: KeyVersion::FIRST,
            order: self.order.hash(),
            number,
        }
    }

    /// Node `i`'s answer, signed by key `signer`.
    fn answer(&self, number: u64, i: u16, signer: u8) -> PrepareAnswer {
        let secret = &self.ceremony[usize::from(i) - 1];
        let point = *EncodedPoint::new(secret.public()).unwrap().bytes();
        PrepareAnswer::sign(&self.attempt(number), index(i), point, None, &key(signer))
    }

    fn request(&self) -> DealRequest {
        DealRequest {
            subject: Subject {
                key: "legacy".parse().unwrap(),
                version: KeyVersion::FIRST,
                number: 1,
            },
            answers: (1..=3).map(|i| self.answer(1, i, i as u8)).collect(),
            dealers: vec![NodeIndex::OWNER],
        }
    }

    fn deal(&self, request: &DealRequest) -> Result<SignedDealing, ImportError> {
        self.key.deal(&self.order, request, &key(50))
    }

    fn verify(&self, request: &DealRequest, signed: &SignedDealing) -> VerifiedDealing {
        let terms = self.order.terms().unwrap();
        let list = list_hash(&self.order.order().fingerprint, &request.answers, &request.dealers);
        let ctx =
            CeremonyContext::of(&self.order, KeyVersion::FIRST, None, 1, list).unwrap().hash();
        assert!(signed.verifies(&self.order.order().fingerprint, &ctx, &public(50)));
        let receivers = receivers(&self.order, request).unwrap();
        let params = DealingParams::new(
            terms.suite.group(),
            *ctx.as_bytes(),
            NodeIndex::OWNER,
            *public(50).as_bytes(),
            terms.committee.threshold(),
            &receivers,
        );
        let y = terms.suite.group().decode(terms.public_key.unwrap()).unwrap();
        let dealing = Dealing::from_bytes(&signed.dealing).unwrap();
        dealing.verify(&params.unwrap(), Some(&y)).unwrap()
    }
}

#[test]
fn an_owner_deals_its_key_to_the_nodes_of_the_order_the_same_whenever_it_is_asked() {
    for suite in [Suite::Tdh2Ristretto255, Suite::FrostEd25519, Suite::VoprfRistretto255] {
        let import = import(suite);
        let request = import.request();
        let signed = import.deal(&request).unwrap();
        assert_eq!(import.deal(&request).unwrap(), signed);
        let verified = import.verify(&request, &signed);
        for i in 1..=3 {
            verified.open(index(i), &import.ceremony[usize::from(i) - 1]).unwrap();
        }
        // Other ceremony keys, another dealing: nothing of the first helps against the second.
        let other = Import { ceremony: super::tests::import(suite).ceremony, ..import };
        assert_ne!(other.deal(&other.request()).unwrap().dealing, signed.dealing);
    }
}

#[test]
fn an_owner_deals_to_nobody_but_the_nodes_of_the_order() {
    let import = import(Suite::Tdh2Ristretto255);
    let refused = |change: &dyn Fn(&mut DealRequest)| {
        let mut request = import.request();
        change(&mut request);
        import.deal(&request).unwrap_err()
    };
    // A ceremony key that the coordinator made; a node beside the committee, or in a member's
    // place; too few, twice the same; of another attempt; with a commitment; no point.
    let cases: [&dyn Fn(&mut DealRequest); 8] = [
        &|r| r.answers[1] = import.answer(1, 2, 120),
        &|r| r.answers.push(import.answer(1, 4, 4)),
        &|r| r.answers[2] = import.answer(1, 4, 4),
        &|r| r.answers.truncate(2),
        &|r| r.answers[2] = r.answers[1].clone(),
        &|r| r.answers[0] = import.answer(2, 1, 1),
        &|r| {
            let point = r.answers[0].ceremony_key;
            let id = import.attempt(1);
            r.answers[0] = PrepareAnswer::sign(&id, index(1), point, Some([1; 32]), &key(1));
        },
        &|r| {
            let id = import.attempt(1);
            r.answers[0] = PrepareAnswer::sign(&id, index(1), [0; 32], None, &key(1));
        },
    ];
    for (at, case) in cases.iter().enumerate() {
        assert_eq!(refused(case), ImportError::Receivers, "case {at}");
    }
    let subjects: [&dyn Fn(&mut DealRequest); 6] = [
        &|r| r.subject.key = "other".parse().unwrap(),
        &|r| r.subject.version = KeyVersion::new(2).unwrap(),
        &|r| r.subject.number = 1025,
        &|r| r.dealers = vec![index(1)],
        &|r| r.dealers = vec![index(1), NodeIndex::OWNER],
        &|r| r.dealers.clear(),
    ];
    for (at, case) in subjects.iter().enumerate() {
        assert_eq!(refused(case), ImportError::Subject, "case {at}");
    }
}

#[test]
fn an_owner_deals_its_own_key_only_under_an_order_that_states_it() {
    let import = import(Suite::FrostEd25519);
    let request = import.request();
    let other = OwnedKey::parse(&[6; 32]).unwrap();
    let deal = |k: &OwnedKey, n: u8| k.deal(&import.order, &request, &key(n)).unwrap_err();
    assert_eq!(deal(&other, 50), ImportError::PublicKey);
    assert_eq!(deal(&import.key, 51), ImportError::Dealer);
    let genesis = order(&cluster(), Action::CreateKey(create(Suite::FrostEd25519)));
    let error = import.key.deal(&genesis, &request, &key(50)).unwrap_err();
    assert_eq!(error, ImportError::Action);
    // The same scalar is another public key in another group.
    let ristretto = import.key.public_key(Suite::Tdh2Ristretto255).unwrap();
    assert_ne!(ristretto, import.key.public_key(Suite::FrostEd25519).unwrap());
    assert_eq!(format!("{other:?}").matches("redacted").count(), 1);
}
