//! One member of a genesis among hostile peers, operators and conductors: it is sent the messages of
//! several runs in any order, repeated, mixed, cut and changed, with new signatures of everybody but
//! itself, and is killed between doing a step and making it durable.
//!
//! After every message: nothing panicked and no alarm went off; the member has said nothing twice
//! in two ways; what it keeps comes back from its disk as it was, and is all that it has promised.

mod forge;
mod script;
#[cfg(test)]
mod tests;

use crate::{
    disk::Disk,
    rig::{START, index, key},
};
use quorate_ceremony::{
    ActivateAnswer, Attempt, Change, Fault, Me, PrepareReply, ReceiveAnswer, ReceiveRequest,
    Request, RetireAnswer, SignedDealing, Step, StepKind, Subject, VersionState, perform,
};
use quorate_crypto::{IdentityKey, sharing::Commitments};
use quorate_types::{Format, KeyName, KeyVersion};
use script::{Script, dice};
use std::{collections::BTreeMap, fmt::Debug, sync::LazyLock};

/// The member's index.
const ME: u16 = 1;

/// Two whole runs and some more: curve arithmetic is slow where every comparison is traced.
const MAX_MESSAGES: usize = 12;

static SCRIPT: LazyLock<Script> = LazyLock::new(Script::new);

/// Sends the messages that `data` says, as they are or meddled with; none if they are too many.
pub fn run(mut data: &[u8]) {
    let deliveries: Vec<_> =
        std::iter::from_fn(|| Delivery::next(&mut data)).take(MAX_MESSAGES + 1).collect();
    if deliveries.len() > MAX_MESSAGES {
        return;
    }
    let mut member = Member::new();
    for delivery in deliveries {
        let (step, message) = delivery.message();
        member.gets(step, &message, delivery.has(KILLED));
    }
}

/// Inputs to begin with: each recorded run alone, and two at once, step by step.
pub fn runs() -> impl Iterator<Item = Vec<u8>> {
    let run = |first: u8| 5 * first..5 * first + 5;
    let alone = (0..script::RUNS).map(move |a| run(a).collect());
    let pairs = (0..script::RUNS).flat_map(|a| (0..script::RUNS).map(move |b| (a, b)));
    let at_once = move |(a, b)| run(a).zip(run(b)).flat_map(|(a, b)| [a, b]).collect();
    alone.chain(pairs.filter(|(a, b)| a != b).map(at_once))
}

/// Which message arrives, and what has become of it on its way.
#[derive(Default)]
struct Delivery {
    message: u8,
    how: u8,
    other: u8,
    at: u16,
    change: u8,
}

/// In a delivery's first byte: five more say how it is meddled with. Without it one byte is one
/// message, so that a fuzzer that moves bytes about moves whole messages.
const MEDDLED: u8 = 128;

const CHANGED: u8 = 1;
const SPLICED: u8 = 2;
const SIGNED_ANEW: u8 = 4;
const WITHOUT_ME: u8 = 8;
const KILLED: u8 = 16;
const CUT: u8 = 32;

impl Delivery {
    fn next(data: &mut &[u8]) -> Option<Self> {
        let (first, rest) = data.split_first()?;
        *data = rest;
        let message = first % MEDDLED;
        if first & MEDDLED == 0 {
            return Some(Self { message, ..Self::default() });
        }
        let ([how, other, high, low, change], rest) = rest.split_first_chunk()?;
        *data = rest;
        let at = u16::from_be_bytes([*high, *low]);
        Some(Self { message, how: *how, other: *other, at, change: *change })
    }

    fn has(&self, flag: u8) -> bool {
        self.how & flag != 0
    }

    fn message(&self) -> (StepKind, Vec<u8>) {
        let (step, mut bytes) = SCRIPT.message(self.message).clone();
        let at = usize::from(self.at) % bytes.len();
        if self.has(SPLICED) {
            // Most messages of one step are equally long: the rest of another fits.
            let (_, other) = SCRIPT.message(self.other);
            bytes.truncate(at);
            bytes.extend_from_slice(other.get(at..).unwrap_or_default());
        }
        if self.has(CHANGED)
            && let Some(byte) = bytes.get_mut(at)
        {
            *byte ^= self.change;
        }
        if self.has(WITHOUT_ME)
            && let Some(without) = forge::without_me(step, &bytes)
        {
            bytes = without;
        }
        if self.has(SIGNED_ANEW)
            && let Some(forged) = forge::signed_anew(&SCRIPT, step, &bytes)
        {
            bytes = forged;
        }
        if self.has(CUT) {
            bytes.truncate(at);
        }
        (step, bytes)
    }
}

/// The member, and all that it has ever said.
struct Member {
    identity: IdentityKey,
    disk: Disk,
    said: BTreeMap<(StepKind, Subject), Vec<u8>>,
    active: BTreeMap<(KeyName, KeyVersion), [u8; 32]>,
}

impl Member {
    fn new() -> Self {
        Self {
            identity: key(ME as u8),
            disk: Disk::default(),
            said: BTreeMap::new(),
            active: BTreeMap::new(),
        }
    }

    /// What it answers, if the message is a request at all.
    fn gets(
        &mut self,
        step: StepKind,
        message: &[u8],
        killed: bool,
    ) -> Option<Result<Vec<u8>, Fault>> {
        let (subject, request) = Request::parse(step, message).ok()?;
        let me = Me { cluster: &SCRIPT.cluster, index: index(ME), identity: &self.identity };
        let before = self.disk.load(&subject);
        let mut rng = dice(ME, 0, step, subject.number);
        let done = perform(&me, &subject, &before, &request, START, &mut rng);
        invariant_refusals_change_nothing(&before, &done);
        invariant_changes_survive_the_disk(&done);
        if !killed {
            self.disk.apply(&done.persist);
            if let Ok(answer) = &done.send {
                self.invariant_says_one_thing(step, &subject, &request, answer);
            }
        }
        self.invariant_keeps_what_it_promised(&subject);
        Some(done.send)
    }

    /// One prepare answer, one dealing, one receipt or complaint for a number; one active
    /// signature for a version.
    fn invariant_says_one_thing(
        &mut self,
        step: StepKind,
        subject: &Subject,
        request: &Request,
        answer: &[u8],
    ) {
        match step {
            StepKind::Survey => {}
            StepKind::Prepare => match decoded(answer) {
                PrepareReply::Prepared(_) => self.says(step, subject, answer),
                PrepareReply::Certified(_) | PrepareReply::Born(_) | PrepareReply::Past(_) => {}
            },
            StepKind::Deal => {
                decoded::<SignedDealing>(answer);
                self.says(step, subject, answer);
            }
            StepKind::Receive => {
                decoded::<ReceiveAnswer>(answer);
                self.says(step, subject, answer);
            }
            StepKind::Activate => {
                if let (ActivateAnswer::Active(_), Request::Activate(request)) =
                    (decoded(answer), request)
                {
                    let public = &request.certificate.public;
                    let version = (subject.key.clone(), subject.version);
                    let first = self.active.entry(version).or_insert(*public.public_key());
                    assert_eq!(first, public.public_key(), "two public keys signed active");
                }
            }
            StepKind::Retire => {
                decoded::<RetireAnswer>(answer);
            }
        }
    }

    fn says(&mut self, step: StepKind, subject: &Subject, answer: &[u8]) {
        let first = self.said.entry((step, subject.clone())).or_insert_with(|| answer.to_vec());
        assert!(first == answer, "two answers to {step} for number {}", subject.number);
    }

    fn invariant_keeps_what_it_promised(&self, subject: &Subject) {
        let state = self.disk.load(subject);
        let live = state.standing.is_live(subject.number);
        let secrets = &state.secrets;
        assert_eq!(secrets.ceremony_key.is_some(), live);
        let undealt = matches!(state.attempt, Some(Attempt::ExpectPrepareList(_)));
        assert_eq!(secrets.polynomial.is_some(), live && undealt);

        let receipt = state.attempt.as_ref().and_then(Attempt::receipt);
        assert_eq!(secrets.share.is_some(), live && receipt.is_some());
        if let (Some(receipt), Some(share)) = (receipt, &secrets.share) {
            let public = &receipt.public;
            let threshold = public.committee.threshold();
            let commitments =
                Commitments::from_bytes(public.suite.group(), threshold, &public.commitments)
                    .expect("the member has verified its epoch");
            assert!(commitments.verify_share(index(ME), share), "the share is not the epoch's");
        }
        // What was sent is there, and has not been replaced.
        if let Some(said) = self.said.get(&(StepKind::Receive, subject.clone())) {
            match decoded(said) {
                ReceiveAnswer::Receipt(said) => assert_eq!(receipt, Some(&*said)),
                ReceiveAnswer::Complaint(_) => assert_eq!(receipt, None),
            }
        }
        if let Some(active) = self.active.get(&(subject.key.clone(), subject.version)) {
            let kept = state.standing.active.as_ref().map(|a| *a.certificate.public.public_key());
            assert_eq!(kept.as_ref(), Some(active));
        }
        for epoch in state.standing.serves() {
            let serving = self.disk.load(&Subject { number: epoch.number, ..subject.clone() });
            assert!(serving.secrets.share.is_some(), "it serves an epoch without a share");
            let serves = matches!(serving.attempt, Some(Attempt::Active(..)));
            assert!(serves, "it serves an epoch that it has not signed for");
        }
    }
}

/// A refusal leaves no trace, but for the freeze when somebody else has the member's identity;
/// a frozen key stays so; what cannot happen, does not.
fn invariant_refusals_change_nothing(before: &VersionState, done: &Step) {
    let changes = &done.persist.list;
    match &done.send {
        Ok(_) => assert!(before.frozen.is_none() && !done.audit.is_empty()),
        Err(Fault::Alarm(what)) => panic!("alarm: {what}"),
        Err(Fault::SecretMissing(what)) => panic!("alarm: the {what} is missing"),
        Err(Fault::Impersonated(_)) => {
            assert!(matches!(changes[..], [Change::Freeze(_)]) && before.frozen.is_none());
        }
        Err(fault) => {
            assert!(changes.is_empty() && done.audit.is_empty());
            assert_eq!(before.frozen.is_some(), *fault == Fault::Frozen);
        }
    }
}

fn invariant_changes_survive_the_disk(done: &Step) {
    for change in &done.persist.list {
        match change {
            Change::Head(order) => survives(order.signed()),
            Change::Attempt(_, attempt) => survives(&**attempt),
            Change::Bundle(_, bytes) => {
                decoded::<ReceiveRequest>(bytes);
            }
            Change::Standing(standing) => survives(&**standing),
            Change::Record(record) | Change::Newest(record) => survives(&**record),
            Change::Freeze(frozen) => survives(&**frozen),
            // `Disk::load` compares secrets itself.
            Change::Seal(..) | Change::Drop(..) | Change::Erase(_) | Change::Forget(_) => {}
        }
    }
}

fn survives<F: Format + PartialEq + Debug>(value: &F) {
    assert_eq!(F::from_bytes(&value.to_bytes()).as_ref(), Ok(value));
}

/// The member's own bytes, or bytes that it has taken.
fn decoded<F: Format>(bytes: &[u8]) -> F {
    let value = F::from_bytes(bytes).expect("a member takes and gives canonical bytes only");
    assert_eq!(value.to_bytes(), bytes);
    value
}
