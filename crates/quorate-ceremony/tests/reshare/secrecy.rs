//! Old shares are worthless, also to whoever has recorded all that was sent.

use crate::{key::*, rig::*};
use quorate_ceremony::*;
use quorate_crypto::SecretScalar;
use quorate_types::*;

const SAME: To<'_> = To { nodes: &[1, 2, 3, 4, 5], t: 3, q: 5 };

/// Adversary 2: takes two nodes over in each epoch, other ones each time, with their shares
/// and ceremony keys; has recorded every message; and takes all nodes' ceremony keys of the
/// newest epoch afterwards.
#[test]
fn two_shares_of_every_epoch_and_all_traffic_are_no_key() {
    let mut world = World::new();
    let mut key = Key::born(&mut world);
    let y = *key.birth.certificate.public.public_key();
    let mut stolen: Vec<(u64, NodeIndex, SecretScalar)> = Vec::new();
    let mut bundles: Vec<ReceiveRequest> = Vec::new();
    for pair in [[1, 2], [3, 4], [5, 1], [2, 3]] {
        for node in pair {
            stolen.push((key.number(), index(node), key.share(&world, node).unwrap()));
        }
        let order = key.order(&world, &SAME);
        let mut conductor = key.conductor(&world, &order);
        let outcome = world.run(&mut conductor, |_, ticket, request| {
            if ticket.step == StepKind::Receive {
                bundles.push(ReceiveRequest::from_bytes(request).unwrap());
            }
            None
        });
        key.moved(order, outcome);
    }
    // Any three of what was stolen, whatever epochs they are of.
    let mut tried = 0;
    for a in 0..stolen.len() {
        for b in a + 1..stolen.len() {
            for c in b + 1..stolen.len() {
                let three = [&stolen[a], &stolen[b], &stolen[c]];
                if three[0].1 == three[1].1 || three[1].1 == three[2].1 || three[0].1 == three[2].1
                {
                    continue;
                }
                let three = three.map(|(_, n, s)| (*n, copy(s)));
                assert_ne!(public(&combined(&three)), y);
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
    // The ceremony keys that are left open the last bundle only.
    for node in 1..=5 {
        let newest = world.state(node, key.number()).secrets.ceremony_key.unwrap();
        for request in &bundles {
            let number = request.subject.number;
            let state = world.state(node, number);
            assert_eq!(state.secrets.ceremony_key.is_some(), number == key.number());
            let answer = request.answers.iter().find(|a| a.node == index(node)).unwrap();
            assert_eq!(public(&newest) == answer.ceremony_key, number == key.number());
        }
    }
}

fn copy(secret: &SecretScalar) -> SecretScalar {
    SecretScalar::from_bytes(&secret.to_bytes()).unwrap()
}
