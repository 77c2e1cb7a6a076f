//! More orders than are gathered, and nodes that send what nobody ordered.

use super::*;
use quorate_crypto::{IdentityKey, hash::Label};
use quorate_types::{
    Action, CoordinatorEntry, Millis, NodeEntry, OperatorEntry, Order, Roster, Signed, SignedRoster,
};

fn key(n: u8) -> IdentityKey {
    IdentityKey::from_seed(&[n; 32])
}

fn node(i: u16) -> NodeIndex {
    NodeIndex::new(i).unwrap()
}

fn cluster() -> Cluster {
    let entry = |i: u16| NodeEntry {
        index: node(i),
        name: format!("node-{i}").parse().unwrap(),
        endpoint: format!("127.0.0.1:{}", 7400 + i).parse().unwrap(),
        provider: format!("provider-{i}").parse().unwrap(),
        location: "CH".parse().unwrap(),
        home: "CH".parse().unwrap(),
        identity: key(i as u8).public(),
    };
    let roster = Roster {
        cluster: "test".parse().unwrap(),
        version: 1,
        previous: Hash::default(),
        nonce: [7; 32],
        written_at: Millis(1),
        nodes: (1..=3).map(entry).collect(),
        coordinators: vec![CoordinatorEntry {
            name: "coordinator".parse().unwrap(),
            endpoint: "127.0.0.1:7400".parse().unwrap(),
            tls_key: key(120).public(),
        }],
        operators: vec![OperatorEntry { name: "op".parse().unwrap(), key: key(101).public() }],
        quorum: 1,
    };
    let mut signed = Signed::unsigned(roster.to_bytes());
    let fingerprint = quorate_types::roster::fingerprint(&signed.body);
    signed.sign(&key(101), Label::SIG_ROSTER, &fingerprint);
    Cluster::verify(&fingerprint, &[SignedRoster(signed)]).unwrap()
}

/// Orders of one length, each issued after the one before.
fn orders(cluster: &Cluster, count: u64) -> Vec<SignedOrder> {
    let order = |at: u64| Order {
        fingerprint: *cluster.fingerprint(),
        roster_version: 1,
        roster_hash: cluster.roster_hash(),
        issued_at: Millis(1_000 + at),
        expires_at: Millis(1_000 + Millis::DAY),
        nonce: [3; 32],
        predecessor: Hash::default(),
        action: Action::RevokeClient { client: key(50).public() },
    };
    let sign = |order: Order| {
        let mut signed = Signed::unsigned(order.to_bytes());
        signed.sign(&key(101), Label::SIG_ORDER, cluster.fingerprint());
        SignedOrder(signed)
    };
    (0..count).map(|at| sign(order(at))).collect()
}

fn bytes(orders: &[SignedOrder]) -> Vec<Vec<u8>> {
    orders.iter().map(Format::to_bytes).collect()
}

const MANY: usize = 1_000_000;

fn limits(of_node: usize, bytes: usize) -> Limits {
    Limits { of_node, bytes }
}

#[test]
fn more_orders_than_are_gathered_are_said_to_be_more() {
    let cluster = cluster();
    let all = bytes(&orders(&cluster, 6));
    let mut whole = Gathering::new(limits(6, MANY), |_| true);
    assert!(whole.take(&cluster, node(1), all[..3].to_vec()));
    assert!(whole.take(&cluster, node(1), all[3..].to_vec()));
    let whole = whole.end();
    assert_eq!((whole.orders, whole.cut), (all.clone(), false));
    // Of one node as of another: the limit is each one's own.
    let mut cut = Gathering::new(limits(4, MANY), |_| true);
    assert!(cut.take(&cluster, node(1), all[..4].to_vec()));
    assert!(cut.take(&cluster, node(2), all[2..].to_vec()));
    assert!(!cut.take(&cluster, node(1), all[4..].to_vec()));
    let cut = cut.end();
    assert_eq!((cut.orders, cut.cut), (all.clone(), true));
    // What is held has a limit in bytes; what is held already takes no more room.
    let mut full = Gathering::new(limits(MANY, 3 * all[0].len()), |_| true);
    assert!(full.take(&cluster, node(1), all[..3].to_vec()));
    assert!(full.take(&cluster, node(2), all[..3].to_vec()));
    assert!(!full.take(&cluster, node(3), all.clone()));
    let full = full.end();
    assert_eq!((full.orders, full.cut), (all[..3].to_vec(), true));
}

#[test]
fn what_is_left_over_is_gathered_by_asking_for_what_is_lacking() {
    let cluster = cluster();
    let all = orders(&cluster, 7);
    let (all_bytes, mut known) = (bytes(&all), HashSet::new());
    let mut goes = 0;
    loop {
        let had = known.clone();
        let lacks = move |order: &VerifiedOrder| !had.contains(&order.hash());
        let mut some = Gathering::new(limits(MANY, 3 * all_bytes[0].len()), lacks);
        some.take(&cluster, node(1), all_bytes.clone());
        let some = some.end();
        for order in some.orders.iter().map(|o| SignedOrder::from_bytes(o).unwrap()) {
            assert!(known.insert(order_hash(cluster.fingerprint(), &order.0.body)));
        }
        goes += 1;
        if !some.cut {
            break;
        }
    }
    assert_eq!((goes, known.len()), (3, 7));
}

/// The first that a list shows of an order must not be what decides whether it is one.
#[test]
fn a_node_that_sends_an_order_with_broken_signatures_first_hides_nothing() {
    let cluster = cluster();
    let all = orders(&cluster, 2);
    let mut broken = all[0].clone();
    broken.0 = Signed::unsigned(broken.0.body);
    let mut gathering = Gathering::new(LIMITS, |_| true);
    assert!(gathering.take(&cluster, node(1), vec![broken.to_bytes(), vec![1, 2, 3]]));
    assert!(gathering.take(&cluster, node(2), bytes(&all)));
    let gathered = gathering.end();
    assert_eq!((gathered.orders, gathered.cut), (bytes(&all), false));
}
