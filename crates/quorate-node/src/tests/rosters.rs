//! Rosters that are brought to a node: what extends its own, durable, and never taken back.

use super::fixture::*;
use crate::{
    ceremonies,
    orders::{self, Applied},
    rosters,
};
use quorate_ceremony::StepKind;
use quorate_crypto::hash::Label;
use quorate_rpc::{FaultKind, v1::step_result::Outcome};
use quorate_types::*;
use std::slice::from_ref;

/// The world's chain with one more roster.
fn next(cluster: &Cluster, signers: &[u8], change: impl FnOnce(&mut Roster)) -> SignedRoster {
    let mut roster = cluster.roster().clone();
    roster.version += 1;
    roster.previous = cluster.roster_hash();
    change(&mut roster);
    let mut signed = Signed::unsigned(roster.to_bytes());
    for n in signers {
        signed.sign(&key(*n), Label::SIG_ROSTER, cluster.fingerprint());
    }
    SignedRoster(signed)
}

/// The first node gets another identity.
fn replaced(roster: &mut Roster) {
    roster.nodes[0].identity = public(9);
}

fn moved(roster: &mut Roster) {
    roster.nodes[1].endpoint = "127.0.0.1:9999".parse().unwrap();
}

#[test]
fn a_longer_chain_is_taken_and_survives_a_restart_and_an_old_file() {
    let mut world = World::empty();
    let second = next(&world.cluster, &[101, 102], moved);
    let longer = world.cluster.extended(from_ref(&second)).unwrap().unwrap();
    let third = next(&longer, &[102, 103], |r| r.nodes[1].name = "other".parse().unwrap());
    let (second, third) = (second.to_bytes(), third.to_bytes());
    let core = |world: &World| std::sync::Arc::clone(&world.nodes[0].core);
    // A gap is refused; the whole chain or what follows is taken, again or for the first time.
    let gap = rosters::put(&core(&world), from_ref(&third)).unwrap_err();
    assert_eq!(gap.kind, FaultKind::InvalidArgument);
    assert_eq!(rosters::put(&core(&world), from_ref(&second)).unwrap(), 2);
    assert_eq!(rosters::put(&core(&world), &[second.clone(), third.clone()]).unwrap(), 3);
    assert_eq!(rosters::put(&core(&world), from_ref(&second)).unwrap(), 3);
    // The fixture starts with the file of the beginning, as a node with an old file does.
    world.restart(0, LIMITS);
    assert_eq!(core(&world).cluster().roster().version, 1);
    rosters::load(&core(&world)).unwrap();
    assert_eq!(core(&world).cluster().roster().version, 3);
    assert_eq!(rosters::after(&core(&world), 1), (3, vec![second, third]));
    assert_eq!(rosters::after(&core(&world), 3), (3, vec![]));
}

#[test]
fn a_chain_of_too_few_or_beside_the_known_one_is_refused() {
    let world = World::empty();
    let core = &world.nodes[0].core;
    let put = |roster: &SignedRoster| rosters::put(core, &[roster.to_bytes()]);
    let few = put(&next(&world.cluster, &[101], moved)).unwrap_err();
    assert!(few.message.contains("1 of 2 operators signed"), "{few}");
    assert_eq!(put(&next(&world.cluster, &[101, 102], moved)).unwrap(), 2);
    let beside = put(&next(&world.cluster, &[102, 103], replaced)).unwrap_err();
    assert!(beside.message.contains("another roster is known in this version"), "{beside}");
    assert_eq!(core.cluster().roster().version, 2);
    assert!(!core.removed());
    assert!(rosters::put(core, &[vec![1, 2, 3]]).is_err());
}

#[test]
fn a_node_whose_place_another_identity_has_uses_its_share_no_more() {
    let world = World::with_key();
    let core = &world.nodes[0].core;
    assert!(world.bring(0, &world.ask()).is_ok());
    let uses = world.nodes[0].uses();
    let roster = next(&world.cluster, &[101, 102], replaced).to_bytes();
    rosters::put(core, &[roster]).unwrap();
    assert_eq!(core.state(), "removed");
    let fault = world.bring(0, &world.ask()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::FailedPrecondition);
    assert_eq!(world.nodes[0].uses(), uses);
    // It takes part in nothing; it is still told what has come into force.
    let not_member = |kind| {
        let results = ceremonies::run(core, kind, &[vec![1]]).unwrap();
        let Some(Outcome::Fault(fault)) = &results[0].outcome else { panic!("done") };
        fault.code == u32::from(quorate_ceremony::Fault::NotMember.code())
    };
    for kind in [StepKind::Prepare, StepKind::Deal, StepKind::Receive, StepKind::Activate] {
        assert!(not_member(kind), "{kind:?}");
    }
    assert!(!not_member(StepKind::Retire) && !not_member(StepKind::Survey));
    assert_eq!(world.nodes[1].core.state(), "serving");
}

/// Under a roster that did not have the node yet, orders are of before its time, whether
/// their life is over or not; later ones under an old roster are refused.
#[test]
fn who_joins_takes_the_orders_under_earlier_rosters_and_others_do_not() {
    let world = World::empty();
    let order = world.signed(world.add_order(50, Hash::default()), &[101, 102]);
    let revoke = world.order(Action::RevokeClient { client: public(51) }, Hash::default());
    let revoke = world.signed(revoke, &[101, 102]);
    // Of the first node's place another identity takes possession, and the other way round.
    let second = next(&world.cluster, &[101, 102], replaced);
    let longer = world.cluster.extended(from_ref(&second)).unwrap().unwrap();
    let back = next(&longer, &[101, 102], |_| {});
    for node in &world.nodes[1..] {
        rosters::put(&node.core, &[second.to_bytes(), back.to_bytes()]).unwrap();
        let fault = orders::submit(&node.core, &order.to_bytes()).unwrap_err();
        assert!(fault.message.contains("newest known here is 3"), "{fault}");
        assert_eq!(orders::submit(&node.core, &revoke.to_bytes()).unwrap().0, Applied::Now);
    }
    let joined = world.join(&longer, 9);
    assert_eq!(orders::submit(&joined.core, &order.to_bytes()).unwrap().0, Applied::Now);
    assert!(joined.core.clients.standing(&public(50)).is_some());
}
