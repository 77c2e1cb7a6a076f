//! Exports: breaking the glass, and everybody who would like to without being asked.

use super::fixture::*;
use crate::{clock::Clock, destroy, exports, orders, views};
use quorate_ceremony::{Descent, StepKind, fault::EXPORTING};
use quorate_crypto::{RecipientKey, SecretScalar, hash::Label, sharing};
use quorate_rpc::{Fault, FaultKind, v1::step_result::Outcome as Answered};
use quorate_store::{Store, Tree};
use quorate_types::*;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use std::sync::atomic::Ordering;

struct Glass {
    world: World,
    birth: KeyRecord,
    recipient: RecipientKey,
}

impl Glass {
    /// A key that two of three use, and that may be exported.
    fn new() -> Self {
        Self::of(Rights { exportable: true, quick_deletion: false })
    }

    fn of(rights: Rights) -> Self {
        let mut world = World::empty();
        let create = world.create(KEY, 1, Hash::default());
        let mut order = Order::from_bytes(&create.0.body).unwrap();
        let Action::CreateKey(create) = &mut order.action else { panic!() };
        create.rights = rights;
        let order = world.signed(order, &[101, 103]);
        let birth = world.give_birth(&order);
        world.record = Some(birth.clone());
        Self { world, birth, recipient: RecipientKey::generate(&mut UnwrapErr(SysRng)) }
    }

    fn head(&self) -> Hash {
        orders::heads(&self.world.nodes[0].core, KEY).unwrap().1
    }

    fn draft(&self, step: ExportStep) -> Order {
        let export = ExportKey { name: KEY.parse().unwrap(), version: KeyVersion::FIRST, step };
        self.world.order(Action::ExportKey(export), self.head())
    }

    fn open(&self) -> ExportStep {
        ExportStep::Open { recipient: self.recipient.public(), danger_no_cooling_off: true }
    }

    /// To the recipient, signed by two of three operators.
    fn order(&self) -> SignedOrder {
        self.world.signed(self.draft(self.open()), &[101, 103])
    }

    fn share(&self, i: usize, order: &SignedOrder) -> Result<SealedShare, Fault> {
        let bytes = exports::share(&self.world.nodes[i].core, &order.to_bytes())?;
        Ok(SealedShare::from_bytes(&bytes).unwrap())
    }

    fn exported(&self, i: usize) -> usize {
        let all = self.world.nodes[i].audit().into_iter();
        all.filter(|e| matches!(e.event, Event::Exported { .. })).count()
    }
}

#[test]
fn two_sealed_shares_of_three_are_the_key_for_the_recipient() {
    let glass = Glass::new();
    let order = glass.order();
    let public = &glass.birth.certificate.public;
    let shares: Vec<(NodeIndex, SecretScalar)> = (0..3)
        .map(|i| {
            let sealed = glass.share(i, &order).unwrap();
            let core = &glass.world.nodes[i].core;
            assert_eq!((sealed.scope.node, sealed.scope.epoch), (core.index(), public.epoch));
            assert!(sealed.verifies(&core.me.identity));
            assert_eq!(glass.exported(i), 1, "logged before it leaves");
            (core.index(), sealed.open(&glass.recipient).unwrap())
        })
        .collect();
    let commitments = public.decode_commitments().unwrap();
    for pick in [[0, 1], [1, 2], [0, 2]] {
        let some = pick.map(|i| shares[i].clone());
        let secret = sharing::reconstruct(&commitments, &some).unwrap();
        assert_eq!(secret.public().compress().as_bytes(), public.public_key());
    }
    // Known for ever, at every node.
    for node in &glass.world.nodes {
        let found = views::get_key(&node.core, KEY, 0).unwrap();
        assert_eq!(found.exports, [order.to_bytes()]);
        let page = views::list_keys(&node.core, &Default::default()).unwrap();
        assert!(page.keys[0].exported && !page.keys[0].imported);
    }
}

#[test]
fn the_sealed_share_is_the_same_for_ever_and_each_time_it_leaves_is_logged() {
    let mut glass = Glass::new();
    let order = glass.order();
    let first = glass.share(0, &order).unwrap();
    for times in 2..4 {
        glass.world.restart(0, LIMITS);
        assert_eq!(glass.share(0, &order).unwrap(), first);
        assert_eq!(glass.exported(0), times);
    }
    // Without the entry nothing leaves; what was sealed is the same afterwards.
    glass.world.nodes[0].store.refuse_audit.store(true, Ordering::SeqCst);
    assert_eq!(glass.share(0, &order).unwrap_err().kind, FaultKind::Unavailable);
    glass.world.nodes[0].store.refuse_audit.store(false, Ordering::SeqCst);
    assert_eq!(glass.share(0, &order).unwrap(), first);
    // What cannot be made durable is not sent either.
    glass.share(1, &order).unwrap();
    let second = Glass::new();
    let order = second.order();
    orders::submit(&second.world.nodes[0].core, &order.to_bytes()).unwrap();
    second.world.nodes[0].store.refuse_commit.store(true, Ordering::SeqCst);
    assert_eq!(second.share(0, &order).unwrap_err().kind, FaultKind::Unavailable);
    assert_eq!(second.exported(0), 0);
}

#[test]
fn a_key_without_the_right_is_never_exported() {
    for rights in [Rights::NONE, Rights { exportable: false, quick_deletion: true }] {
        let glass = Glass::of(rights);
        let order = glass.order();
        for i in 0..3 {
            let fault = glass.share(i, &order).unwrap_err();
            assert_eq!(fault.kind, FaultKind::PermissionDenied);
            assert!(fault.message.contains("--exportable"), "{fault}");
            assert_eq!(glass.exported(i), 0);
            let found = views::get_key(&glass.world.nodes[i].core, KEY, 0).unwrap();
            assert!(found.exports.is_empty(), "the order was not applied");
        }
        assert!(exports::admits(&glass.world.nodes[0].core, &subject()).is_ok());
    }
}

#[test]
fn fewer_than_m_signatures_export_nothing() {
    let glass = Glass::new();
    for signers in [&[101_u8][..], &[101, 120], &[101, 1, 2, 3], &[]] {
        let few = glass.world.signed(glass.draft(glass.open()), signers);
        let fault = glass.share(0, &few).unwrap_err();
        assert_eq!(fault.kind, FaultKind::PermissionDenied, "{signers:?}");
    }
    let quiet =
        ExportStep::Open { recipient: glass.recipient.public(), danger_no_cooling_off: false };
    let order = glass.world.signed(glass.draft(quiet), &[101, 103]);
    let fault = glass.share(0, &order).unwrap_err();
    assert!(fault.message.contains("danger_no_cooling_off"), "{fault}");
    let small = ExportStep::Open { recipient: [0; 32], danger_no_cooling_off: true };
    let order = glass.world.signed(glass.draft(small), &[101, 103]);
    assert!(glass.share(0, &order).unwrap_err().message.contains("small order"));
    assert_eq!(glass.exported(0), 0);
}

/// A coordinator that puts its own key into the order has an order that nobody signed; and to the
/// recipient of one order nothing of another one opens.
#[test]
fn an_order_with_another_recipient_is_another_order() {
    let glass = Glass::new();
    let order = glass.order();
    let thief = RecipientKey::generate(&mut UnwrapErr(SysRng));
    let mut swapped = order.clone();
    let recipient = glass.recipient.public();
    let at = swapped.0.body.windows(32).position(|w| w == recipient).unwrap();
    swapped.0.body[at..at + 32].copy_from_slice(&thief.public());
    let fault = glass.share(0, &swapped).unwrap_err();
    assert_eq!(fault.kind, FaultKind::PermissionDenied, "{fault}");

    let sealed = glass.share(0, &order).unwrap();
    assert!(sealed.open(&thief).is_err());
    let mut moved = sealed.clone();
    moved.scope.recipient = thief.public();
    assert!(moved.open(&thief).is_err());
    assert!(!moved.verifies(&glass.world.nodes[0].core.me.identity));
    // Nor does it open as anybody else's share, or of another epoch or order.
    for change in [
        (|s: &mut ShareScope| s.node = NodeIndex::new(2).unwrap()) as fn(&mut ShareScope),
        |s| s.epoch.number = 2,
        |s| s.epoch.bundle = Hash([1; 32]),
        |s| s.order = Hash([1; 32]),
        |s| s.version = KeyVersion::new(2).unwrap(),
        |s| s.fingerprint = Fingerprint([1; 32]),
        |s| s.key = "other".parse().unwrap(),
    ] {
        let mut moved = sealed.clone();
        change(&mut moved.scope);
        assert!(moved.open(&glass.recipient).is_err());
        assert!(!moved.verifies(&glass.world.nodes[0].core.me.identity));
    }
}

fn subject() -> quorate_ceremony::Subject {
    let (key, version) = (KEY.parse().unwrap(), KeyVersion::FIRST);
    quorate_ceremony::Subject { key, version, number: 0 }
}

#[test]
fn no_new_epoch_begins_while_an_export_is_open() {
    let glass = Glass::new();
    let (order, world) = (glass.order(), &glass.world);
    let refresh = world.refresh_order(&glass.birth, &glass.birth.order);
    for node in &world.nodes {
        orders::submit(&node.core, &order.to_bytes()).unwrap();
    }
    let descent = Descent { birth: glass.birth.clone(), newest: None };
    let number = VerifiedOrder::verify(&world.cluster, &refresh).unwrap();
    let number = number.terms().unwrap().first_number;
    let request = quorate_ceremony::PrepareRequest {
        order: refresh.clone(),
        earlier: Vec::new(),
        number,
        descent: Some(Box::new(descent.clone())),
        scheduled: None,
    };
    let prepare = || {
        let items = [request.to_bytes()];
        let core = &world.nodes[0].core;
        crate::ceremonies::run(core, StepKind::Prepare, &items).unwrap().remove(0).outcome.unwrap()
    };
    let Answered::Fault(fault) = prepare() else { panic!("it prepares") };
    assert_eq!(fault.code, u32::from(EXPORTING));
    assert!(fault.message.contains("an export of this key is open"), "{}", fault.message);
    assert_eq!(quorate_ceremony::Advice::of(EXPORTING), quorate_ceremony::Advice::Stop);
    // A use goes on; and another key's shares move.
    world.bring(0, &world.ask()).unwrap();
    let other = quorate_ceremony::Subject { key: "other".parse().unwrap(), ..subject() };
    assert!(exports::admits(&world.nodes[0].core, &other).is_ok());
    // Once the order's life is over, shares move again.
    world.clock.pass(Millis::DAY + 1);
    let mut late = Order::from_bytes(&refresh.0.body).unwrap();
    (late.issued_at, late.expires_at) =
        (Millis(START + Millis::DAY), Millis(START + 2 * Millis::DAY));
    let late = world.signed(late, &[101, 103]);
    let moved = world.move_shares(&late, descent, |_| {});
    assert_eq!(moved.certificate.public.epoch.number, number);
}

#[test]
fn an_export_that_is_over_or_closed_seals_nothing() {
    let glass = Glass::new();
    let (order, world) = (glass.order(), &glass.world);
    glass.share(0, &order).unwrap();
    let hash = VerifiedOrder::verify(&world.cluster, &order).unwrap().hash();
    let close = world.signed(glass.draft(ExportStep::Close { order: hash }), &[102, 103]);
    // Node 2 hears that it is closed before it hears that it was open.
    for i in [0, 1] {
        orders::submit(&world.nodes[i].core, &close.to_bytes()).unwrap();
        let fault = glass.share(i, &order).unwrap_err();
        assert_eq!(fault.kind, FaultKind::FailedPrecondition);
        assert!(fault.message.contains("this export is over"), "{fault}");
        assert!(exports::admits(&world.nodes[i].core, &subject()).is_ok());
        let found = views::get_key(&world.nodes[i].core, KEY, 0).unwrap();
        assert_eq!(found.exports, [order.to_bytes()], "it is known for ever all the same");
    }
    let fault = glass.share(0, &close).unwrap_err();
    assert!(fault.message.contains("closes an export"), "{fault}");
    // At node 3 it is open until its life is over.
    glass.share(2, &order).unwrap();
    world.clock.pass(Millis::DAY + 1);
    let fault = glass.share(2, &order).unwrap_err();
    assert_eq!((fault.kind, glass.exported(2)), (FaultKind::FailedPrecondition, 1));
    assert!(exports::admits(&world.nodes[2].core, &subject()).is_ok());
}

/// An order that was signed and held back does not come to life after what came since.
#[test]
fn an_old_export_order_is_not_brought_back_under_another_epoch() {
    let glass = Glass::new();
    let (order, world) = (glass.order(), &glass.world);
    let refresh = world.refresh_order(&glass.birth, &glass.birth.order);
    let descent = Descent { birth: glass.birth.clone(), newest: None };
    let moved = world.move_shares(&refresh, descent, |_| {});
    for i in 0..3 {
        let fault = glass.share(i, &order).unwrap_err();
        assert_eq!(fault.kind, FaultKind::FailedPrecondition);
        assert!(fault.message.contains("newest order of the key's chain"), "{fault}");
    }
    // A new one is about the epoch that is in force now.
    let sealed = glass.share(0, &glass.order()).unwrap();
    assert_eq!(sealed.scope.epoch, moved.certificate.public.epoch);
    // One that expired before it was applied neither.
    let late = glass.draft(glass.open());
    let late = world.signed(Order { nonce: [4; 32], ..late }, &[101, 103]);
    world.clock.pass(Millis::DAY + 1);
    assert_eq!(glass.share(1, &late).unwrap_err().kind, FaultKind::FailedPrecondition);
}

#[test]
fn a_node_in_quarantine_or_without_a_share_seals_nothing() {
    let mut glass = Glass::new();
    let order = glass.order();
    glass.world.start_again(0, LIMITS);
    assert_eq!(glass.share(0, &order).unwrap_err().kind, FaultKind::Quarantined);
    glass.world.acquaint(0);
    glass.share(0, &order).unwrap();
    // A node that never heard of the key has nothing to seal.
    let world = World::empty();
    let create = world.create(KEY, 1, Hash::default());
    orders::submit(&world.nodes[0].core, &create.to_bytes()).unwrap();
    let unborn = Glass { world, ..Glass::new() };
    let fault = unborn.share(0, &unborn.order()).unwrap_err();
    assert!(fault.message.contains("no record of the key version"), "{fault}");
}

/// What was sealed goes with the key, and an export that nodes have seen opens nothing any more.
#[test]
fn nothing_is_exported_of_a_key_that_is_destroyed() {
    let glass = Glass::new();
    let order = glass.order();
    glass.share(0, &order).unwrap();
    let node = &glass.world.nodes[0];
    let sealed = || {
        let records = node.store.scan(Tree::Records, b"e", None, 100).unwrap();
        records.iter().filter(|(_, bytes)| SealedShare::from_bytes(bytes).is_ok()).count()
    };
    assert_eq!(sealed(), 1);

    let at = glass.world.clock.now().wall.plus(7 * Millis::DAY);
    let mut state = SetKeyState::initial(KEY.parse().unwrap());
    (state.revision, state.deletion) = (1, Some(at));
    let mut deletion = glass.world.order(Action::SetKeyState(state), Hash::default());
    deletion.issued_at = glass.world.clock.now().wall;
    deletion.expires_at = deletion.issued_at.plus(30 * Millis::DAY);
    let deletion = glass.world.signed(deletion, &[101, 102]);
    orders::submit(&node.core, &deletion.to_bytes()).unwrap();
    // An open export and a deletion that waits do not take each other for something else.
    destroy::sweep(&node.core).unwrap();
    assert_eq!(sealed(), 1);
    glass.world.clock.jump_to(at.0);
    destroy::sweep(&node.core).unwrap();
    assert_eq!(sealed(), 0);

    let mut again = glass.draft(glass.open());
    (again.issued_at, again.expires_at) = (at, at.plus(Millis::DAY));
    for order in [order, glass.world.signed(again, &[101, 103])] {
        let refused = glass.share(0, &order).unwrap_err();
        assert!(refused.message.contains("nothing brings it back"), "{refused}");
    }
}

/// Node 1 joined under roster 2, which operator 101 has left.
fn newcomer(world: &World) -> TestNode {
    let mut roster = world.cluster.roster().clone();
    (roster.version, roster.previous) = (2, world.cluster.roster_hash());
    roster.nodes[0].identity = public(9);
    roster.operators[0].key = public(110);
    let mut signed = Signed::unsigned(roster.to_bytes());
    for n in [101, 102] {
        signed.sign(&key(n), Label::SIG_ROSTER, world.cluster.fingerprint());
    }
    let longer = world.cluster.extended(&[SignedRoster(signed)]).unwrap().unwrap();
    world.join(&longer, 9)
}

/// They name the roster of their time, and a head that everybody can read.
#[test]
fn operators_who_have_left_export_nothing_from_a_node_that_joined_since() {
    let glass = Glass::new();
    let world = &glass.world;
    let joined = newcomer(world);
    orders::submit(&joined.core, &glass.birth.order.to_bytes()).unwrap();
    world.clock.pass(90 * Millis::DAY);
    let now = world.clock.now().wall;
    let mut draft = glass.draft(glass.open());
    (draft.issued_at, draft.expires_at) = (now, now.plus(29 * Millis::DAY));
    let left = world.signed(draft.clone(), &[101, 103]);
    let refused = orders::submit(&joined.core, &left.to_bytes()).unwrap_err();
    assert!(refused.message.contains("newest known here is 2"), "{refused}");
    // Nor do those who stayed, under a roster that is not the newest: it is kept, and opens nothing.
    let stayed = world.signed(draft, &[102, 103]);
    orders::submit(&joined.core, &stayed.to_bytes()).unwrap();
    assert!(exports::admits(&joined.core, &subject()).is_ok());
    let over = exports::share(&joined.core, &stayed.to_bytes()).unwrap_err();
    assert!(over.message.contains("this export is over"), "{over}");
}

/// They say that the newest order fell in a fork against one that nobody has seen.
#[test]
fn operators_who_have_left_cut_no_chain_of_a_node_that_joined_since() {
    let world = World::with_key();
    let joined = newcomer(&world);
    let real = world.add(50);
    orders::submit(&joined.core, &real.signed().to_bytes()).unwrap();
    let fork = ResolveFork { chain: ChainId::Policy, stays: Hash([8; 32]), falls: real.hash() };
    let now = world.clock.now().wall;
    let mut cut = world.order(Action::ResolveFork(fork), Hash([8; 32]));
    (cut.issued_at, cut.expires_at) = (now, now.plus(Millis::DAY));
    let refused = orders::submit(&joined.core, &world.signed(cut, &[101, 103]).to_bytes());
    assert!(refused.unwrap_err().message.contains("newest known here is 2"));
    assert!(joined.core.clients.standing(&public(50)).is_some());
}

#[test]
fn a_node_in_quarantine_or_of_a_disabled_key_gives_nothing_that_it_sealed_before() {
    let mut glass = Glass::new();
    let order = glass.order();
    let sealed = glass.share(0, &order).unwrap();
    assert_eq!(glass.share(0, &order).unwrap(), sealed);
    let mut state = SetKeyState { revision: 1, ..SetKeyState::initial(subject().key) };
    state.disabled = Disabled::All;
    let disabled = glass.world.order(Action::SetKeyState(state.clone()), Hash::default());
    let disabled = glass.world.signed(disabled, &[101, 102]).to_bytes();
    orders::submit(&glass.world.nodes[0].core, &disabled).unwrap();
    let refused = glass.share(0, &order).unwrap_err();
    assert!(refused.message.contains("disabled"), "{refused}");
    (state.revision, state.disabled) = (2, Disabled::Versions(Vec::new()));
    let enabled = glass.world.order(Action::SetKeyState(state), Hash::default());
    let enabled = glass.world.signed(enabled, &[101, 102]).to_bytes();
    orders::submit(&glass.world.nodes[0].core, &enabled).unwrap();
    assert_eq!(glass.share(0, &order).unwrap(), sealed);
    glass.world.start_again(0, LIMITS);
    assert!(glass.share(0, &order).unwrap_err().message.contains("quarantine"));
}

#[test]
fn an_export_is_closed_as_the_version_that_it_opened_whatever_was_ordered_since() {
    let glass = Glass::new();
    let (world, order) = (&glass.world, glass.order());
    glass.share(0, &order).unwrap();
    let left = || world.nodes[0].store.scan(Tree::Records, b"e", None, 100).unwrap().len();
    let hash = VerifiedOrder::verify(&world.cluster, &order).unwrap().hash();
    let mut draft = glass.draft(ExportStep::Close { order: hash });
    // Its signers have seen no newer head, or another one than this node.
    draft.predecessor = Hash([5; 32]);
    let mut other = draft.clone();
    let Action::ExportKey(export) = &mut other.action else { unreachable!() };
    export.version = KeyVersion::new(2).unwrap();
    let submit = |order: &Order| {
        let signed = world.signed(order.clone(), &[102, 103]);
        orders::submit(&world.nodes[0].core, &signed.to_bytes())
    };
    let refused = submit(&other).unwrap_err();
    assert!(refused.message.contains("version 1: close it as that"), "{refused}");
    assert_eq!(left(), 1);
    submit(&draft).unwrap();
    assert_eq!(left(), 0);
}

#[test]
fn what_was_sealed_goes_when_the_orders_life_is_over() {
    let glass = Glass::new();
    let (world, order) = (&glass.world, glass.order());
    glass.share(0, &order).unwrap();
    let left = || world.nodes[0].store.scan(Tree::Records, b"e", None, 100).unwrap().len();
    crate::destroy::sweep(&world.nodes[0].core).unwrap();
    assert_eq!(left(), 1);
    world.clock.pass(31 * Millis::DAY);
    crate::destroy::sweep(&world.nodes[0].core).unwrap();
    assert_eq!(left(), 0);
}
