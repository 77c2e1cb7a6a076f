//! Versions that are born by themselves: in their time, under the newest schedule, beside what
//! operators order by hand.

use crate::{key::*, rig::*};
use quorate_ceremony::{
    chain::{Heads, follow},
    *,
};
use quorate_types::*;
use std::sync::Arc;

const SAME: To<'_> = To { nodes: &[1, 2, 3, 4, 5], t: 3, q: 5 };
const HOUR: u64 = 60 * 60 * 1000;

fn version(n: u32) -> KeyVersion {
    KeyVersion::new(n).unwrap()
}

/// Versions 2 to 4, an hour after the start and every hour, until ten hours after it.
fn rotate() -> RotateKey {
    let create = CreateKey { version: version(2), first_number: 5001, ..create_key() };
    let (from, until) = (START.plus(HOUR), START.plus(10 * HOUR));
    RotateKey { create, from, every: 3600, times: 3, until }
}

fn given_after(world: &World, before: Option<&VerifiedOrder>, rotate: RotateKey) -> VerifiedOrder {
    let action = Action::RotateKey(rotate);
    let predecessor = before.map(VerifiedOrder::hash).unwrap_or_default();
    let draft = Order { action, predecessor, ..world.draft(None, |_| {}) };
    VerifiedOrder::verify(&world.cluster, &sign(&draft, &[101, 103])).unwrap()
}

fn given(world: &World) -> VerifiedOrder {
    given_after(world, None, rotate())
}

/// Runs a birth until it ends.
fn bear(world: &mut World, order: &VerifiedOrder, n: u32) -> Outcome {
    let mut conductor = conductor(world, order, n);
    world.run(&mut conductor, |_, _, _| None)
}

fn conductor(world: &World, order: &VerifiedOrder, n: u32) -> Conductor {
    let first = order.rotation().unwrap().create.first_number;
    let cluster = Arc::clone(&world.cluster);
    Conductor::birth(cluster, order.clone(), version(n), Vec::new(), first, PACE).unwrap()
}

fn refusal(outcome: Outcome) -> u16 {
    let (reason, _, _) = failed(outcome);
    let FailReason::Refused { code, .. } = reason else { panic!("{reason}") };
    code
}

/// What a hostile coordinator sends to one node.
fn ask(world: &mut World, node: u16, order: &VerifiedOrder, n: Option<u32>) -> Result<(), Fault> {
    let request = PrepareRequest {
        order: order.signed().clone(),
        earlier: Vec::new(),
        number: 5001,
        descent: None,
        scheduled: n.map(version),
    };
    world.ask(node, StepKind::Prepare, &request.to_bytes()).map(drop)
}

#[test]
fn a_version_is_born_in_its_time_and_at_no_node_before_or_after() {
    let mut world = World::new();
    let key = Key::born(&mut world);
    let order = given(&world);
    let (from, until) = (rotate().from, rotate().until);
    assert_eq!(refusal(bear(&mut world, &order, 2)), fault::NOT_DUE);
    world.now = Millis(from.0 - 1);
    for node in 1..=5 {
        let early = ask(&mut world, node, &order, Some(2));
        assert_eq!(early, Err(Fault::NotDue { from: from.0, until: until.0 }), "node {node}");
        assert!(world.state(node, 5001).rotation.is_none(), "a refusal changes nothing");
    }
    world.now = from;
    let second = born(bear(&mut world, &order, 2));
    assert_eq!(second.certificate.public.version, version(2));
    assert_ne!(
        second.certificate.public.public_key(),
        key.birth.certificate.public.public_key(),
        "key material of its own"
    );
    // The next one has a date of its own.
    let third = Fault::NotDue { from: from.plus(HOUR).0, until: until.0 };
    assert_eq!(ask(&mut world, 1, &order, Some(3)), Err(third));
    world.now = from.plus(HOUR);
    let third = born(bear(&mut world, &order, 3));
    // Who asks again gets what was born, whenever that is.
    world.now = until.plus(1);
    assert_eq!(born(bear(&mut world, &order, 3)), third);
    assert_eq!(refusal(bear(&mut world, &order, 4)), fault::NOT_DUE);
    for node in 1..=5 {
        assert!(matches!(ask(&mut world, node, &order, Some(4)), Err(Fault::NotDue { .. })));
    }
}

#[test]
fn no_other_version_is_born_under_it_and_none_without_saying_which() {
    let mut world = World::new();
    let key = Key::born(&mut world);
    let order = given(&world);
    world.now = START.plus(9 * HOUR);
    for n in [None, Some(1), Some(5), Some(1024)] {
        assert_eq!(ask(&mut world, 1, &order, n), Err(Fault::WrongAction), "{n:?}");
    }
    // An order for one version says which by itself.
    let hand = world.order_after(Some(&key.order), |c| c.version = version(2));
    assert_eq!(ask(&mut world, 1, &hand, Some(2)), Err(Fault::WrongAction));
    // An end makes nothing.
    let end = given_after(&world, None, RotateKey { times: 0, ..rotate() });
    assert_eq!(ask(&mut world, 1, &end, Some(2)), Err(Fault::WrongAction));
    assert_eq!(ask(&mut world, 1, &end, None), Err(Fault::WrongAction));
}

#[test]
fn only_the_newest_schedule_counts_and_its_end_ends_it() {
    let mut world = World::new();
    let _key = Key::born(&mut world);
    let first = given(&world);
    world.now = rotate().from;
    let second = born(bear(&mut world, &first, 2));
    assert_eq!(second.certificate.public.order, first.hash());
    let create = CreateKey { version: version(3), first_number: 6025, ..create_key() };
    let newer = RotateKey { create, times: 2, ..rotate() };
    let newer = given_after(&world, Some(&first), newer);
    world.now = rotate().from.plus(HOUR);
    born(bear(&mut world, &newer, 3));
    world.now = rotate().from.plus(2 * HOUR);
    let superseded = Fault::Chain(ChainFault::Superseded { head: newer.hash() });
    assert_eq!(ask(&mut world, 1, &first, Some(4)), Err(superseded));
    assert_eq!(refusal(bear(&mut world, &first, 4)), 7);

    // It ends: what nodes hear of it ends what they would have done.
    let create = CreateKey { version: version(5), first_number: 7049, ..create_key() };
    let end = given_after(&world, Some(&newer), RotateKey { create, times: 0, ..rotate() });
    for node in world.nodes.values_mut() {
        let subject = subject(1);
        let changes = Changes {
            key: subject.key,
            version: subject.version,
            list: vec![Change::Head(Box::new(end.clone()))],
        };
        node.disk.apply(&changes);
    }
    world.now = rotate().from.plus(3 * HOUR);
    assert_eq!(refusal(bear(&mut world, &newer, 4)), 7);
}

fn sequence(
    head: Option<&VerifiedOrder>,
    beside: Option<&VerifiedOrder>,
    order: &VerifiedOrder,
) -> bool {
    match follow(Heads { head, beside }, order) {
        Ok(Follow::Next) => true,
        Err(ChainFault::Sequence(_)) => false,
        other => panic!("{other:?}"),
    }
}

/// The key's chain goes as far as a schedule does, and no step further where there is none.
#[test]
fn the_keys_chain_follows_what_was_born_by_itself() {
    let mut world = World::new();
    let key = Key::born(&mut world);
    let schedule = given(&world);
    let hand = |n| world.order_after(Some(&key.order), |c| c.version = version(n));
    let reshare = |newest: u32| {
        let mut draft = key.draft(&world, &SAME);
        let Action::Reshare(to) = &mut draft.action else { panic!() };
        to.newest = version(newest);
        VerifiedOrder::verify(&world.cluster, &sign(&draft, &[101, 102])).unwrap()
    };
    let by_hand = |beside, most: u32| {
        let next = |order: &VerifiedOrder| sequence(Some(&key.order), beside, order);
        for n in 1..=7 {
            assert_eq!(next(&hand(n)), n <= most + 1, "create version {n}");
            assert_eq!(next(&reshare(n)), n <= most, "reshare with newest {n}");
        }
    };
    by_hand(None, 1);
    by_hand(Some(&schedule), 4);
    // Never back: what the chain has stated holds.
    let ahead = reshare(3);
    let back = |beside| {
        let after = |n| {
            let mut draft = key.draft(&world, &SAME);
            let Action::Reshare(to) = &mut draft.action else { panic!() };
            (to.newest, to.first_number) = (version(n), 9001);
            draft.predecessor = ahead.hash();
            VerifiedOrder::verify(&world.cluster, &sign(&draft, &[101, 102])).unwrap()
        };
        [2, 3, 4, 5].map(|n| sequence(Some(&ahead), beside, &after(n)))
    };
    assert_eq!(back(Some(&schedule)), [false, true, true, false]);
    assert_eq!(back(None), [false, true, false, false]);
    // A node that has just heard of the schedule takes what follows it; one that has not, not yet.
    let suite = |c: &mut CreateKey| {
        (c.suite, c.purpose) = (Suite::FrostEd25519, Purpose::Sign);
        c.version = version(3);
    };
    let other = world.order_after(Some(&key.order), suite);
    assert!(!sequence(Some(&key.order), Some(&schedule), &other), "another suite");
}

#[test]
fn a_schedule_follows_its_key_and_the_one_before_it() {
    let mut world = World::new();
    let key = Key::born(&mut world);
    let order = |before, change: fn(&mut RotateKey)| {
        let mut rotate = rotate();
        change(&mut rotate);
        given_after(&world, before, rotate)
    };
    let first = |change| sequence(None, Some(&key.order), &order(None, change));
    assert!(first(|_| {}));
    assert!(!first(|r| r.create.version = version(3)), "version 2 is missing");
    assert!(!first(|r| {
        (r.create.suite, r.create.purpose) = (Suite::FrostEd25519, Purpose::Sign);
    }));
    // Of a key that nobody knows here nothing is known to be missing.
    let unknown = follow(Heads::default(), &order(None, |_| {}));
    assert_eq!(unknown, Err(ChainFault::Gap));

    let before = order(None, |_| {});
    let next = |change: fn(&mut RotateKey)| {
        let order = order(Some(&before), change);
        sequence(Some(&before), Some(&key.order), &order)
    };
    assert!(next(|r| r.create.first_number = 6025));
    assert!(!next(|r| r.create.first_number = 6024), "numbers of the one before");
    assert!(next(|r| (r.create.first_number, r.create.version) = (6025, version(5))));
    assert!(!next(|r| (r.create.first_number, r.create.version) = (6025, version(6))));
    // It ends no lower than the one before, whose versions the key's chain may have stated.
    assert!(!next(|r| (r.create.first_number, r.times) = (6025, 2)));
    assert!(next(|r| {
        (r.create.first_number, r.create.version, r.times) = (6025, version(5), 0);
    }));
    assert!(!next(|r| {
        (r.create.first_number, r.create.version, r.times) = (6025, version(4), 0);
    }));
    // Of two with one predecessor the first stays.
    let other = order(None, |r| r.times = 9);
    let heads = Heads { head: Some(&before), beside: Some(&key.order) };
    let forked = ChainFault::Forked { first: before.hash(), second: other.hash() };
    assert_eq!(follow(heads, &other), Err(forked));
}

/// A node that has lost everything but the proof of the key's first version is told no schedule
/// of a key that it does not know.
#[test]
fn a_node_that_knows_no_order_of_the_key_takes_no_schedule_of_it() {
    let mut world = World::new();
    let order = given(&world);
    world.now = rotate().from;
    assert_eq!(ask(&mut world, 1, &order, Some(2)), Err(Fault::Chain(ChainFault::Gap)));
}

/// By hand and by schedule at once: whichever the members have signed active is the version.
#[test]
fn a_version_that_is_made_by_hand_and_on_schedule_at_once_has_one_public_key() {
    for (by_hand_first, reached) in [(false, 1), (false, 4), (true, 1), (true, 4)] {
        let mut world = World::new();
        let key = Key::born(&mut world);
        let schedule = given(&world);
        let hand = world.order_after(Some(&key.order), |c| c.version = version(2));
        world.now = rotate().from;
        let mut by_schedule = conductor(&world, &schedule, 2);
        let mut by_hand = world.conductor(&hand);
        let (first, second) = match by_hand_first {
            true => (&mut by_hand, &mut by_schedule),
            false => (&mut by_schedule, &mut by_hand),
        };
        // The first conductor dies when so many members have signed its epoch active.
        let mut signed = 0;
        let outcome = world.run(first, |_, ticket, _| {
            (ticket.step == StepKind::Activate).then_some(())?;
            signed += 1;
            (signed > reached).then_some(Err(Failure::Unreachable))
        });
        failed(outcome);
        let actives: Vec<[u8; 32]> = (1..=5)
            .filter_map(|n| {
                let subject = Subject { version: version(2), ..subject(0) };
                let state = world.nodes[&index(n)].disk.load(&subject);
                Some(*state.standing.active?.certificate.public.public_key())
            })
            .collect();
        assert_eq!(actives.len(), reached);
        let Outcome::Born { record, as_ordered, .. } = world.run(second, |_, _, _| None) else {
            panic!("{by_hand_first} {reached}");
        };
        assert!(!as_ordered, "what was begun is finished: {by_hand_first} {reached}");
        let public = &record.certificate.public;
        assert_eq!(actives[0], *public.public_key());
        let made_by = if by_hand_first { &hand } else { &schedule };
        assert_eq!((public.order, public.version), (made_by.hash(), version(2)));
        record.verify(&world.cluster).unwrap();
    }
}

/// A refresh of a version that no order of the key's chain names, and the schedule goes on.
#[test]
fn shares_of_a_version_that_was_born_by_itself_move_like_others() {
    let mut world = World::new();
    let key = Key::born(&mut world);
    let schedule = given(&world);
    world.now = rotate().from;
    let birth = born(bear(&mut world, &schedule, 2));
    let public = birth.certificate.public.clone();
    let mut second =
        Key { newest: birth.clone(), birth, order: key.order.clone(), earlier: Vec::new() };
    let mut draft = second.draft(&world, &SAME);
    let Action::Reshare(to) = &mut draft.action else { panic!() };
    (to.newest, to.first_number) = (version(2), public.epoch.number + 1024);
    let order = VerifiedOrder::verify(&world.cluster, &sign(&draft, &[101, 102])).unwrap();
    let mut conductor = second.conductor(&world, &order);
    let outcome = world.run(&mut conductor, |_, _, _| None);
    second.moved(order, outcome);
    second.is_whole(&world, &[1, 3, 5]);
    world.now = rotate().from.plus(HOUR);
    born(bear(&mut world, &schedule, 3));
}

/// The proof of a version under a schedule that a node has not heard of brings the schedule.
#[test]
fn a_certificate_brings_the_schedule_under_which_it_was_made() {
    let mut world = World::new();
    let _key = Key::born(&mut world);
    let schedule = given(&world);
    world.now = rotate().from;
    let before = world.nodes[&index(5)].disk.clone();
    let record = born(bear(&mut world, &schedule, 2));
    *world.disk(5) = before;
    let retire = RetireRequest { record: record.clone(), birth: None }.to_bytes();
    // Its disk went back, so it sees signatures of its own that it does not know.
    assert!(matches!(world.ask(5, StepKind::Retire, &retire), Err(Fault::Impersonated(_))));
    // One that is no member of the committee learns the version, and the schedule with it.
    let mut world = World::new();
    let _key = Key::born(&mut world);
    let four = RotateKey {
        create: CreateKey { committee: committee(&[1, 2, 3, 4], 3), q: 4, ..rotate().create },
        ..rotate()
    };
    let schedule = given_after(&world, None, four);
    world.now = rotate().from;
    let record = born(bear(&mut world, &schedule, 2));
    assert!(world.state(5, 1).rotation.is_none());
    let retire = RetireRequest { record, birth: None }.to_bytes();
    world.ask(5, StepKind::Retire, &retire).unwrap();
    assert_eq!(world.state(5, 1).rotation.as_ref(), Some(schedule.signed()));
    assert_ne!(world.state(5, 1).head.as_ref(), Some(schedule.signed()));
}
