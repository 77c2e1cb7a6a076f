//! Quarantine at start: what ends it, what never does, and what is not counted.

use super::fixture::*;
use crate::{
    ceremonies, life,
    quarantine::{self, Standing},
    requests::Reply,
    rosters, views, witness,
};
use quorate_ceremony::{PrepareRequest, StepKind, SurveyRequest, fault};
use quorate_crypto::hash::Label;
use quorate_rpc::{FaultKind, v1::step_result::Outcome};
use quorate_store::Store;
use quorate_types::*;
use std::sync::atomic::Ordering;

fn told(node: &TestNode) -> usize {
    node.core.quarantine.told().len()
}

fn hear(node: &TestNode, words: &[Vec<u8>]) {
    quarantine::hear(&node.core, words).unwrap();
}

fn is_behind(node: &TestNode) -> Option<Split> {
    node.core.quarantine.behind().map(|b| b.split())
}

/// What the node says to a request for its share: nothing, and why.
fn held(world: &World, i: usize) -> String {
    let (uses, log) = (world.nodes[i].uses(), world.nodes[i].audit().len());
    let fault = world.bring(i, &world.ask()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Quarantined, "{fault}");
    assert_eq!((world.nodes[i].uses(), world.nodes[i].audit().len()), (uses, log));
    fault.message
}

fn answers(world: &World, i: usize) -> bool {
    matches!(world.bring(i, &world.ask()), Ok(Reply::Sealed(..)))
}

fn step(node: &TestNode, kind: StepKind, item: Vec<u8>) -> Result<(), (u32, String)> {
    let result = ceremonies::run(&node.core, kind, &[item]).unwrap().remove(0);
    match result.outcome.unwrap() {
        Outcome::Done(_) => Ok(()),
        Outcome::Fault(fault) => Err((fault.code, fault.message)),
    }
}

fn prepare(world: &World, threshold: u16) -> Vec<u8> {
    let order = world.create_for(threshold, &format!("of-{threshold}"), 1, Hash::default());
    PrepareRequest { order, earlier: Vec::new(), number: 1, descent: None, scheduled: None }
        .to_bytes()
}

/// Shows the others what a node states at this moment.
fn show(world: &World, i: usize, live: &TestNode) {
    let checkpoint = life::checkpoint(&live.core).to_bytes();
    for (_, other) in world.nodes.iter().enumerate().filter(|(other, _)| *other != i) {
        witness::tell(&other.core, &checkpoint).unwrap();
    }
}

#[test]
fn a_process_uses_nothing_until_a_peer_has_told_what_it_last_saw() {
    let mut world = World::with_key();
    world.start_again(0, LIMITS);
    let node = &world.nodes[0];
    assert_eq!((node.core.state(), node.core.is_well()), ("quarantined", true));
    let text = held(&world, 0);
    assert!(text.contains("0 of 1 peers"), "{text}");
    let health = views::health(&node.core);
    assert_eq!(health.quarantine, "waiting");
    assert!(health.detail.contains("0 of 1 peers"), "{}", health.detail);
    // It prepares nothing, and shows what it has.
    let (code, text) = step(node, StepKind::Prepare, prepare(&world, 2)).unwrap_err();
    assert_eq!(code, u32::from(fault::QUARANTINED), "{text}");
    let key = KEY.parse().unwrap();
    let survey = SurveyRequest { key, version: KeyVersion::FIRST, bundle: 0 }.to_bytes();
    step(node, StepKind::Survey, survey).unwrap();
    views::get_key(&node.core, KEY, 0).unwrap();

    hear(node, &world.words(0)[..1]);
    assert_eq!((told(node), node.core.state()), (1, "serving"));
    assert!(answers(&world, 0));
    step(node, StepKind::Prepare, prepare(&world, 2)).unwrap();
}

#[test]
fn a_key_of_three_waits_for_two() {
    let mut world = World::with_key();
    world.give_birth(&world.create_for(3, "greater", 1, Hash::default()));
    world.start_again(0, LIMITS);
    let node = &world.nodes[0];
    let words = world.words(0);
    hear(node, &words[..1]);
    // One is enough for the other key, and not for this one.
    assert!(answers(&world, 0));
    let standing = quarantine::standing(&node.core);
    assert_eq!(standing, Standing::Waiting { told: 1, needed: 2 });
    let (code, text) = step(node, StepKind::Prepare, prepare(&world, 3)).unwrap_err();
    assert_eq!(code, u32::from(fault::QUARANTINED));
    assert!(text.contains("1 of 2 peers"), "{text}");
    // The same one again is still one.
    hear(node, &[words[0].clone(), words[0].clone()]);
    step(node, StepKind::Prepare, prepare(&world, 3)).unwrap_err();
    hear(node, &words[1..]);
    assert_eq!(quarantine::standing(&node.core), Standing::Free);
    step(node, StepKind::Prepare, prepare(&world, 3)).unwrap();
}

#[test]
fn a_whole_cluster_that_starts_at_once_lets_one_another_go() {
    let mut world = World::with_key();
    (0..3).for_each(|i| world.start_again(i, LIMITS));
    for i in 0..3 {
        held(&world, i);
    }
    (0..3).for_each(|i| world.acquaint(i));
    for i in 0..3 {
        assert!(answers(&world, i));
    }
}

#[test]
fn words_that_do_not_count() {
    let mut world = World::with_key();
    let earlier = world.words(0);
    world.start_again(0, LIMITS);
    let node = &world.nodes[0];
    let cluster = *world.cluster.fingerprint();
    let good = SignedWitness::from_bytes(&world.words(0)[0]).unwrap().witness;
    let signed = |w: &Witness, n: u8| SignedWitness::sign(w.clone(), &cluster, &key(n)).to_bytes();
    let index = |i| NodeIndex::new(i).unwrap();
    let mine = life::checkpoint(&node.core);
    let of = |n: u8| SignedCheckpoint::sign(mine.checkpoint.clone(), &cluster, &key(n));
    let seen = |c| Some(Sighting::first(c));
    let mut own = signed(&good, 2);
    own[7] = 1; // its own index; the codec refuses it before the signature would

    for (what, word) in [
        ("of another process", earlier[0].clone()),
        ("forged", signed(&good, 3)),
        ("by the node itself in another's name", signed(&good, 1)),
        ("its own", own),
        ("for another cluster", {
            let other = Fingerprint([1; 32]);
            SignedWitness::sign(good.clone(), &other, &key(2)).to_bytes()
        }),
        ("about another node", signed(&Witness { about: index(3), seen: None, ..good.clone() }, 2)),
        ("of no node of the roster", signed(&Witness { witness: index(9), ..good.clone() }, 9)),
        (
            "with what the node has not signed",
            signed(&Witness { seen: seen(of(2)), ..good.clone() }, 2),
        ),
        ("rubbish", b"rubbish".to_vec()),
    ] {
        hear(node, &[word]);
        assert_eq!(told(node), 0, "{what}");
        assert_eq!(is_behind(node), None, "{what}");
        held(&world, 0);
    }
    let many = vec![signed(&good, 2); 129];
    let fault = quarantine::hear(&node.core, &many).unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidArgument);
    hear(node, &[signed(&good, 2)]);
    assert!(answers(&world, 0));
}

#[test]
fn a_node_that_was_rolled_back_is_told_so_and_never_answers_again() {
    let mut world = World::with_key();
    let image = world.nodes[0].store.image();
    // What it does afterwards: a use, and a start.
    assert!(answers(&world, 0));
    world.clock.pass(1000);
    world.restart(0, LIMITS);
    assert!(answers(&world, 0));
    let seen = life::checkpoint(&world.nodes[0].core).checkpoint.extent;
    show(&world, 0, &world.nodes[0]);

    world.clock.pass(1000);
    world.nodes[0] = world.start_on(0, image, LIMITS);
    held(&world, 0);
    world.acquaint(0);
    let node = &world.nodes[0];
    assert_eq!(is_behind(node), Some(Split::OldImage));
    assert_eq!((node.core.state(), node.core.is_well()), ("quarantined", false));
    let text = held(&world, 0);
    let here = life::checkpoint(&node.core).checkpoint;
    assert!(text.contains("an older disk image"), "{text}");
    let numbers = format!("node-2 has seen {} (log {})", seen.sequence, seen.length);
    assert!(text.contains(&numbers) && text.contains("cluster replace 1"), "{text}");
    assert!(here.extent.length < seen.length, "{here:?}");
    assert_eq!(views::health(&node.core).quarantine, "rolled_back");
    let (code, _) = step(node, StepKind::Prepare, prepare(&world, 2)).unwrap_err();
    assert_eq!(code, u32::from(fault::QUARANTINED));
    let alarms = node.audit().into_iter().filter(|e| matches!(e.event, Event::Split { .. }));
    assert_eq!(alarms.count(), 1);
    // Not after another start either, whether anybody tells it or not.
    world.start_again(0, LIMITS);
    assert!(held(&world, 0).contains(&numbers));
    world.acquaint(0);
    assert!(held(&world, 0).contains(&numbers));
}

/// Each way in which a checkpoint that the node itself has signed can be ahead of it.
#[test]
fn whatever_is_ahead_of_the_node_keeps_it_in_quarantine() {
    type Change = fn(&mut Checkpoint);
    let cases: [(&str, Change); 5] = [
        ("sequence", |c| {
            c.boots -= 1;
            c.boot = BootId([7; 16]);
            c.extent.sequence = c.began.sequence + 1;
        }),
        ("log", |c| {
            c.boots -= 1;
            c.extent.length = c.began.length + 1;
        }),
        ("boots", |c| c.boots += 1),
        ("same boots, another process", |c| c.boot = BootId([7; 16])),
        ("same process, further", |c| {
            c.extent.sequence += 1000;
            c.extent.length += 1000;
        }),
    ];
    for (what, change) in cases {
        let mut world = World::with_key();
        world.restart(0, LIMITS);
        world.start_again(0, LIMITS);
        let mut ahead = life::checkpoint(&world.nodes[0].core).checkpoint;
        change(&mut ahead);
        let signed = SignedCheckpoint::sign(ahead, world.cluster.fingerprint(), &key(1));
        // One of two peers has seen it; the other one's word is good.
        let good = world.words(0);
        witness::tell(&world.nodes[2].core, &signed.to_bytes()).unwrap();
        let shown = world.words(0);
        hear(&world.nodes[0], &[good[0].clone()]);
        assert!(answers(&world, 0), "{what}");
        hear(&world.nodes[0], &shown[1..]);
        assert!(is_behind(&world.nodes[0]).is_some(), "{what}");
        held(&world, 0);
    }
}

/// Started again and again without anybody to tell it, an old image's numbers pass those
/// that peers have seen. Its own record of its starts shows it all the same.
#[test]
fn an_old_image_is_found_however_often_it_has_started() {
    for same_process in [true, false] {
        let mut world = World::with_key();
        let image = world.nodes[0].store.image();
        if !same_process {
            world.restart(0, LIMITS);
        }
        assert!(answers(&world, 0));
        show(&world, 0, &world.nodes[0]);
        let seen = life::checkpoint(&world.nodes[0].core).checkpoint;
        world.nodes[0] = world.start_on(0, image, LIMITS);
        for _ in 0..40 {
            world.nodes[0].core.log(Event::Started).unwrap();
            world.start_again(0, LIMITS);
        }
        let here = life::checkpoint(&world.nodes[0].core).checkpoint;
        assert!(here.boots > seen.boots && !seen.extent.exceeds(&here.began));
        assert!(!here.contradicts(&seen), "the numbers alone do not show it");
        world.acquaint(0);
        assert!(is_behind(&world.nodes[0]).is_some(), "{same_process}");
        held(&world, 0);
    }
}

#[test]
fn two_processes_of_one_identity_end_in_quarantine_both_and_peers_raise_the_alarm() {
    let world = World::with_key();
    let clone = world.start_on(0, world.nodes[0].store.image(), LIMITS);
    world.clock.pass(1000);
    // Nothing has happened since the copy: to its peers the clone is the next start.
    let checkpoint = life::checkpoint(&clone.core).to_bytes();
    let tell = |of: &TestNode, i: usize| {
        let checkpoint = life::checkpoint(&of.core).to_bytes();
        witness::tell(&world.nodes[i].core, &checkpoint).unwrap()
    };
    let words: Vec<_> =
        (1..3).map(|i| witness::tell(&world.nodes[i].core, &checkpoint).unwrap()).collect();
    hear(&clone, &words);
    assert_eq!(is_behind(&clone), None);
    // The first one lives, and is told that a later start exists.
    world.clock.pass(1000);
    hear(&world.nodes[0], &[tell(&world.nodes[0], 1)]);
    assert_eq!(is_behind(&world.nodes[0]), Some(Split::TwoProcesses));
    assert!(held(&world, 0).contains("two processes run under this identity"));
    assert_eq!(views::health(&world.nodes[0].core).quarantine, "cloned");
    // Its own alarm stands in its log, which is further than the clone began: a proof.
    let alarms = |i: usize| {
        let all = world.nodes[i].audit().into_iter();
        all.filter(|e| matches!(e.event, Event::Split { split: Split::TwoProcesses, .. })).count()
    };
    assert_eq!(alarms(1), 0);
    let word = tell(&world.nodes[0], 1);
    assert_eq!(alarms(1), 1);
    let seen = SignedWitness::from_bytes(&word).unwrap().witness.seen.unwrap();
    assert_eq!(seen.split(), Some(Split::TwoProcesses), "the proof is told at once");
    tell(&world.nodes[0], 1);
    assert_eq!(alarms(1), 1, "once");
    // And so the clone is told.
    hear(&clone, &[tell(&clone, 1)]);
    assert_eq!(is_behind(&clone), Some(Split::TwoProcesses));
}

#[test]
fn honest_starts_raise_no_alarm_and_what_is_known_is_not_written_again() {
    let mut world = World::with_key();
    let old = life::checkpoint(&world.nodes[0].core).to_bytes();
    for _ in 0..20 {
        world.clock.pass(1000);
        assert!(answers(&world, 0));
        world.restart(0, LIMITS);
    }
    let node = &world.nodes[1];
    let commits = |n: &TestNode| n.store.commits.load(Ordering::SeqCst);
    let shown = life::checkpoint(&world.nodes[0].core).to_bytes();
    witness::tell(&node.core, &shown).unwrap();
    let before = (commits(node), node.store.audit_head());
    for checkpoint in [&shown, &old, &shown] {
        let word = witness::tell(&node.core, checkpoint).unwrap();
        let seen = SignedWitness::from_bytes(&word).unwrap().witness.seen.unwrap();
        assert_eq!(seen.split(), None);
    }
    assert_eq!((commits(node), node.store.audit_head()), before);
    for node in &world.nodes {
        assert_eq!(is_behind(node), None);
    }
}

#[test]
fn what_was_seen_outlives_a_peers_start_and_only_signed_checkpoints_of_nodes_are_taken() {
    let mut world = World::with_key();
    let image = world.nodes[0].store.image();
    assert!(answers(&world, 0));
    show(&world, 0, &world.nodes[0]);
    world.restart(1, LIMITS);
    world.nodes[0] = world.start_on(0, image, LIMITS);
    let words = world.words(0);
    hear(&world.nodes[0], &words[..1]);
    assert!(is_behind(&world.nodes[0]).is_some());

    let cluster = *world.cluster.fingerprint();
    let state = life::checkpoint(&world.nodes[2].core).checkpoint;
    let of = |i| Checkpoint { node: NodeIndex::new(i).unwrap(), ..state.clone() };
    for (what, checkpoint) in [
        ("forged", SignedCheckpoint::sign(of(3), &cluster, &key(1))),
        ("for another cluster", SignedCheckpoint::sign(of(3), &Fingerprint([1; 32]), &key(3))),
        ("of no node", SignedCheckpoint::sign(of(9), &cluster, &key(9))),
        ("of the peer itself", SignedCheckpoint::sign(of(2), &cluster, &key(2))),
    ] {
        let fault = witness::tell(&world.nodes[1].core, &checkpoint.to_bytes()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidArgument, "{what}");
    }
}

#[test]
fn a_word_is_durable_before_it_is_given() {
    let world = World::with_key();
    assert!(answers(&world, 0));
    let checkpoint = life::checkpoint(&world.nodes[0].core).to_bytes();
    world.nodes[1].store.refuse_commit.store(true, Ordering::SeqCst);
    let fault = witness::tell(&world.nodes[1].core, &checkpoint).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
}

#[test]
fn what_cannot_be_written_down_holds_in_this_process() {
    let mut world = World::with_key();
    let image = world.nodes[0].store.image();
    assert!(answers(&world, 0));
    show(&world, 0, &world.nodes[0]);
    world.nodes[0] = world.start_on(0, image, LIMITS);
    world.nodes[0].store.refuse_commit.store(true, Ordering::SeqCst);
    let words = world.words(0);
    assert!(quarantine::hear(&world.nodes[0].core, &words).is_err());
    held(&world, 0);
    hear(&world.nodes[0], &words);
    held(&world, 0);
}

/// Whoever takes a node's place begins anew: what was seen of the former identity is not
/// held against it.
#[test]
fn a_new_identity_at_the_same_index_is_another_node() {
    let world = World::with_key();
    assert!(answers(&world, 0));
    show(&world, 0, &world.nodes[0]);
    let mut roster = world.cluster.roster().clone();
    roster.version += 1;
    roster.previous = world.cluster.roster_hash();
    roster.nodes[0].identity = public(9);
    let mut signed = Signed::unsigned(roster.to_bytes());
    for n in [101, 102] {
        signed.sign(&key(n), Label::SIG_ROSTER, world.cluster.fingerprint());
    }
    let longer = SignedRoster(signed);
    for node in &world.nodes {
        rosters::put(&node.core, &[longer.to_bytes()]).unwrap();
    }
    let cluster = world.nodes[1].core.cluster();
    let new = world.join(&cluster, 9);
    let checkpoint = life::checkpoint(&new.core).to_bytes();
    let words: Vec<_> =
        (1..3).map(|i| witness::tell(&world.nodes[i].core, &checkpoint).unwrap()).collect();
    hear(&new, &words);
    assert_eq!((told(&new), is_behind(&new)), (2, None));
    assert_eq!(new.core.state(), "serving");
    // The old one's words are not counted any more, nor is it told anything.
    let old = life::checkpoint(&world.nodes[0].core).to_bytes();
    witness::tell(&world.nodes[1].core, &old).unwrap_err();
}
