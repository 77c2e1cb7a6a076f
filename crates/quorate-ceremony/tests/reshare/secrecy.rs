//! Old shares are worthless, also to whoever has recorded all that was sent.

use crate::{adversary::Adversary, key::*, rig::*};
use quorate_ceremony::*;
use quorate_crypto::{
    SecretBytes, SecretScalar,
    tdh2::{self, Binding, Ciphertext, OpenError},
};
use quorate_types::NodeIndex;

const SAME: To<'_> = To { nodes: &[1, 2, 3, 4, 5], t: 3, q: 5 };

/// Whom the adversary has in each epoch, the newest last; and one node of each that it has not.
const TAKEN: [([u16; 2], u16); 5] =
    [([1, 2], 3), ([3, 4], 5), ([5, 1], 2), ([2, 3], 1), ([4, 5], 1)];

type Share = (NodeIndex, SecretScalar);

/// Something encrypted under the key.
struct Sealed<'a> {
    binding: Binding<'a>,
    ciphertext: Ciphertext,
    payload_key: SecretBytes<32>,
}

impl<'a> Sealed<'a> {
    fn under(key: &Key, fingerprint: &'a [u8; 32], world: &mut World) -> Self {
        let public = &key.birth.certificate.public;
        let y = quorate_crypto::EncodedPoint::decode(public.public_key()).unwrap();
        let binding = Binding::new(fingerprint, b"payroll/2026", 1, &y);
        let (ciphertext, payload_key) = tdh2::encapsulate(&binding, b"", b"head", &mut world.rng);
        Self { binding, ciphertext, payload_key }
    }

    /// Whether three shares open it. If they do not, nothing else comes out.
    fn opens_with(&self, three: [&Share; 3]) -> bool {
        let sealed = &self.ciphertext;
        let verified = tdh2::verify(&self.binding, b"", b"head", sealed).unwrap();
        let partials = three.map(|(node, share)| (*node, tdh2::partial(share, &verified)));
        let t = quorate_crypto::Threshold::new(3, 5).unwrap();
        match tdh2::decapsulate(&self.binding, b"", b"head", sealed, t, &partials) {
            Ok(opened) => opened.expose() == self.payload_key.expose(),
            Err(OpenError::Commitment) => false,
            Err(other) => panic!("{other}"),
        }
    }

    /// How many sets of three shares of different nodes there are, and how many open it.
    fn tried(&self, shares: &[Share]) -> (usize, usize) {
        let (mut tried, mut opened) = (0, 0);
        for (at, a) in shares.iter().enumerate() {
            for (and, b) in shares.iter().enumerate().skip(at + 1) {
                for c in &shares[and + 1..] {
                    if a.0 != b.0 && b.0 != c.0 && a.0 != c.0 {
                        tried += 1;
                        opened += usize::from(self.opens_with([a, b, c]));
                    }
                }
            }
        }
        (tried, opened)
    }
}

/// Adversary 2: takes two nodes over in each epoch, other ones each time, with all that they
/// hold; has recorded every bundle; and takes afterwards what all nodes still hold of epochs
/// that are over. It opens whatever it can, tries every three shares, and then solves all that
/// it knows for the key, of which no linear attack remains. One share or one ceremony key
/// more, of whichever epoch, and the same adversary has the key.
#[test]
fn two_shares_of_every_epoch_and_all_traffic_are_no_key() {
    let mut world = World::new();
    let mut adversary = Adversary::default();
    let birth = world.order(|_| {});
    let mut conductor = world.conductor(&birth);
    let record = born(world.run(&mut conductor, adversary.taps()));
    let plan = world.plan(&birth, record.certificate.public.epoch.number);
    adversary.keeps(&plan);
    let mut key = Key { newest: record.clone(), birth: record, order: birth, earlier: Vec::new() };
    let fingerprint = *world.cluster.fingerprint();
    let sealed = Sealed::under(&key, fingerprint.as_bytes(), &mut world);
    // What the adversary does not get: one more share, and one more ceremony key, of each epoch.
    let mut spared = Vec::new();
    let mut numbers = Vec::new();
    for (at, (pair, third)) in TAKEN.into_iter().enumerate() {
        numbers.push(key.number());
        for node in pair {
            adversary.takes(&world, node, &numbers);
        }
        spared.push((key.number(), index(third), world.state(third, key.number()).secrets));
        if at + 1 == TAKEN.len() {
            break;
        }
        let order = key.order(&world, &SAME);
        let parent = key.newest.verify_epoch(&world.cluster).unwrap();
        let mut conductor = key.conductor(&world, &order);
        let outcome = world.run(&mut conductor, adversary.taps());
        key.moved(order.clone(), outcome);
        adversary.keeps(&Plan::reshare(order, key.number(), parent).unwrap());
    }
    // Afterwards: whatever anybody still holds of epochs before the newest.
    for node in 1..=5 {
        adversary.takes(&world, node, &numbers[..numbers.len() - 1]);
    }

    adversary.opens_what_it_can();
    let shares = adversary.shares();
    assert_eq!(shares.len(), 2 * TAKEN.len(), "two of each epoch");
    let (tried, opened) = sealed.tried(&shares);
    assert!(tried > 50, "{tried}");
    assert_eq!(opened, 0, "of {tried} sets of three shares");
    assert!(adversary.solves().is_none(), "the key follows from what the adversary knows");

    // The adversary is able: with one thing more, of any one epoch, it has the key.
    let y = *key.birth.certificate.public.public_key();
    for (number, node, secrets) in &spared {
        let mut with_share = adversary.clone();
        with_share.has_share(*number, *node, secrets.share.as_ref().unwrap());
        assert_eq!(sealed.tried(&with_share.shares()).1, 1, "three shares of epoch {number}");
        let mut with_key = adversary.clone();
        with_key.has_ceremony_key(*number, *node, secrets.ceremony_key.as_ref().unwrap());
        with_key.opens_what_it_can();
        assert_eq!(sealed.tried(&with_key.shares()).1, 1, "a ceremony key of epoch {number}");
        for adversary in [with_share, with_key] {
            assert_eq!(public(&adversary.solves().unwrap()), y, "epoch {number}");
        }
    }
}
