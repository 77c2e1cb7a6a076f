//! The recipient of an export, and nodes and coordinators that lie to it.

use crate::cluster::*;
use quorate_client::{
    CombineFailure, combine,
    export::{LeftOut, Reason},
};
use quorate_crypto::{RecipientKey, SecretScalar, hash::Label};
use quorate_types::*;
use std::sync::Arc;

struct Export {
    fake: Arc<Fake>,
    order: VerifiedOrder,
    recipient: RecipientKey,
}

impl Export {
    fn of(name: &str) -> Self {
        let (fake, recipient) = (fake(), RecipientKey::generate(&mut rand::rng()));
        let order = export_order(&fake.cluster, name, recipient.public());
        Self { fake, order, recipient }
    }

    fn material(&self) -> &KeyMaterial {
        let name = &self.order.export().unwrap().name;
        self.fake.keys.iter().find(|k| k.name == *name).unwrap()
    }

    fn in_force(&self) -> VerifiedEpoch {
        self.material().record(1).verify_epoch(&self.fake.cluster).unwrap()
    }

    fn scope(&self, i: u16, epoch: usize) -> ShareScope {
        let public = &self.material().epochs[epoch].public;
        ShareScope {
            fingerprint: public.fingerprint,
            key: public.key.clone(),
            version: public.version,
            epoch: public.epoch,
            node: index(i),
            order: self.order.hash(),
            recipient: self.recipient.public(),
        }
    }

    fn share(&self, i: u16, epoch: usize) -> SecretScalar {
        self.material().epochs[epoch].polynomial.evaluate(index(i))
    }

    fn sealed(&self, i: u16) -> SealedShare {
        seal(self.scope(i, 1), &self.share(i, 1), i)
    }

    fn combine(&self, shares: &[SealedShare]) -> Result<quorate_client::Combined, CombineFailure> {
        combine(&self.order, &self.in_force(), shares, &self.recipient)
    }
}

fn seal(scope: ShareScope, share: &SecretScalar, signer: u16) -> SealedShare {
    SealedShare::seal(scope, share, &key(signer as u8), &mut rand::rng()).unwrap()
}

fn export_order(cluster: &Cluster, name: &str, recipient: [u8; 32]) -> VerifiedOrder {
    let step = ExportStep::Open { recipient, danger_no_cooling_off: true };
    let export = ExportKey { name: name.parse().unwrap(), version: KeyVersion::FIRST, step };
    let order = Order {
        fingerprint: *cluster.fingerprint(),
        roster_version: cluster.roster().version,
        roster_hash: cluster.roster_hash(),
        issued_at: NOW,
        expires_at: NOW.plus(Millis::DAY),
        nonce: [9; 32],
        predecessor: Hash([1; 32]),
        action: Action::ExportKey(export),
    };
    let mut signed = Signed::unsigned(order.to_bytes());
    signed.sign(&key(101), Label::SIG_ORDER, cluster.fingerprint());
    VerifiedOrder::verify(cluster, &SignedOrder(signed)).unwrap()
}

#[test]
fn any_three_right_shares_are_the_key_of_each_suite() {
    for name in ["demo", "ids", "release"] {
        let export = Export::of(name);
        for pick in [&[1, 2, 3][..], &[2, 4, 5], &[1, 2, 3, 4, 5]] {
            let shares: Vec<_> = pick.iter().map(|i| export.sealed(*i)).collect();
            let combined = export.combine(&shares).unwrap();
            assert_eq!(combined.used.len(), 3);
            assert!(combined.left_out.is_empty());
            let public = export.in_force().public().clone();
            let y = public.suite.group().mul_base(&combined.secret).encode();
            assert_eq!(y, *public.public_key());
        }
    }
}

#[test]
fn wrong_shares_are_named_and_the_rest_is_the_key() {
    let export = Export::of("demo");
    let mut shares: Vec<_> = (1..=5).map(|i| export.sealed(i)).collect();
    // Node 2 seals another scalar, node 4 bytes that do not open; both sign.
    shares[1] = seal(export.scope(2, 1), &SecretScalar::random(&mut rand::rng()), 2);
    let stranger = RecipientKey::generate(&mut rand::rng());
    let mut other = export.scope(4, 1);
    other.recipient = stranger.public();
    let closed = seal(other, &export.share(4, 1), 4);
    shares[3] = resigned(SealedShare { scope: export.scope(4, 1), ..closed }, 4);
    let combined = export.combine(&shares).unwrap();
    assert_eq!(combined.used, [index(1), index(3), index(5)]);
    let wrong: Vec<u16> = combined.left_out.iter().map(|l| l.node.get()).collect();
    assert_eq!(wrong, [2, 4]);
    assert!(combined.left_out.iter().all(|l| matches!(l.reason, Reason::Wrong(_))));
    let liars = quorate_client::export::liars(&export.fake.cluster, &combined.left_out);
    assert_eq!(liars[0].to_string(), "node-2 (CH)");

    // With a third liar too few are left, and all are named.
    shares[0] = seal(export.scope(1, 1), &export.share(2, 1), 1);
    let failure = export.combine(&shares).unwrap_err();
    let CombineFailure::TooFew { got: 2, needed: 3, left_out, .. } = failure else {
        panic!("{failure}")
    };
    assert_eq!(left_out.len(), 3);
}

/// As its node would have signed it.
fn resigned(mut sealed: SealedShare, i: u16) -> SealedShare {
    let body = sealed.to_bytes();
    let body = &body[6..body.len() - 64];
    let fingerprint = sealed.scope.fingerprint;
    sealed.signature = key(i as u8).sign(Label::SIG_EXPORT, fingerprint.as_bytes(), body);
    assert!(sealed.verifies(&key(i as u8).public()));
    sealed
}

#[test]
fn shares_of_another_epoch_order_or_recipient_are_left_out() {
    let export = Export::of("demo");
    let other_order = export_order(&export.fake.cluster, "demo", [9; 32]);
    let mut of_order = export.scope(2, 1);
    of_order.order = other_order.hash();
    let mut of_key = export.scope(3, 1);
    of_key.key = "other".parse().unwrap();
    let shares = [
        // The epoch before, with its right share: it is of the same key, and would give another.
        seal(export.scope(1, 0), &export.share(1, 0), 1),
        seal(of_order, &export.share(2, 1), 2),
        seal(of_key, &export.share(3, 1), 3),
        // A coordinator makes a share up in a node's name, or moves one to another node.
        seal(export.scope(4, 1), &SecretScalar::random(&mut rand::rng()), 120),
        SealedShare { scope: export.scope(5, 1), ..export.sealed(1) },
        seal(ShareScope { node: index(9), ..export.scope(1, 1) }, &export.share(1, 1), 9),
    ];
    let failure = export.combine(&shares).unwrap_err();
    let CombineFailure::TooFew { got: 0, left_out, .. } = failure else { panic!("{failure}") };
    // Nobody is to blame for what nobody has signed as a share of this export.
    let blamed = left_out.iter().any(|l: &LeftOut| matches!(l.reason, Reason::Wrong(_)));
    assert!(!blamed, "{left_out:?}");
    // They do not stand in the way of the right ones.
    let right: Vec<_> = shares.into_iter().chain((1..=3).map(|i| export.sealed(i))).collect();
    assert_eq!(export.combine(&right).unwrap().left_out.len(), 6);
    // One node's share twice counts once.
    let twice = [export.sealed(1), export.sealed(1), export.sealed(2)];
    assert!(matches!(export.combine(&twice), Err(CombineFailure::TooFew { got: 2, .. })));
}

#[test]
fn another_recipient_or_key_puts_nothing_together() {
    let export = Export::of("demo");
    let shares: Vec<_> = (1..=5).map(|i| export.sealed(i)).collect();
    let thief = RecipientKey::generate(&mut rand::rng());
    let failure = combine(&export.order, &export.in_force(), &shares, &thief).unwrap_err();
    assert!(matches!(failure, CombineFailure::Recipient(_)), "{failure}");
    // With an order of its own it has no share that opens.
    let own = export_order(&export.fake.cluster, "demo", thief.public());
    let failure = combine(&own, &export.in_force(), &shares, &thief).unwrap_err();
    assert!(matches!(failure, CombineFailure::TooFew { got: 0, .. }), "{failure}");
    let other = export.fake.keys[1].record(1).verify_epoch(&export.fake.cluster).unwrap();
    let failure = combine(&export.order, &other, &shares, &export.recipient).unwrap_err();
    assert_eq!(failure, CombineFailure::Key);
}

/// That a key was exported every party that is asked may tell; nobody can make it up, and one that
/// keeps silent is outdone.
#[tokio::test]
async fn an_export_is_known_from_whoever_tells_and_is_never_made_up() {
    let export = Export::of("demo");
    let (silent, honest) = (export.fake.coordinator("silent"), export.fake.coordinator("honest"));
    let client = export.fake.client(&[silent, Arc::clone(&honest)]);
    let key = client.key("demo").await.unwrap();
    assert_eq!(client.exports(&key).await.unwrap(), []);
    let unsigned = SignedOrder(Signed::unsigned(export.order.signed().0.body.clone()));
    let other = export_order(&export.fake.cluster, "other", [9; 32]);
    honest.tell_exports(vec![
        unsigned.to_bytes(),
        other.signed().to_bytes(),
        b"nonsense".to_vec(),
        export.material().order.to_bytes(),
        export.order.signed().to_bytes(),
    ]);
    let known = client.exports(&key).await.unwrap();
    assert_eq!(known, std::slice::from_ref(&export.order));
}
