//! Forks of order chains: what is blocked, by what it ends, and that nodes then agree
//! whichever order each of them had seen first.

use super::fixture::*;
use crate::{
    ceremonies,
    orders::{self, Applied},
};
use quorate_ceremony::{PrepareRequest, StepKind};
use quorate_rpc::{Fault, FaultKind, v1::step_result::Outcome};
use quorate_types::*;
use std::sync::atomic::Ordering;

/// A world of three nodes, and orders that add clients.
struct Forked(World);

impl Forked {
    fn submit(&self, node: usize, order: &SignedOrder) -> Result<(Applied, Hash), Fault> {
        orders::submit(&self.0.nodes[node].core, &order.to_bytes())
    }

    fn kind(&self, node: usize, order: &SignedOrder) -> FaultKind {
        self.submit(node, order).unwrap_err().kind
    }

    fn add(&self, client: u8, predecessor: Hash) -> SignedOrder {
        self.0.signed(self.0.add_order(client, predecessor), &[101, 102])
    }

    fn hash(&self, order: &SignedOrder) -> Hash {
        VerifiedOrder::verify(&self.0.cluster, order).unwrap().hash()
    }

    fn resolve(&self, stays: &SignedOrder, falls: &SignedOrder, at: u64) -> SignedOrder {
        self.resolve_in(ChainId::Policy, stays, falls, at)
    }

    fn resolve_in(
        &self,
        chain: ChainId,
        stays: &SignedOrder,
        falls: &SignedOrder,
        at: u64,
    ) -> SignedOrder {
        let (stays, falls) = (self.hash(stays), self.hash(falls));
        let order = self.0.order(Action::ResolveFork(ResolveFork { chain, stays, falls }), stays);
        let order = Order { issued_at: Millis(START + at), ..order };
        self.0.signed(order, &[102, 103])
    }

    fn head(&self, node: usize) -> Hash {
        orders::heads(&self.0.nodes[node].core, KEY).unwrap().0
    }

    fn knows(&self, node: usize, client: u8) -> bool {
        self.0.nodes[node].core.clients.standing(&public(client)).is_some()
    }
}

/// Node 0 has seen `one` first, node 1 `other`: each knows both, and is blocked.
fn forked() -> (Forked, SignedOrder, SignedOrder) {
    let world = Forked(World::empty());
    let root = world.add(50, Hash::default());
    for node in 0..3 {
        world.submit(node, &root).unwrap();
    }
    let (one, other) = (world.add(51, world.hash(&root)), world.add(61, world.hash(&root)));
    world.submit(0, &one).unwrap();
    world.submit(1, &other).unwrap();
    assert_eq!(world.kind(0, &other), FaultKind::AlreadyExists);
    assert_eq!(world.kind(1, &one), FaultKind::AlreadyExists);
    (world, one, other)
}

#[test]
fn a_chain_that_forked_takes_no_order_and_says_who_signed_both() {
    let (mut world, one, other) = forked();
    for _ in 0..2 {
        let next = world.add(52, world.hash(&one));
        let fault = world.submit(0, &next).unwrap_err();
        assert_eq!(fault.kind, FaultKind::FailedPrecondition);
        for word in [&world.hash(&one).to_string()[..], &world.hash(&other).to_string(), "resolve"]
        {
            assert!(fault.message.contains(word), "{word} in {fault}");
        }
        assert!(fault.message.ends_with("Signed both: op-1, op-2"), "{fault}");
        assert!(!world.knows(0, 52));
        world.0.restart(0, LIMITS);
    }
    // What was applied stays so, and what is in no chain goes on: a revocation does not wait.
    assert_eq!(world.submit(0, &one).unwrap().0, Applied::Before);
    let revoke = world.0.order(Action::RevokeClient { client: public(50) }, world.head(0));
    world.submit(0, &world.0.signed(revoke, &[101, 102])).unwrap();
    // So do other chains, and nodes that have seen one order only.
    world.submit(0, &world.0.create(KEY, 1, Hash::default())).unwrap();
    world.submit(2, &one).unwrap();
    world.submit(2, &world.add(52, world.hash(&one))).unwrap();
}

#[test]
fn a_fork_further_back_blocks_too() {
    let world = Forked(World::empty());
    let (one, other) = (world.add(50, Hash::default()), world.add(60, Hash::default()));
    let mut head = world.submit(0, &one).unwrap().1;
    for client in 51..54 {
        head = world.submit(0, &world.add(client, head)).unwrap().1;
    }
    assert_eq!(world.kind(0, &other), FaultKind::AlreadyExists);
    let next = world.add(55, head);
    assert_eq!(world.kind(0, &next), FaultKind::FailedPrecondition);
    world.submit(0, &world.resolve(&one, &other, 0)).unwrap();
    world.submit(0, &next).unwrap();
    assert!(world.knows(0, 53) && world.knows(0, 55));
}

#[test]
fn nodes_agree_after_the_order_that_names_both_whichever_they_had_seen_first() {
    for swapped in [false, true] {
        let (mut world, one, other) = forked();
        let (stays, falls) = if swapped { (other, one) } else { (one, other) };
        let (kept, gone) = if swapped { (61, 51) } else { (51, 61) };
        let end = world.resolve(&stays, &falls, 0);
        for node in 0..3 {
            world.submit(node, &end).unwrap();
            assert_eq!(world.submit(node, &end).unwrap().0, Applied::Before);
        }
        // Node 2 had seen neither.
        assert_eq!(world.kind(2, &falls), FaultKind::AlreadyExists);
        world.submit(2, &stays).unwrap();
        for _ in 0..2 {
            for node in 0..3 {
                assert_eq!(world.head(node), world.hash(&stays), "node {node}");
                assert!(world.knows(node, kept) && !world.knows(node, gone), "node {node}");
                assert_eq!(world.kind(node, &falls), FaultKind::AlreadyExists);
                world.0.restart(node, LIMITS);
            }
        }
        let next = world.add(70, world.hash(&stays));
        for node in 0..3 {
            world.submit(node, &next).unwrap();
            let logged = world.0.nodes[node].logged_orders();
            for order in [&stays, &end, &next] {
                assert!(logged.contains(&world.hash(order)), "node {node}");
            }
        }
    }
}

#[test]
fn a_branch_that_fell_takes_its_later_orders_along_and_leaves_what_others_say_too() {
    let (world, one, other) = forked();
    // Node 2 has followed `other` for a while before it hears of the fork.
    let mut head = world.submit(2, &other).unwrap().1;
    // 50 is named by the root too: it stays known.
    for client in [62, 50, 63] {
        head = world.submit(2, &world.add(client, head)).unwrap().1;
    }
    world.submit(2, &world.resolve(&one, &other, 0)).unwrap();
    assert_eq!(world.head(2), world.hash(&world.add(50, Hash::default())));
    world.submit(2, &one).unwrap();
    for (client, known) in [(50, true), (51, true), (61, false), (62, false), (63, false)] {
        assert_eq!(world.knows(2, client), known, "{client}");
    }
    assert_eq!(world.kind(2, &world.add(70, head)), FaultKind::FailedPrecondition);
}

#[test]
fn a_client_that_was_revoked_meanwhile_stays_so() {
    let (world, one, other) = forked();
    for client in [51, 61] {
        let revoke = world.0.order(Action::RevokeClient { client: public(client) }, world.head(1));
        world.submit(1, &world.0.signed(revoke, &[101, 102])).unwrap();
    }
    world.submit(1, &world.resolve(&one, &other, 0)).unwrap();
    for client in [51, 61] {
        let standing = world.0.nodes[1].core.clients.standing(&public(client));
        assert_eq!(standing, Some(crate::clients::Standing::Revoked), "{client}");
    }
}

#[test]
fn of_two_ends_that_contradict_each_other_the_later_counts_at_every_node() {
    let (mut world, one, other) = forked();
    let (first, second) = (world.resolve(&one, &other, 0), world.resolve(&other, &one, 1));
    for (node, ends) in [[&first, &second], [&second, &first]].into_iter().enumerate() {
        for end in ends {
            world.submit(node, end).unwrap();
        }
        assert_eq!(world.head(node), world.hash(&other), "node {node}");
        assert!(world.knows(node, 61) && !world.knows(node, 51));
        world.submit(node, &world.add(70, world.hash(&other))).unwrap();
        world.0.restart(node, LIMITS);
        assert_eq!(world.kind(node, &one), FaultKind::AlreadyExists);
    }
}

#[test]
fn the_end_of_one_fork_does_not_hide_another() {
    let (world, one, other) = forked();
    let root = world.hash(&world.add(50, Hash::default()));
    let third = world.add(81, root);
    assert_eq!(world.kind(0, &third), FaultKind::AlreadyExists);
    world.submit(0, &world.resolve(&one, &other, 0)).unwrap();
    world.submit(0, &world.add(52, world.hash(&one))).unwrap();
    // The third comes again, and blocks until it has fallen too.
    assert_eq!(world.kind(0, &third), FaultKind::AlreadyExists);
    let next = world.add(53, world.head(0));
    assert_eq!(world.kind(0, &next), FaultKind::FailedPrecondition);
    world.submit(0, &world.resolve(&one, &other, 5)).unwrap();
    assert_eq!(world.kind(0, &next), FaultKind::FailedPrecondition, "it names others");
    world.submit(0, &world.resolve(&one, &third, 6)).unwrap();
    world.submit(0, &next).unwrap();
}

#[test]
fn a_branch_that_comes_back_takes_its_later_orders_again() {
    let world = Forked(World::empty());
    let (one, other) = (world.add(51, Hash::default()), world.add(61, Hash::default()));
    let two = world.add(52, world.hash(&one));
    for order in [&one, &two] {
        world.submit(0, order).unwrap();
    }
    assert_eq!(world.kind(0, &other), FaultKind::AlreadyExists);
    world.submit(0, &world.resolve(&other, &one, 0)).unwrap();
    assert_eq!(world.head(0), world.hash(&other));
    assert_eq!(world.kind(0, &two), FaultKind::FailedPrecondition, "it holds no more");
    world.submit(0, &world.resolve(&one, &other, 1)).unwrap();
    assert_eq!(world.head(0), world.hash(&one));
    for expected in [Applied::Now, Applied::Before] {
        assert_eq!(world.submit(0, &two).unwrap().0, expected);
    }
    assert_eq!(world.submit(0, &one).unwrap().0, Applied::Before);
    assert!(world.knows(0, 51) && world.knows(0, 52) && !world.knows(0, 61));
}

#[test]
fn a_chain_that_was_cut_back_is_not_blocked_by_what_was_cut() {
    let (world, one, other) = forked();
    let third = world.add(81, world.hash(&world.add(50, Hash::default())));
    world.submit(2, &other).unwrap();
    assert_eq!(world.kind(2, &third), FaultKind::AlreadyExists);
    world.submit(2, &world.resolve(&one, &other, 0)).unwrap();
    world.submit(2, &one).unwrap();
    world.submit(2, &world.add(52, world.hash(&one))).unwrap();
}

/// Fewer than `m` operators, or an old draft of `m`, end no fork and make none.
#[test]
fn too_few_operators_end_no_fork_and_an_order_whose_life_is_over_makes_none() {
    let (world, one, other) = forked();
    let end = world.resolve(&one, &other, 0);
    let few = SignedOrder(Signed::unsigned(end.0.body.clone()));
    assert_eq!(world.kind(0, &few), FaultKind::PermissionDenied);
    assert_eq!(world.kind(0, &world.add(52, world.hash(&one))), FaultKind::FailedPrecondition);

    let world = Forked(World::empty());
    let (one, other) = (world.add(50, Hash::default()), world.add(60, Hash::default()));
    world.submit(0, &one).unwrap();
    world.0.clock.pass(Millis::DAY + 1);
    assert_eq!(world.kind(0, &other), FaultKind::FailedPrecondition);
    let late = world.0.add_order(51, world.hash(&one));
    let expires_at = Millis(START + 2 * Millis::DAY);
    world.submit(0, &world.0.signed(Order { expires_at, ..late }, &[101, 102])).unwrap();
}

/// The fork's note or its end is there as a whole or not at all.
#[test]
fn a_commit_that_fails_leaves_the_fork_as_it_was() {
    let (mut world, one, other) = forked();
    let end = world.resolve(&one, &other, 0);
    world.0.nodes[1].store.refuse_commit.store(true, Ordering::SeqCst);
    assert_eq!(world.kind(1, &end), FaultKind::Unavailable);
    world.0.nodes[1].store.refuse_commit.store(false, Ordering::SeqCst);
    assert!(world.knows(1, 61) && !world.knows(1, 51));
    world.0.restart(1, LIMITS);
    assert_eq!(world.head(1), world.hash(&other));
    world.submit(1, &end).unwrap();
    assert_eq!(world.head(1), world.hash(&one));
    // And its entries are logged if the crash came after the commit.
    let (mut world, one, other) = forked();
    world.0.nodes[1].store.refuse_audit.store(true, Ordering::SeqCst);
    let end = world.resolve(&one, &other, 0);
    assert_eq!(world.kind(1, &end), FaultKind::Unavailable);
    world.0.nodes[1].store.refuse_audit.store(false, Ordering::SeqCst);
    world.0.restart(1, LIMITS);
    let logged = world.0.nodes[1].logged_orders();
    assert!(logged.contains(&world.hash(&one)) && logged.contains(&world.hash(&end)));
}

fn prepare(world: &Forked, node: usize, order: &SignedOrder, number: u64) -> Outcome {
    let request = PrepareRequest {
        order: order.clone(),
        earlier: Vec::new(),
        number,
        descent: None,
        scheduled: None,
    };
    let items = [request.to_bytes()];
    let core = &world.0.nodes[node].core;
    let mut results = ceremonies::run(core, StepKind::Prepare, &items).unwrap();
    results.remove(0).outcome.unwrap()
}

/// An order for the key with a nonce of its own.
fn create(world: &Forked, nonce: u8, first_number: u64, predecessor: Hash) -> SignedOrder {
    let signed = world.0.create(KEY, 1, predecessor);
    let mut order = Order::from_bytes(&signed.0.body).unwrap();
    order.nonce = [nonce; 32];
    let Action::CreateKey(create) = &mut order.action else { unreachable!() };
    create.first_number = first_number;
    world.0.signed(order, &[101, 103])
}

/// A ceremony's step brings orders past `submit`: it must not be a way around the block.
#[test]
fn a_ceremony_neither_hides_a_fork_nor_brings_an_order_around_it() {
    let world = Forked(World::empty());
    let (one, other) =
        (create(&world, 1, 1, Hash::default()), create(&world, 2, 1, Hash::default()));
    assert!(matches!(prepare(&world, 0, &one, 1), Outcome::Done(_)));
    let refused = prepare(&world, 0, &other, 2);
    assert!(matches!(&refused, Outcome::Fault(f) if f.code == 7), "{refused:?}");
    let next = create(&world, 3, 1025, world.hash(&one));
    assert_eq!(world.kind(0, &next), FaultKind::FailedPrecondition, "the fork was seen");
    let refused = prepare(&world, 0, &next, 1025);
    assert!(matches!(&refused, Outcome::Fault(f) if f.code == 7), "{refused:?}");
    // The ceremony of the order that stays for now goes on.
    assert!(matches!(prepare(&world, 0, &one, 2), Outcome::Done(_)));

    let chain = ChainId::Key(KEY.parse().unwrap());
    let end = world.resolve_in(chain, &one, &other, 0);
    for node in [0, 2] {
        world.submit(node, &end).unwrap();
        let refused = prepare(&world, node, &other, 3);
        assert!(matches!(&refused, Outcome::Fault(f) if f.code == 7), "{node}: {refused:?}");
    }
    assert!(matches!(prepare(&world, 0, &next, 1025), Outcome::Done(_)));
}

/// A key that was born under an order is there, whatever became of the order.
#[test]
fn a_birth_is_kept_though_its_order_fell() {
    let world = Forked(World::empty());
    // Of the first two nodes; the third is no member, and away.
    let mut order = Order::from_bytes(&world.0.create(KEY, 1, Hash::default()).0.body).unwrap();
    let Action::CreateKey(create_key) = &mut order.action else { unreachable!() };
    let members = create_key.committee.members()[..2].to_vec();
    (create_key.committee, create_key.q) = (Committee::new(members, 2).unwrap(), 2);
    let order = world.0.signed(order, &[101, 103]);
    let record = world.0.give_birth(&order);
    // It hears of the end first, then of the birth.
    let rival = create(&world, 2, 1, Hash::default());
    let chain = ChainId::Key(KEY.parse().unwrap());
    world.submit(2, &world.resolve_in(chain, &rival, &order, 0)).unwrap();
    let request =
        quorate_ceremony::RetireRequest { record: record.clone(), birth: None }.to_bytes();
    let core = &world.0.nodes[2].core;
    let mut results = ceremonies::run(core, StepKind::Retire, &[request]).unwrap();
    let outcome = results.remove(0).outcome.unwrap();
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    let (name, version) = (KEY.parse().unwrap(), KeyVersion::FIRST);
    assert_eq!(crate::records::record(&*core.store, &name, version).unwrap(), Some(record));
    assert_eq!(orders::heads(core, KEY).unwrap().1, Hash::default(), "it takes no place");
    assert!(!world.0.nodes[2].logged_orders().contains(&world.hash(&order)));
    world.submit(2, &rival).unwrap();
}
