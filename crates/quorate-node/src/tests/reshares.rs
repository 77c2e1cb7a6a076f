//! Shares that move, at running nodes.

use crate::{
    requests::Reply,
    tests::fixture::{KEY, World},
};
use quorate_ceremony::{Descent, StepKind};
use quorate_rpc::FaultKind;
use quorate_store::Tree;
use quorate_types::{Action, Format, KeyRecord, KeyVersion, Order, SealedAnswer, SignedOrder};

fn descent(birth: &KeyRecord, newest: Option<&KeyRecord>) -> Descent {
    Descent { birth: birth.clone(), newest: newest.cloned() }
}

fn epochs(reply: &Reply) -> Vec<u64> {
    let Reply::Sealed(first, also) = reply else { panic!("refused: {reply:?}") };
    let epoch = |bytes: &Vec<u8>| SealedAnswer::from_bytes(bytes).unwrap().epoch.number;
    std::iter::once(first).chain(also).map(epoch).collect()
}

fn born() -> (World, KeyRecord, SignedOrder) {
    let world = World::with_key();
    let record = world.record().clone();
    let order = record.order.clone();
    (world, record, order)
}

#[test]
fn both_epochs_answer_until_the_old_one_is_retired() {
    let (world, birth, order) = born();
    let refresh = world.refresh_order(&birth, &order);
    let mut while_active = Vec::new();
    let moved = world.move_shares(&refresh, descent(&birth, None), |ticket| {
        if ticket.step == StepKind::Retire && while_active.is_empty() {
            while_active = epochs(&world.bring(0, &world.ask()).unwrap());
        }
    });
    let number = moved.certificate.public.epoch.number;
    assert_eq!(while_active, [1, number]);
    for node in 0..3 {
        assert_eq!(epochs(&world.bring(node, &world.ask()).unwrap()), [number]);
    }
}

#[test]
fn the_epoch_in_force_outlives_a_restart_and_the_old_secrets_do_not() {
    let (mut world, birth, order) = born();
    let refresh = world.refresh_order(&birth, &order);
    let moved = world.move_shares(&refresh, descent(&birth, None), |_| {});
    let again = world.refresh_order(&birth, &refresh);
    let newest = world.move_shares(&again, descent(&birth, Some(&moved)), |_| {});
    world.restart(1, crate::tests::fixture::LIMITS);
    let number = newest.certificate.public.epoch.number;
    assert_eq!(epochs(&world.bring(1, &world.ask()).unwrap()), [number]);
    let store = &*world.nodes[1].core.store;
    // The ceremony key and the share of one epoch, and nothing else.
    assert_eq!(store.scan(Tree::Secrets, &[], None, 100).unwrap().len(), 2);
    let found = crate::views::get_key(&world.nodes[1].core, KEY, 0).unwrap();
    assert_eq!(KeyRecord::from_bytes(&found.record).unwrap(), birth);
    assert_eq!(KeyRecord::from_bytes(&found.newest).unwrap(), newest);
}

#[test]
fn a_grant_goes_on_in_every_epoch() {
    let (world, birth, order) = born();
    let refresh = world.refresh_order(&birth, &order);
    world.move_shares(&refresh, descent(&birth, None), |_| {});
    let mut ask = world.ask();
    ask.head.client = crate::tests::fixture::public(51);
    ask.signer = 51;
    // A stranger is still refused, and the client is not.
    assert!(matches!(world.bring(0, &ask), Ok(Reply::Refused(..))));
    assert!(matches!(world.bring(0, &world.ask()), Ok(Reply::Sealed(..))));
    let name = KEY.parse().unwrap();
    let core = &world.nodes[0].core;
    let key = crate::records::load_key(core, &name, KeyVersion::FIRST).unwrap().unwrap();
    assert_eq!(key.shares().len(), 1);
}

/// It would move nothing, and stand in the way of the next one.
#[test]
fn an_order_about_another_public_key_takes_no_place_in_the_chain() {
    let (world, birth, order) = born();
    let refresh = world.refresh_order(&birth, &order);
    let mut other = Order::from_bytes(&refresh.0.body).unwrap();
    let Action::Reshare(to) = &mut other.action else { panic!("it moves shares") };
    to.public_key = birth.certificate.public.commitments[1];
    let other = world.signed(other, &[101, 103]);
    let core = &world.nodes[0].core;
    let before = crate::orders::heads(core, KEY).unwrap();
    let fault = crate::orders::submit(core, &other.to_bytes()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidArgument);
    assert!(fault.to_string().contains("another public key"), "{fault}");
    assert_eq!(crate::orders::heads(core, KEY).unwrap(), before);
    crate::orders::submit(core, &refresh.to_bytes()).unwrap();
}
