//! The fuzzer reaches what it is to try.

use super::*;
use quorate_ceremony::Forgery;

const HONEST: u8 = 0;
const OTHER_LIST: u8 = 5;
const OTHER_BUNDLE: u8 = 10;
const STOLEN: u8 = 15;
const STOLEN_LATER: u8 = 20;
const OTHER_NUMBER: u8 = 25;
const NEXT_ORDER: u8 = 30;
const FORK: u8 = 35;
const CHEATED: u8 = 40;

/// Sends messages of the script as they are.
fn send(member: &mut Member, messages: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut last = None;
    for at in messages {
        let (step, bytes) = SCRIPT.message(*at);
        last = member.gets(*step, bytes, false);
    }
    last.unwrap()
}

fn send_without_me(member: &mut Member, message: u8) -> Result<Vec<u8>, Fault> {
    let how = WITHOUT_ME;
    let (step, message) = Delivery { message, how, ..Delivery::default() }.message();
    member.gets(step, &message, false).unwrap()
}

fn state(member: &Member, number: u64) -> VersionState {
    member.disk.load(&crate::rig::subject(number))
}

#[test]
fn every_run_bears_its_key_alone() {
    for (run, number) in [
        (HONEST, 1),
        (OTHER_LIST, 1),
        (OTHER_BUNDLE, 1),
        (OTHER_NUMBER, 2),
        (NEXT_ORDER, 2000),
        (FORK, 1),
    ] {
        let mut member = Member::new();
        for message in run..run + 5 {
            assert!(send(&mut member, &[message]).is_ok(), "message {message}");
        }
        let state = state(&member, number);
        assert!(state.record.is_some());
        assert_eq!(state.standing.serves().next().unwrap().number, number);
    }
    runs().for_each(|input| run(&input));
}

#[test]
fn a_second_list_for_a_number_is_refused() {
    let mut member = Member::new();
    assert!(send(&mut member, &[HONEST, HONEST + 1]).is_ok());
    let fault = send(&mut member, &[OTHER_LIST + 1]).unwrap_err();
    assert!(matches!(&fault, Fault::NumberUsed { equivocators, .. } if equivocators.len() == 3));
}

#[test]
fn a_second_bundle_for_a_number_is_refused() {
    let mut member = Member::new();
    assert!(send(&mut member, &[HONEST, HONEST + 1, HONEST + 2]).is_ok());
    let fault = send(&mut member, &[OTHER_BUNDLE + 2]).unwrap_err();
    assert!(matches!(fault, Fault::NumberUsed { number: 1, .. }));
}

#[test]
fn a_stolen_identity_freezes_the_key() {
    let mut member = Member::new();
    let fault = send(&mut member, &[HONEST, STOLEN + 1]).unwrap_err();
    assert!(matches!(fault, Fault::Impersonated(f) if f.what == Forgery::CeremonyKey));
    assert_eq!(send(&mut member, &[HONEST + 1]), Err(Fault::Frozen));
    let mut member = Member::new();
    let fault = send(&mut member, &[HONEST, HONEST + 1, STOLEN_LATER + 2]).unwrap_err();
    assert!(matches!(fault, Fault::Impersonated(f) if f.what == Forgery::Dealing));
}

#[test]
fn a_cheated_member_complains() {
    let mut member = Member::new();
    let answer = send(&mut member, &[HONEST, HONEST + 1, CHEATED]).unwrap();
    assert!(matches!(decoded(&answer), ReceiveAnswer::Complaint(_)));
    assert!(send(&mut member, &[HONEST + 2]).is_err());
}

#[test]
fn an_epoch_is_certified_and_born_without_the_member() {
    let mut member = Member::new();
    let certified = send_without_me(&mut member, HONEST + 3).unwrap();
    assert!(matches!(decoded(&certified), ActivateAnswer::Noted));
    assert!(send_without_me(&mut member, HONEST + 4).is_ok());
    assert!(state(&member, 1).record.is_some());
}

/// Where a changed byte would only break a signature, a new signature makes it good.
#[test]
fn peers_and_operators_sign_what_was_changed() {
    let taken = |before: &[u8], message: u8, how: u8| {
        let length = SCRIPT.message(message).1.len();
        let taken = (0..length).step_by(5).filter(|at| {
            let mut member = Member::new();
            before.iter().for_each(|m| assert!(send(&mut member, &[*m]).is_ok()));
            let at = *at as u16;
            let delivery = Delivery { message, how, at, change: 1, ..Delivery::default() };
            let (step, bytes) = delivery.message();
            matches!(member.gets(step, &bytes, false), Some(Ok(_)))
        });
        taken.count()
    };
    for (before, message) in
        [(&[][..], HONEST), (&[HONEST], HONEST + 1), (&[], HONEST + 3), (&[], HONEST + 4)]
    {
        let signed = taken(before, message, CHANGED | WITHOUT_ME | SIGNED_ANEW);
        let unsigned = taken(before, message, CHANGED | WITHOUT_ME);
        assert!(signed > unsigned + 8, "message {message}: {signed} against {unsigned}");
    }
}
