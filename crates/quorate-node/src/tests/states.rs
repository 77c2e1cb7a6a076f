//! How keys are, as orders say it: what is refused, what counts, and what is left of a key that
//! was deleted, whatever the process dies at.

use super::fixture::*;
use crate::{
    ceremonies,
    clock::Clock,
    destroy,
    orders::{self, Applied},
    rosters, states, views,
};
use quorate_ceremony::{Conductor, Descent, Pace, PrepareRequest, StepKind, fault};
use quorate_crypto::hash::Label;
use quorate_rpc::{
    Fault, FaultKind,
    v1::{ListKeysRequest, step_result::Outcome},
};
use quorate_store::{Batch, Store, Tree};
use quorate_types::{order::ORDER_CLOCK_SLACK, *};
use std::sync::{Arc, atomic::Ordering};

const WEEK: u64 = 7 * Millis::DAY;

/// A state of the world's key.
fn state(world: &World, revision: u64, change: impl FnOnce(&mut SetKeyState)) -> SignedOrder {
    let mut state = SetKeyState { revision, ..SetKeyState::initial(KEY.parse().unwrap()) };
    change(&mut state);
    let mut order = world.order(Action::SetKeyState(state), Hash::default());
    order.issued_at = world.clock.now().wall;
    order.expires_at = order.issued_at.plus(30 * Millis::DAY);
    world.signed(order, &[101, 102])
}

fn submit(world: &World, i: usize, order: &SignedOrder) -> Result<Applied, Fault> {
    orders::submit(&world.nodes[i].core, &order.to_bytes()).map(|(applied, _)| applied)
}

fn order(world: &World, i: usize, revision: u64, change: impl FnOnce(&mut SetKeyState)) {
    assert_eq!(submit(world, i, &state(world, revision, change)), Ok(Applied::Now));
}

/// The world's key deleted, a week after this at the soonest.
fn deleted(world: &World, i: usize, revision: u64) -> Millis {
    let at = world.clock.now().wall.plus(WEEK);
    order(world, i, revision, |s| s.deletion = Some(at));
    at
}

fn refusal(world: &World, i: usize) -> RefusalReason {
    world.refused(i, &world.ask()).reason
}

/// What a client asks of the key's second version.
fn ask_second(world: &World) -> Ask {
    let mut ask = world.ask();
    ask.head.version = KeyVersion::new(2).unwrap();
    ask
}

/// The same key with a second version.
fn rotated() -> World {
    let world = World::with_key();
    let born = VerifiedOrder::verify(&world.cluster, &world.record().order).unwrap();
    world.give_birth(&second(&world, &born, |_| {}));
    world
}

pub(crate) fn second(
    world: &World,
    born: &VerifiedOrder,
    change: impl FnOnce(&mut CreateKey),
) -> SignedOrder {
    let mut create = born.create_key().unwrap().clone();
    create.version = KeyVersion::new(2).unwrap();
    create.first_number = born.terms().unwrap().numbers().end() + 1;
    change(&mut create);
    world.signed(world.order(Action::CreateKey(create), born.hash()), &[101, 102])
}

fn secrets(world: &World, i: usize) -> usize {
    world.nodes[i].store.scan(Tree::Secrets, &[], None, 10_000).unwrap().len()
}

fn receipt(world: &World, i: usize) -> Option<DestroyedReceipt> {
    let core = &world.nodes[i].core;
    let said = states::show(core, KEY).unwrap().nodes.remove(0);
    let receipt = DestroyedReceipt::from_bytes(&said.receipt).ok()?;
    receipt.verify(core.fingerprint(), &core.me.identity).unwrap();
    assert_eq!(receipt.node, core.index());
    Some(receipt)
}

/// A new version takes the old one's place for what is asked without one; both are used, each by
/// its number.
#[test]
fn a_rotated_key_answers_under_each_of_its_versions() {
    let world = rotated();
    world.open(0, &world.bring(0, &world.ask()).unwrap());
    let newest = views::get_key(&world.nodes[0].core, KEY, 0).unwrap();
    let newest = KeyRecord::from_bytes(&newest.record).unwrap();
    assert_eq!(newest.certificate.public.version.get(), 2);
    let first = views::get_key(&world.nodes[0].core, KEY, 1).unwrap();
    assert_eq!(first.record, world.record().to_bytes());
    let page = ListKeysRequest { page_size: 10, after: String::new() };
    let listed = views::list_keys(&world.nodes[0].core, &page).unwrap().keys.remove(0);
    assert_eq!((listed.version, listed.state.as_str()), (2, "active"));
    assert_eq!(listed.older.iter().map(|v| v.version).collect::<Vec<_>>(), [1]);
}

/// An order is no version: until it is born, the one before is the newest.
#[test]
fn a_version_that_is_not_born_yet_is_nobodys_newest() {
    let world = World::with_key();
    let born = VerifiedOrder::verify(&world.cluster, &world.record().order).unwrap();
    assert_eq!(submit(&world, 0, &second(&world, &born, |_| {})), Ok(Applied::Now));
    let newest = views::get_key(&world.nodes[0].core, KEY, 0).unwrap();
    assert_eq!(newest.record, world.record().to_bytes());
    let page = ListKeysRequest { page_size: 10, after: String::new() };
    let listed = views::list_keys(&world.nodes[0].core, &page).unwrap().keys.remove(0);
    assert_eq!((listed.version, listed.state.as_str()), (1, "active"));
    assert!(listed.serving == [1] && listed.older.is_empty());
}

#[test]
fn a_new_version_has_the_suite_and_purpose_of_the_key() {
    let world = World::with_key();
    let born = VerifiedOrder::verify(&world.cluster, &world.record().order).unwrap();
    let other = second(&world, &born, |c| {
        (c.suite, c.purpose) = (Suite::FrostEd25519, Purpose::Sign);
    });
    let refused = submit(&world, 0, &other).unwrap_err();
    assert!(refused.message.contains("of the key's suite and purpose"), "{refused}");
}

#[test]
fn a_disabled_version_refuses_every_use_and_another_one_goes_on() {
    let world = rotated();
    order(&world, 0, 1, |s| s.disabled = Disabled::Versions(vec![KeyVersion::new(2).unwrap()]));
    assert_eq!(world.refused(0, &ask_second(&world)).reason, RefusalReason::Disabled);
    world.open(0, &world.bring(0, &world.ask()).unwrap());
    order(&world, 0, 2, |s| s.disabled = Disabled::All);
    assert_eq!(refusal(&world, 0), RefusalReason::Disabled);
    let uses = world.nodes[0].uses();
    // A new process knows it too.
    let mut world = world;
    world.restart(0, LIMITS);
    assert_eq!(refusal(&world, 0), RefusalReason::Disabled);
    assert_eq!(world.nodes[0].uses() + uses, uses, "no share was touched");
    order(&world, 0, 3, |_| {});
    world.open(0, &world.bring(0, &world.ask()).unwrap());
}

/// Who has no grant is told nothing of how the key is.
#[test]
fn a_stranger_does_not_learn_how_a_key_is() {
    let world = World::with_key();
    order(&world, 0, 1, |s| s.disabled = Disabled::All);
    let mut ask = world.ask();
    (ask.head.client, ask.signer) = (public(51), 51);
    assert_eq!(world.refused(0, &ask).reason, RefusalReason::NotGranted);
}

#[test]
fn the_highest_revision_counts_and_a_clash_is_named() {
    let world = World::with_key();
    let describe = |text: &'static str| move |s: &mut SetKeyState| s.description = text.into();
    let (one, two) = (state(&world, 1, describe("one")), state(&world, 2, describe("two")));
    let other = state(&world, 2, describe("another"));
    // A node that missed the first takes the second; then the first is superseded.
    assert_eq!(submit(&world, 0, &two), Ok(Applied::Now));
    let late = submit(&world, 0, &one).unwrap_err();
    assert!(late.message.contains("superseded") && late.message.contains("revision 3"), "{late}");
    let clash = submit(&world, 0, &other).unwrap_err();
    assert!(clash.message.contains("revision 2 of key"), "{clash}");
    assert!(clash.message.contains("ordered otherwise") && clash.message.contains("revision 3"));
    for refused in [late, clash] {
        assert_eq!(refused.kind, FaultKind::AlreadyExists, "more of the chain helps nobody");
    }
    // The same content, signed again, holds already.
    let mut again = world.order(
        Action::SetKeyState(
            VerifiedOrder::verify(&world.cluster, &two).unwrap().key_state().unwrap().clone(),
        ),
        Hash::default(),
    );
    again.nonce = [9; 32];
    assert_eq!(submit(&world, 0, &world.signed(again, &[102, 103])), Ok(Applied::Before));
    // Nodes that kept different ones agree again on the next.
    assert_eq!(submit(&world, 1, &other), Ok(Applied::Now));
    for i in [0, 1] {
        order(&world, i, 3, describe("three"));
        let held = states::held(&*world.nodes[i].store, &KEY.parse().unwrap()).unwrap().unwrap();
        assert_eq!(held.state.description, "three");
    }
}

#[test]
fn a_state_needs_enough_operators_its_life_and_its_key() {
    let world = World::with_key();
    let good = state(&world, 1, |s| s.disabled = Disabled::All);
    let few = world.signed(Order::from_bytes(&good.0.body).unwrap(), &[101]);
    assert_eq!(submit(&world, 0, &few).unwrap_err().kind, FaultKind::PermissionDenied);
    let stranger = state(&world, 1, |s| s.name = "another".parse().unwrap());
    let unknown = submit(&world, 0, &stranger).unwrap_err();
    assert!(unknown.message.contains("no order has made key another"), "{unknown}");
    world.clock.pass(31 * Millis::DAY);
    let dead = submit(&world, 0, &good).unwrap_err();
    assert!(dead.message.contains("its life is over"), "{dead}");
    world.open(0, &world.bring(0, &world.ask()).unwrap());
}

/// A node that joins takes what was ordered before its time, but nothing that only those have
/// signed who have left since: nothing shows that it is not of today.
#[test]
fn operators_who_have_left_give_no_node_a_state() {
    let world = World::with_key();
    let disable = |s: &mut SetKeyState| s.disabled = Disabled::All;
    let left = state(&world, 9, disable);
    let stayed = {
        let order = Order::from_bytes(&state(&world, 8, disable).0.body).unwrap();
        world.signed(order, &[102, 103])
    };
    // The first node has another identity from now on, and one of the operators is another.
    let mut roster = world.cluster.roster().clone();
    (roster.version, roster.previous) = (2, world.cluster.roster_hash());
    roster.nodes[0].identity = public(9);
    roster.operators[0].key = public(110);
    let mut signed = Signed::unsigned(roster.to_bytes());
    for n in [101, 102] {
        signed.sign(&key(n), Label::SIG_ROSTER, world.cluster.fingerprint());
    }
    let longer = world.cluster.extended(&[SignedRoster(signed)]).unwrap().unwrap();
    let joined = world.join(&longer, 9);
    let submit = |order: &SignedOrder| orders::submit(&joined.core, &order.to_bytes());
    submit(&world.record().order).unwrap();
    let refused = submit(&left).unwrap_err();
    assert!(refused.message.contains("newest known here is 2"), "{refused}");
    assert_eq!(submit(&stayed).unwrap().0, Applied::Now);
    // Who was there when it could have been applied takes it in time or not at all.
    rosters::put(&world.nodes[1].core, &[longer.chain()[1].to_bytes()]).unwrap();
    let late = orders::submit(&world.nodes[1].core, &stayed.to_bytes()).unwrap_err();
    assert!(late.message.contains("newest known here is 2"), "{late}");
}

#[test]
fn an_alias_is_no_keys_name_and_means_one_key() {
    let world = World::with_key();
    let name = |text: &str| -> KeyName { text.parse().unwrap() };
    let also = |alias: &str| {
        let alias = name(alias);
        move |s: &mut SetKeyState| s.aliases = vec![alias]
    };
    let other = world.create("other", 1, Hash::default());
    assert_eq!(submit(&world, 0, &other), Ok(Applied::Now));
    let taken = submit(&world, 0, &state(&world, 1, also("other"))).unwrap_err();
    assert!(taken.message.contains("is the name of a key"), "{taken}");
    order(&world, 0, 1, also("prod"));
    let shown = states::show(&world.nodes[0].core, "prod").unwrap();
    assert_eq!((shown.orders.len(), shown.nodes[0].revision), (1, 1));
    let of_other = |revision: u64| {
        state(&world, revision, |s| (s.name, s.aliases) = (name("other"), vec![name("prod")]))
    };
    let held = submit(&world, 0, &of_other(1)).unwrap_err();
    assert!(held.message.contains("is an alias of key"), "{held}");
    // No key gets the name, by an order or by a ceremony that brings one.
    let create = world.create("prod", 1, Hash::default());
    let refused = submit(&world, 0, &create).unwrap_err();
    assert!(refused.message.contains("is an alias of key"), "{refused}");
    let prepare = PrepareRequest {
        order: create,
        earlier: Vec::new(),
        number: 1,
        descent: None,
        scheduled: None,
    };
    let result = ceremonies::run(&world.nodes[0].core, StepKind::Prepare, &[prepare.to_bytes()]);
    let Outcome::Fault(fault) = result.unwrap().remove(0).outcome.unwrap() else { panic!("done") };
    assert_eq!(fault.code, u32::from(fault::NAME_TAKEN));
    // Once it is given away another key may have it.
    order(&world, 0, 2, |_| {});
    assert_eq!(submit(&world, 0, &of_other(1)), Ok(Applied::Now));
    assert_eq!(states::alias(&*world.nodes[0].store, &name("prod")).unwrap(), Some(name("other")));
}

#[test]
fn a_key_that_waits_for_its_deletion_refuses_and_can_be_taken_back() {
    let world = World::with_key();
    let soon = world.clock.now().wall.plus(WEEK - 1);
    let quick = submit(&world, 0, &state(&world, 1, |s| s.deletion = Some(soon))).unwrap_err();
    assert!(quick.message.contains("waits for 7 days at least"), "{quick}");
    deleted(&world, 0, 1);
    assert_eq!(refusal(&world, 0), RefusalReason::PendingDeletion);
    world.clock.pass(WEEK - 1);
    destroy::sweep(&world.nodes[0].core).unwrap();
    order(&world, 0, 2, |_| {});
    world.clock.pass(WEEK);
    destroy::sweep(&world.nodes[0].core).unwrap();
    world.open(0, &world.bring(0, &world.ask()).unwrap());
    assert_eq!(receipt(&world, 0), None);
}

/// Whoever has the signed order could keep it back until its time has come.
#[test]
fn an_order_that_was_kept_back_leaves_a_week_to_cancel_it() {
    let world = World::with_key();
    let after = |days: u64| world.clock.now().wall.plus(days * Millis::DAY);
    let sweep = || destroy::sweep(&world.nodes[0].core).unwrap();
    let kept = state(&world, 1, |s| s.deletion = Some(after(7)));
    world.clock.pass(8 * Millis::DAY);
    assert_eq!(submit(&world, 0, &kept), Ok(Applied::Now));
    sweep();
    assert_eq!(refusal(&world, 0), RefusalReason::PendingDeletion, "it waits");
    order(&world, 0, 2, |_| {});
    world.clock.pass(8 * Millis::DAY);
    sweep();
    world.open(0, &world.bring(0, &world.ask()).unwrap());

    // Heard on the fourth day of ten: until the eleventh.
    let kept = state(&world, 3, |s| s.deletion = Some(after(10)));
    world.clock.pass(4 * Millis::DAY);
    assert_eq!(submit(&world, 0, &kept), Ok(Applied::Now));
    world.clock.pass(7 * Millis::DAY - 2 * ORDER_CLOCK_SLACK);
    sweep();
    assert_eq!(receipt(&world, 0), None, "minutes are left");
    world.clock.pass(ORDER_CLOCK_SLACK);
    sweep();
    assert!(receipt(&world, 0).is_some());
}

#[test]
fn only_a_key_that_was_made_with_the_right_to_it_is_deleted_quickly() {
    let world = World::with_key();
    let name: KeyName = "quick".parse().unwrap();
    let at = world.clock.now().wall.plus(10_000);
    let quick =
        |world: &World| state(world, 1, |s| (s.name, s.deletion) = (name.clone(), Some(at)));
    let mut create = Order::from_bytes(&world.create("quick", 1, Hash::default()).0.body).unwrap();
    let Action::CreateKey(key) = &mut create.action else { unreachable!() };
    key.rights = Rights { quick_deletion: true, ..Rights::NONE };
    let create = world.signed(create, &[101, 102]);
    world.give_birth(&create);
    // A version without the right takes it from the key, and none brings it.
    let born = VerifiedOrder::verify(&world.cluster, &create).unwrap();
    let without = second(&world, &born, |c| c.rights = Rights::NONE);
    assert_eq!(submit(&world, 1, &without), Ok(Applied::Now));
    let refused = submit(&world, 1, &quick(&world)).unwrap_err();
    assert!(refused.message.contains("not made with the right"), "{refused}");
    assert_eq!(submit(&world, 0, &quick(&world)), Ok(Applied::Now));
    let slow = VerifiedOrder::verify(&world.cluster, &world.record().order).unwrap();
    let gains =
        second(&world, &slow, |c| c.rights = Rights { quick_deletion: true, ..Rights::NONE });
    assert_eq!(submit(&world, 0, &gains), Ok(Applied::Now));
    let gained = submit(&world, 0, &state(&world, 1, |s| s.deletion = Some(at))).unwrap_err();
    assert!(gained.message.contains("not made with the right"), "{gained}");
}

#[test]
fn when_its_time_has_come_all_versions_of_a_key_are_destroyed_for_good() {
    let world = rotated();
    // Another key stays as it is.
    let other = world.create("other", 1, Hash::default());
    world.give_birth(&other);
    let core = Arc::clone(&world.nodes[0].core);
    let others = secrets(&world, 1);
    let at = world.clock.now().wall.plus(WEEK);
    let prod: KeyName = "prod".parse().unwrap();
    order(&world, 0, 1, |s| (s.deletion, s.aliases) = (Some(at), vec![prod.clone()]));
    world.clock.jump_to(at.0 - 1);
    destroy::sweep(&core).unwrap();
    assert_eq!((receipt(&world, 0), secrets(&world, 0)), (None, others));
    world.clock.jump_to(at.0);
    destroy::sweep(&core).unwrap();

    let receipt = receipt(&world, 0).expect("a receipt");
    assert_eq!((receipt.destroyed.key.as_str(), receipt.destroyed.at), (KEY, at));
    let left = world.nodes[0].store.scan(Tree::Secrets, &[], None, 100).unwrap();
    assert!(!left.is_empty(), "another key keeps its share");
    let of_key = |key: &[u8]| key.windows(KEY.len()).any(|w| w == KEY.as_bytes());
    assert!(left.iter().all(|(key, _)| !of_key(key)), "a secret is left");
    let events = world.nodes[0].audit().into_iter().map(|e| e.event);
    assert_eq!(events.filter(|e| matches!(e, Event::Destroyed { .. })).count(), 1);
    assert_eq!(refusal(&world, 0), RefusalReason::Destroyed);
    assert_eq!(world.refused(0, &ask_second(&world)).reason, RefusalReason::Destroyed);

    // Nothing brings it back: no state, no further version, no ceremony.
    let gone = "nothing brings it back";
    let cancel = submit(&world, 0, &state(&world, 2, |_| {})).unwrap_err();
    assert!(cancel.message.contains(gone), "{cancel}");
    let later = state(&world, 2, |s| s.deletion = Some(at.plus(WEEK)));
    assert_eq!(submit(&world, 0, &later), Ok(Applied::Before), "it is deleted already");
    let head = orders::head_orders(&core, KEY).unwrap().0.unwrap();
    let head = VerifiedOrder::verify(&world.cluster, &head).unwrap();
    let mut create = head.create_key().unwrap().clone();
    create.version = KeyVersion::new(3).unwrap();
    create.first_number = head.terms().unwrap().numbers().end() + 1;
    let mut create = world.order(Action::CreateKey(create), head.hash());
    (create.issued_at, create.expires_at) = (at, at.plus(Millis::DAY));
    let create = world.signed(create, &[101, 102]);
    let refused = submit(&world, 0, &create).unwrap_err();
    assert!(refused.message.contains(gone), "{refused}");
    let prepare = PrepareRequest {
        order: create,
        earlier: Vec::new(),
        number: 2050,
        descent: None,
        scheduled: None,
    };
    let result = ceremonies::run(&core, StepKind::Prepare, &[prepare.to_bytes()]).unwrap();
    let Some(Outcome::Fault(fault)) = &result[0].outcome else { panic!("done") };
    assert_eq!(fault.code, u32::from(fault::DESTROYED));
    // Its aliases are free.
    let takes = state(&world, 1, |s| (s.name, s.aliases) = ("other".parse().unwrap(), vec![prod]));
    assert_eq!(submit(&world, 0, &takes), Ok(Applied::Now));
    // A second sweep has nothing to do.
    let commits = world.nodes[0].store.commits.load(Ordering::SeqCst);
    destroy::sweep(&core).unwrap();
    assert_eq!(world.nodes[0].store.commits.load(Ordering::SeqCst), commits);
}

/// Whatever commit is the last one of a process: the key is used by nobody any more, and the next
/// process finishes what was begun.
#[test]
fn a_destruction_that_dies_anywhere_is_finished_at_the_next_start() {
    let mut died = 0;
    for most in 1.. {
        let mut world = rotated();
        let at = deleted(&world, 0, 1);
        world.clock.jump_to(at.0);
        let store = Arc::clone(&world.nodes[0].store);
        let before = store.commits.load(Ordering::SeqCst);
        store.most_commits.store(before + most, Ordering::SeqCst);
        let done = destroy::sweep(&world.nodes[0].core).is_ok();
        assert_eq!(done, receipt(&world, 0).is_some(), "no receipt before it is done");
        store.most_commits.store(0, Ordering::SeqCst);
        world.restart(0, LIMITS);
        assert_eq!(refusal(&world, 0), RefusalReason::Destroyed);
        destroy::sweep(&world.nodes[0].core).unwrap();
        assert!(receipt(&world, 0).is_some());
        assert_eq!(secrets(&world, 0), 0);
        if done {
            break;
        }
        died += 1;
    }
    assert!(died >= 2, "it dies between its commits: {died}");
    // Also between the last erasure and the audit entry.
    let mut world = rotated();
    let at = deleted(&world, 0, 1);
    world.clock.jump_to(at.0);
    world.nodes[0].store.refuse_audit.store(true, Ordering::SeqCst);
    assert!(destroy::sweep(&world.nodes[0].core).is_err());
    assert_eq!((receipt(&world, 0), secrets(&world, 0)), (None, 0));
    world.nodes[0].store.refuse_audit.store(false, Ordering::SeqCst);
    world.restart(0, LIMITS);
    destroy::sweep(&world.nodes[0].core).unwrap();
    assert!(receipt(&world, 0).is_some());
}

/// It may have missed that the deletion was cancelled: a coordinator brings it the orders first.
/// Rotate and destroy at once: before each message of a refresh in turn a node destroys the key.
/// Whatever becomes of the refresh, none of its messages brings a secret back, and the key
/// ends at every node.
#[test]
fn a_refresh_under_way_brings_no_destroyed_key_back() {
    let mut under_way = 0;
    for message in 0.. {
        let world = World::with_key();
        let at = world.clock.now().wall.plus(WEEK);
        for i in 0..world.nodes.len() {
            order(&world, i, 1, |s| s.deletion = Some(at));
        }
        world.clock.jump_to(at.0 - 1_000);
        let record = world.record();
        let signed = world.refresh_order(record, &record.order);
        let mut refresh = Order::from_bytes(&signed.0.body).unwrap();
        refresh.issued_at = world.clock.now().wall;
        refresh.expires_at = refresh.issued_at.plus(Millis::DAY);
        let signed = world.signed(refresh, &[101, 103]);
        let refresh = VerifiedOrder::verify(&world.cluster, &signed).unwrap();
        let descent = Descent { birth: record.clone(), newest: None };
        let cluster = Arc::new(world.cluster.clone());
        let conductor =
            Conductor::reshare(cluster, refresh, Vec::new(), descent, Pace::default()).unwrap();
        let (mut seen, mut destroyed) = (0, None);
        let outcome = world.conduct_rounds(50, conductor, |ticket| {
            if seen == message {
                world.clock.jump_to(at.0);
                let node = usize::from(ticket.node.get()) - 1;
                destroy::sweep(&world.nodes[node].core).unwrap();
                destroyed = Some(node);
            }
            seen += 1;
        });
        let Some(first) = destroyed else {
            assert!(outcome.is_some(), "with nobody in the way it ends");
            break;
        };
        under_way += 1;
        assert_eq!(secrets(&world, first), 0, "message {message} after the destruction");
        world.clock.jump_to(at.0);
        for i in 0..world.nodes.len() {
            destroy::sweep(&world.nodes[i].core).unwrap();
            assert_eq!(secrets(&world, i), 0, "node {i}, message {message}");
            assert_eq!(refusal(&world, i), RefusalReason::Destroyed);
        }
    }
    assert!(under_way > 12, "{under_way} messages");
}

#[test]
fn a_node_in_quarantine_destroys_nothing_yet() {
    let mut world = World::with_key();
    let at = deleted(&world, 0, 1);
    world.clock.jump_to(at.0);
    world.start_again(0, LIMITS);
    destroy::sweep(&world.nodes[0].core).unwrap();
    assert_eq!(receipt(&world, 0), None);
    order(&world, 0, 2, |_| {});
    world.acquaint(0);
    destroy::sweep(&world.nodes[0].core).unwrap();
    assert_eq!(receipt(&world, 0), None);
    world.open(0, &world.bring(0, &world.ask()).unwrap());
}

/// Each once, in order, however many there are; and one with much to be said of it fits too.
#[test]
fn a_hundred_thousand_keys_are_listed_in_pages() {
    const KEYS: usize = 100_000;
    let world = World::empty();
    let (store, core) = (Arc::clone(&world.nodes[0].store), Arc::clone(&world.nodes[0].core));
    // One order for all: what a list reads of each is where the chain of its name ends.
    let order = world.create("any", 1, Hash::default());
    let order = VerifiedOrder::verify(&world.cluster, &order).unwrap();
    store.commit(crate::records::put_order(Batch::new(), &order, 1)).unwrap();
    let hash = order.hash().as_bytes().to_vec();
    for first in (0..KEYS).step_by(4000) {
        let names = (first..first + 4000).map(|n| format!("hkey-{n:06}").into_bytes());
        let put = |batch: Batch, name: Vec<u8>| batch.put(Tree::Orders, name, hash.clone());
        store.commit(names.fold(Batch::new(), put)).unwrap();
    }
    let (mut after, mut listed, mut pages) = (String::from("any"), Vec::new(), 0);
    loop {
        let page = ListKeysRequest { page_size: 1000, after };
        let page = views::list_keys(&core, &page).unwrap();
        listed.extend(page.keys.into_iter().map(|k| k.name));
        pages += 1;
        after = page.next;
        if after.is_empty() {
            break;
        }
    }
    assert_eq!((listed.len(), pages), (KEYS, KEYS / 1000));
    assert!(listed.is_sorted_by(|a, b| a < b));
}
