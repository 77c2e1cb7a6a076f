//! The driver of ceremony steps: one flush, then the log, then the answer; the same answer
//! after a crash at any point.

use super::fixture::*;
use crate::{api::Api, ceremonies};
use quorate_ceremony::{PrepareRequest, StepKind, fault};
use quorate_rpc::{
    FaultKind, Peer,
    v1::{StepRequest, ceremony_server::Ceremony, step_result::Outcome},
};
use quorate_types::*;
use std::sync::{Arc, atomic::Ordering};

fn prepare(world: &World, name: &str, number: u64) -> Vec<u8> {
    let order = world.create(name, 1, Hash::default());
    PrepareRequest { order, earlier: Vec::new(), number, descent: None, scheduled: None }.to_bytes()
}

fn run(world: &World, items: &[Vec<u8>]) -> Vec<Outcome> {
    let results = ceremonies::run(&world.nodes[0].core, StepKind::Prepare, items).unwrap();
    results.into_iter().map(|r| r.outcome.unwrap()).collect()
}

#[test]
fn one_rpc_is_one_commit_for_all_its_keys_and_logs_each() {
    let world = World::empty();
    let mut items: Vec<_> = (0..63).map(|i| prepare(&world, &format!("key-{i}"), 1)).collect();
    items.push(b"rubbish".to_vec());
    let results = run(&world, &items);
    assert!(results[..63].iter().all(|r| matches!(r, Outcome::Done(_))));
    assert!(matches!(&results[63], Outcome::Fault(f) if f.code == 1));
    assert_eq!(world.nodes[0].store.commits.load(Ordering::SeqCst), 1);
    let steps = world.nodes[0].audit().into_iter();
    let steps = steps.filter(|e| matches!(e.event, Event::Ceremony { .. })).count();
    assert_eq!(steps, 63);
    // All that is new in the chains can be listed.
    let (listed, next) = crate::orders::list(&world.nodes[0].core, 0, 1000).unwrap();
    assert_eq!((listed.len(), next), (63, 0));
}

#[test]
fn two_items_of_one_key_are_done_one_after_the_other() {
    let world = World::empty();
    let item = prepare(&world, "key", 1);
    let results = run(&world, &[item.clone(), prepare(&world, "other", 1), item]);
    assert_eq!(results[0], results[2], "the second saw what the first had made durable");
}

#[test]
fn a_crash_after_the_commit_repeats_the_same_answer() {
    let mut world = World::empty();
    let item = prepare(&world, "key", 1);
    world.nodes[0].store.refuse_audit.store(true, Ordering::SeqCst);
    let core = Arc::clone(&world.nodes[0].core);
    let refused = ceremonies::run(&core, StepKind::Prepare, std::slice::from_ref(&item));
    assert_eq!(refused.unwrap_err().kind, FaultKind::Unavailable, "no answer without its entry");
    world.nodes[0].store.refuse_audit.store(false, Ordering::SeqCst);
    let again = run(&world, std::slice::from_ref(&item));
    drop(core);
    world.restart(0, LIMITS);
    assert_eq!(run(&world, &[item]), again);
}

/// The order that came with the step is applied once; its entry must not be lost with the step's.
#[test]
fn an_order_that_a_step_brought_is_logged_whatever_failed_after_its_commit() {
    for crash in [false, true] {
        let mut world = World::empty();
        let item = prepare(&world, "key", 1);
        let order = world.create("key", 1, Hash::default());
        let order = VerifiedOrder::verify(&world.cluster, &order).unwrap().hash();
        world.nodes[0].store.refuse_audit.store(true, Ordering::SeqCst);
        let core = Arc::clone(&world.nodes[0].core);
        ceremonies::run(&core, StepKind::Prepare, std::slice::from_ref(&item)).unwrap_err();
        drop(core);
        world.nodes[0].store.refuse_audit.store(false, Ordering::SeqCst);
        if crash {
            world.restart(0, LIMITS);
            assert_eq!(world.nodes[0].logged_orders(), [order], "before anything was asked");
        }
        run(&world, std::slice::from_ref(&item));
        assert_eq!(world.nodes[0].logged_orders(), [order]);
        world.restart(0, LIMITS);
        run(&world, std::slice::from_ref(&item));
        assert_eq!(world.nodes[0].logged_orders(), [order]);
    }
}

#[test]
fn a_crash_before_the_commit_leaves_nothing() {
    let world = World::empty();
    world.nodes[0].store.refuse_commit.store(true, Ordering::SeqCst);
    let items = [prepare(&world, "key", 1)];
    let full = ceremonies::run(&world.nodes[0].core, StepKind::Prepare, &items);
    assert_eq!(full.unwrap_err().kind, FaultKind::Unavailable);
    world.nodes[0].store.refuse_commit.store(false, Ordering::SeqCst);
    assert!(world.nodes[0].audit().is_empty());
    assert!(matches!(run(&world, &items)[..], [Outcome::Done(_)]));
}

#[test]
fn a_step_has_one_to_64_items() {
    let world = World::empty();
    for items in [Vec::new(), vec![prepare(&world, "key", 1); 65]] {
        let refused = ceremonies::run(&world.nodes[0].core, StepKind::Prepare, &items);
        assert_eq!(refused.unwrap_err().kind, FaultKind::InvalidArgument);
    }
}

#[test]
fn a_fault_says_its_code() {
    let world = World::empty();
    let results = run(&world, &[prepare(&world, "key", 5000)]);
    let Outcome::Fault(fault) = &results[0] else { panic!("{results:?}") };
    assert_eq!(fault.code, 5);
    assert_ne!(u16::try_from(fault.code).unwrap(), fault::UNAVAILABLE);
}

#[test]
fn a_key_is_born_served_after_a_restart_and_listed() {
    let mut world = World::with_key();
    world.restart(1, LIMITS);
    world.open(1, &world.bring(1, &world.ask()).unwrap());
    assert_eq!(crate::records::count_serving(&*world.nodes[1].core.store).unwrap(), 1);
    let record = world.record().clone();
    let (name, version) = (KEY.parse().unwrap(), KeyVersion::FIRST);
    let stored = crate::records::record(&*world.nodes[1].core.store, &name, version).unwrap();
    assert_eq!(stored, Some(record));
}

#[tokio::test]
async fn only_coordinators_and_operators_conduct() {
    let world = World::empty();
    let api = Api::new(Arc::clone(&world.nodes[0].core), 4);
    for (peer, allowed) in [(120, true), (101, true), (50, false), (2, false), (99, false)] {
        let mut request =
            tonic::Request::new(StepRequest { items: vec![prepare(&world, "key", 1)] });
        let addr = "127.0.0.1:1".parse().unwrap();
        request.extensions_mut().insert(Peer { key: public(peer), addr });
        let answer = Ceremony::prepare(&api, request).await;
        match answer {
            Ok(_) => assert!(allowed, "{peer}"),
            Err(status) => {
                assert!(!allowed, "{peer}");
                assert_eq!(status.code(), tonic::Code::PermissionDenied);
            }
        }
    }
    let nobody = tonic::Request::new(StepRequest { items: Vec::new() });
    let status = Ceremony::prepare(&api, nobody).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
}
