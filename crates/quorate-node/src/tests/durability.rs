//! The audit entry comes first, whatever breaks; and what a caller who leaves leaves behind.

use super::fixture::*;
use crate::api::Api;
use quorate_rpc::{
    FaultKind, Peer,
    v1::{NodeEvaluateRequest, NodeStatusRequest, node_server::Node},
};
use quorate_types::*;
use std::{
    future::Future,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Waker},
    time::Duration,
};

#[test]
fn the_audit_entry_is_durable_before_the_share_is_used() {
    let world = World::with_key();
    let before = world.nodes[0].audit().len() as u64;
    let ask = world.ask();
    let (sealed, _) = world.open(0, &world.bring(0, &ask).unwrap());
    assert_eq!(*world.nodes[0].watch.used_at.lock().unwrap(), [before + 1]);
    let audit = world.nodes[0].audit();
    let Event::Request { head, signature, decision } = &audit.last().unwrap().event else {
        panic!("not a request")
    };
    assert_eq!(*head, ask.head.to_bytes());
    assert_eq!(*decision, Decision::Granted(sealed.epoch));
    // The client's own signature: a node cannot invent a use.
    let label = quorate_crypto::hash::Label::SIG_REQUEST;
    public(50).verify(label, ask.cluster.as_bytes(), head, signature).unwrap();
}

#[test]
fn without_an_audit_entry_no_partial_leaves() {
    let world = World::with_key();
    let node = &world.nodes[0];
    node.store.refuse_audit.store(true, Ordering::SeqCst);
    let ask = world.ask();
    assert_eq!(world.bring(0, &ask).unwrap_err().kind, FaultKind::Unavailable);
    let mut refused = world.ask();
    (refused.head.client, refused.signer) = (public(51), 51);
    assert_eq!(world.bring(0, &refused).unwrap_err().kind, FaultKind::Unavailable);
    assert_eq!(node.uses(), 0);
    // A full disk is no end: with room again the same request is answered.
    node.store.refuse_audit.store(false, Ordering::SeqCst);
    world.open(0, &world.bring(0, &ask).unwrap());
    assert!(!node.core.failed.is_cancelled());
}

#[test]
fn a_failed_write_stops_the_node_for_good() {
    let world = World::with_key();
    let node = &world.nodes[0];
    node.store.inner.poison("sync failed");
    assert_eq!(world.bring(0, &world.ask()).unwrap_err().kind, FaultKind::Unavailable);
    assert_eq!(node.uses(), 0);
    assert!(node.core.failed.is_cancelled(), "the process is told to end");
    assert_eq!(node.core.state(), "failed");
}

fn message(world: &World, ask: &Ask) -> tonic::Request<NodeEvaluateRequest> {
    let incoming = ask.incoming();
    let mut request = tonic::Request::new(NodeEvaluateRequest {
        head: incoming.head,
        signature: incoming.signature,
        items: incoming.items,
    });
    let addr = "127.0.0.1:1".parse().unwrap();
    request.extensions_mut().insert(Peer { key: public(ask.peer), addr });
    assert_eq!(*world.cluster.fingerprint(), ask.cluster);
    request
}

#[tokio::test]
async fn a_handler_that_is_dropped_finishes_what_it_began() {
    let world = World::with_key();
    let node = &world.nodes[0];
    let api = Api::new(Arc::clone(&node.core), 4);
    let before = node.audit().len();
    // Nobody can compute yet, so that no call is over before it is dropped.
    let held: Vec<_> = (0..2).map(|_| node.core.permits.take()).collect();
    for _ in 0..3 {
        let call = Node::evaluate(&api, message(&world, &world.ask()));
        // Polled once, so that the work is begun, then dropped: the caller has left.
        assert!(pin!(call).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(held);
    let patience = async {
        // The gauge falls last, after the share was used.
        while node.uses() < 3 || node.core.metrics.in_flight.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), patience).await.unwrap();
    assert_eq!(node.audit().len() - before, 3);
    // Nothing is held: the next one is served.
    Node::evaluate(&api, message(&world, &world.ask())).await.unwrap();
}

#[tokio::test]
async fn calls_that_are_made_and_dropped_do_not_pile_up_and_status_is_answered() {
    let world = World::with_key();
    let node = &world.nodes[0];
    let api = Api::new(Arc::clone(&node.core), 3);
    // Nobody can compute: all that is begun waits.
    let held: Vec<_> = (0..2).map(|_| node.core.permits.take()).collect();
    for _ in 0..200 {
        let call = pin!(Node::evaluate(&api, message(&world, &world.ask())));
        assert!(call.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let refused = Node::evaluate(&api, message(&world, &world.ask())).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    let mut status = tonic::Request::new(NodeStatusRequest {});
    let addr = "127.0.0.1:1".parse().unwrap();
    status.extensions_mut().insert(Peer { key: public(120), addr });
    assert_eq!(Node::status(&api, status).await.unwrap().into_inner().state, "serving");
    let before = node.audit().len();
    drop(held);
    Node::evaluate(&api, message(&world, &world.ask())).await.unwrap();
    assert!(node.audit().len() - before <= 4, "three had been begun");
}
