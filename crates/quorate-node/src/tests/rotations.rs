//! Versions that are born by themselves, at running nodes.

use crate::{
    ceremonies,
    clock::Clock,
    destroy, orders,
    records::{self, load_key},
    tests::fixture::{KEY, LIMITS, START, World, public},
    views,
};
use quorate_ceremony::{Conductor, Pace, PrepareRequest, StepKind, fault};
use quorate_rpc::{
    FaultKind,
    v1::{ListKeysRequest, step_result::Outcome},
};
use quorate_store::{Batch, Store, Tree};
use quorate_types::{
    Action, ChainId, CreateKey, Format, Grant, Hash, KeyRecord, KeyVersion, Millis, Order,
    ResolveFork, RotateKey, SetKeyState, SignedOrder, VerifiedOrder,
};
use std::sync::Arc;

const HOUR: u64 = 60 * 60 * 1000;

fn version(n: u32) -> KeyVersion {
    KeyVersion::new(n).unwrap()
}

fn hash(world: &World, order: &SignedOrder) -> Hash {
    VerifiedOrder::verify(&world.cluster, order).unwrap().hash()
}

/// Versions 2 to 4, every hour, granted to client 51 too.
fn schedule(world: &World, change: impl FnOnce(&mut RotateKey, &mut Hash)) -> SignedOrder {
    let made = Order::from_bytes(&world.create(KEY, 1, Hash::default()).0.body).unwrap();
    let Action::CreateKey(create) = made.action else { unreachable!() };
    let mut grants: Vec<Grant> =
        [50, 51].map(|n| Grant { client: public(n), ..create.grants[0].clone() }).into();
    grants.sort_by_key(|grant| grant.client);
    let create = CreateKey { version: version(2), first_number: 5001, grants, ..create };
    let (from, until) = (Millis(START + HOUR), Millis(START + 20 * Millis::DAY));
    let mut rotate = RotateKey { create, from, every: 3600, times: 3, until };
    let mut predecessor = Hash::default();
    change(&mut rotate, &mut predecessor);
    world.signed(world.order(Action::RotateKey(rotate), predecessor), &[101, 103])
}

fn submit(world: &World, node: usize, order: &SignedOrder) -> Result<(), quorate_rpc::Fault> {
    orders::submit(&world.nodes[node].core, &order.to_bytes()).map(drop)
}

fn bear(world: &World, order: &SignedOrder, n: u32) -> KeyRecord {
    let order = VerifiedOrder::verify(&world.cluster, order).unwrap();
    let first = order.rotation().unwrap().create.first_number;
    let cluster = Arc::new(world.cluster.clone());
    let pace = Pace::default();
    let conductor = Conductor::birth(cluster, order, version(n), Vec::new(), first, pace).unwrap();
    world.conduct(conductor, |_| {})
}

/// The code with which a node refuses to begin a version.
fn refusal(world: &World, node: usize, order: &SignedOrder, n: u32) -> u16 {
    let request = PrepareRequest {
        order: order.clone(),
        earlier: Vec::new(),
        number: 5001,
        descent: None,
        scheduled: Some(version(n)),
    };
    let items = [request.to_bytes()];
    let results = ceremonies::run(&world.nodes[node].core, StepKind::Prepare, &items);
    match results.unwrap().remove(0).outcome.unwrap() {
        Outcome::Fault(fault) => u16::try_from(fault.code).unwrap(),
        Outcome::Done(_) => panic!("it takes part"),
    }
}

#[test]
fn a_version_is_born_at_its_date_found_and_used_under_the_schedules_grants() {
    let mut world = World::with_key();
    let order = schedule(&world, |_, _| {});
    for node in 0..3 {
        submit(&world, node, &order).unwrap();
        assert_eq!(refusal(&world, node, &order, 2), fault::NOT_DUE, "node {node}");
    }
    let core = |world: &World| Arc::clone(&world.nodes[0].core);
    let (_, _, head) = orders::heads(&core(&world), KEY).unwrap();
    assert_eq!(head, hash(&world, &order));
    assert_eq!(orders::head_orders(&core(&world), KEY).unwrap().1, Some(order.clone()));
    let newest = |world: &World| {
        let found = views::get_key(&core(world), KEY, 0).unwrap();
        KeyRecord::from_bytes(&found.record).unwrap().certificate.public.version.get()
    };
    assert_eq!(newest(&world), 1, "one that is to come is none yet");

    world.clock.pass(HOUR);
    let second = bear(&world, &order, 2);
    world.clock.pass(HOUR);
    bear(&world, &order, 3);
    assert_eq!(newest(&world), 3);
    let listed = views::list_keys(&core(&world), &ListKeysRequest::default()).unwrap();
    let older: Vec<u32> = listed.keys[0].older.iter().map(|v| v.version).collect();
    assert_eq!((listed.keys.len(), listed.keys[0].version, older), (1, 3, vec![1, 2]));
    // After a restart too.
    world.restart(0, LIMITS);
    let (name, store) = (KEY.parse().unwrap(), Arc::clone(&world.nodes[0].store));
    assert_eq!(records::record(&*store, &name, version(2)).unwrap(), Some(second));
    for n in [2, 3] {
        let key = load_key(&core(&world), &name, version(n)).unwrap().unwrap();
        assert_eq!(key.create().version, version(n));
        assert!(key.share().is_some() && key.grant(&public(51)).is_some(), "version {n}");
    }
    let first = load_key(&core(&world), &name, version(1)).unwrap().unwrap();
    assert!(first.grant(&public(51)).is_none(), "of that version another order says");
    let to_come = load_key(&core(&world), &name, version(4)).unwrap().unwrap();
    assert!(to_come.share().is_none());
    assert!(load_key(&core(&world), &name, version(5)).unwrap().is_none());
    // Who made the versions says what may be done to the key.
    assert_eq!(records::makers(&*store, &name).unwrap().len(), 4);
}

#[test]
fn the_newest_version_is_found_among_any() {
    let world = World::empty();
    let store = &*world.nodes[0].store;
    let sets: [&[u32]; 8] = [
        &[],
        &[1],
        &[1, 2],
        &[1, 2, 3, 7],
        &[1, 1024],
        &[1024],
        &[5, 600, 601],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
    ];
    for (at, versions) in sets.iter().enumerate() {
        let name = format!("key-{at}").parse().unwrap();
        for n in *versions {
            let key = records::of_version(b'r', &name, version(*n));
            store.commit(Batch::new().put(Tree::Records, key, vec![0])).unwrap();
        }
        let newest = records::newest_born(store, &name).unwrap();
        assert_eq!(newest.map(KeyVersion::get), versions.last().copied(), "{versions:?}");
    }
}

/// A node hears of the schedule from the ceremony, and logs it before it answers.
#[test]
fn a_schedule_that_a_ceremony_brings_is_logged() {
    let world = World::with_key();
    let order = schedule(&world, |_, _| {});
    world.clock.pass(HOUR);
    bear(&world, &order, 2);
    for node in &world.nodes {
        assert_eq!(node.logged_orders().iter().filter(|o| **o == hash(&world, &order)).count(), 1);
    }
}

#[test]
fn a_schedule_needs_its_key_and_forks_beside_the_keys_chain() {
    let world = World::empty();
    let order = schedule(&world, |_, _| {});
    let early = submit(&world, 0, &order).unwrap_err();
    assert_eq!(early.kind, FaultKind::FailedPrecondition);
    assert!(early.message.contains("bring the order that makes it first"), "{early}");
    let world = World::with_key();
    let born = world.record().clone();
    submit(&world, 0, &order).unwrap();
    let rival = schedule(&world, |rotate, _| rotate.every = 7200);
    let forked = submit(&world, 0, &rival).unwrap_err();
    assert_eq!(forked.kind, FaultKind::AlreadyExists);
    let next = schedule(&world, |rotate, predecessor| {
        (rotate.create.first_number, *predecessor) = (6025, hash(&world, &order));
    });
    assert_eq!(submit(&world, 0, &next).unwrap_err().kind, FaultKind::FailedPrecondition);
    world.clock.pass(HOUR);
    // What it has applied goes on; and the key's own chain takes orders.
    submit(&world, 0, &world.refresh_order(&born, &born.order)).unwrap();

    let (stays, falls) = (hash(&world, &rival), hash(&world, &order));
    let chain = ChainId::Rotation(KEY.parse().unwrap());
    let end = Action::ResolveFork(ResolveFork { chain, stays, falls });
    let end = world.signed(world.order(end, stays), &[101, 103]);
    submit(&world, 0, &end).unwrap();
    assert_eq!(orders::heads(&world.nodes[0].core, KEY).unwrap().2, stays);
    assert_eq!(submit(&world, 0, &order).unwrap_err().kind, FaultKind::AlreadyExists);
    assert_eq!(refusal(&world, 0, &order, 2), 7, "what fell bears nothing");
}

#[test]
fn a_newer_schedule_takes_an_older_ones_place_and_its_end_ends_it() {
    let world = World::with_key();
    let order = schedule(&world, |_, _| {});
    (0..3).for_each(|node| submit(&world, node, &order).unwrap());
    let shorter = schedule(&world, |rotate, predecessor| {
        (rotate.create.first_number, rotate.times) = (6025, 2);
        *predecessor = hash(&world, &order);
    });
    let refused = submit(&world, 0, &shorter).unwrap_err();
    assert_eq!(refused.kind, FaultKind::InvalidArgument);
    assert!(refused.message.contains("let its time end earlier"), "{refused}");
    let end = schedule(&world, |rotate, predecessor| {
        (rotate.create.first_number, rotate.create.version, rotate.times) = (6025, version(5), 0);
        *predecessor = hash(&world, &order);
    });
    submit(&world, 0, &end).unwrap();
    world.clock.pass(HOUR);
    assert_eq!(refusal(&world, 0, &order, 2), 7);
    assert_eq!(refusal(&world, 0, &end, 5), 3);
}

#[test]
fn a_key_that_was_destroyed_has_no_schedule_and_bears_nothing() {
    let world = World::with_key();
    let order = schedule(&world, |_, _| {});
    submit(&world, 0, &order).unwrap();
    let name = KEY.parse().unwrap();
    let deletion = Some(Millis(START + 8 * Millis::DAY));
    let state = SetKeyState { revision: 1, deletion, ..SetKeyState::initial(name) };
    let head = hash(&world, &world.record().order);
    let delete = world.signed(world.order(Action::SetKeyState(state), head), &[101, 103]);
    submit(&world, 0, &delete).unwrap();
    world.clock.pass(9 * Millis::DAY);
    destroy::sweep(&world.nodes[0].core).unwrap();
    assert_eq!(refusal(&world, 0, &order, 2), fault::DESTROYED);
    // Nor is a newer one taken.
    let issued_at = world.clock.now().wall;
    let newer = schedule(&world, |rotate, predecessor| {
        (rotate.create.first_number, *predecessor) = (6025, hash(&world, &order));
    });
    let newer = Order {
        issued_at,
        expires_at: issued_at.plus(Millis::DAY),
        ..Order::from_bytes(&newer.0.body).unwrap()
    };
    let gone = submit(&world, 0, &world.signed(newer, &[101, 103])).unwrap_err();
    assert!(gone.message.contains("nothing brings it back"), "{gone}");
}
