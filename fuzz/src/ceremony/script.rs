//! The messages of several runs, recorded. Together no honest conductor would send them: the runs
//! exclude one another, and some need liars.

use super::ME;
use crate::rig::{World, certificate, committee, index, key, prepare_request, subject};
use quorate_ceremony::{
    ActivateAnswer, ActivateRequest, DealRequest, Plan, PrepareAnswer, PrepareList, PrepareReply,
    PrepareRequest, Receipt, ReceiveAnswer, ReceiveRequest, RetireRequest, SignedDealing, StepKind,
};
use quorate_crypto::{
    EncodedPoint, SecretScalar,
    dealing::{DealingParams, Receivers, deal},
    sharing::Polynomial,
};
use quorate_types::{Cluster, CreateKey, Format, KeyRecord, VerifiedOrder};
use rand::{SeedableRng, rngs::StdRng};
use std::sync::Arc;

/// 2 of 4 with q = 3: the smallest committee that can certify an epoch without the member.
const MEMBERS: u16 = 4;

/// Of five messages each. What comes after them belongs to the first.
pub(super) const RUNS: u8 = 8;

pub(super) struct Script {
    pub(super) cluster: Arc<Cluster>,
    pub(super) plans: Vec<Plan>,
    messages: Vec<(StepKind, Vec<u8>)>,
}

impl Script {
    pub(super) fn new() -> Self {
        let world = World::new();
        let small = |c: &mut CreateKey| {
            c.committee = committee(&[1, 2, 3, 4], 2);
            c.q = 3;
        };
        let order = world.order(small);
        let next = world.order_after(Some(&order), |c| {
            small(c);
            c.first_number = 2000;
        });
        let fork = world.order(|c| {
            small(c);
            c.acknowledge_fragile = true;
        });
        let with_twins = |twins, twins_from| Run {
            plan: plan(&order, 1),
            twins,
            twins_from,
            world: World::new(),
        };
        let honest = |order: &VerifiedOrder, number| Run {
            plan: plan(order, number),
            ..with_twins([0, 0, 0, 0], StepKind::Prepare)
        };

        // The honest run comes first: the fuzzer begins there.
        let mut messages = honest(&order, 1).record(None);
        // Its peers prepare twice for one number, or deal twice under one list.
        messages.extend(with_twins([0, 1, 1, 1], StepKind::Prepare).record(None));
        messages.extend(with_twins([0, 1, 1, 1], StepKind::Deal).record(None));
        // Somebody else has the member's identity.
        messages.extend(with_twins([1, 0, 0, 0], StepKind::Prepare).record(None));
        messages.extend(with_twins([1, 0, 0, 0], StepKind::Deal).record(None));
        // Another number, the next order of the chain, and one that forks it.
        messages.extend(honest(&order, 2).record(None));
        messages.extend(honest(&next, 2000).record(Some(&order)));
        messages.extend(honest(&fork, 1).record(None));
        // A dealer cheats the member.
        messages.push(honest(&order, 1).cheated());

        let plans = vec![plan(&order, 1), plan(&order, 2), plan(&next, 2000), plan(&fork, 1)];
        Self { cluster: world.cluster, plans, messages }
    }

    pub(super) fn message(&self, at: u8) -> &(StepKind, Vec<u8>) {
        &self.messages[usize::from(at) % self.messages.len()]
    }
}

fn plan(order: &VerifiedOrder, number: u64) -> Plan {
    Plan::new(order.clone(), number).expect("the number is the order's")
}

/// What a node draws in a step: the same whenever it does it, so that what was recorded fits what
/// the member does later. A twin is another process with the same identity.
pub(super) fn dice(node: u16, twin: u64, step: StepKind, number: u64) -> StdRng {
    StdRng::seed_from_u64((u64::from(node) << 8 | twin << 4 | step as u64) << 32 | number)
}

struct Run {
    plan: Plan,
    /// By member: which process acts for it from a step on.
    twins: [u64; MEMBERS as usize],
    twins_from: StepKind,
    world: World,
}

/// Everybody deals in a genesis.
fn dealers() -> Vec<quorate_types::NodeIndex> {
    (1..=MEMBERS).map(index).collect()
}

impl Run {
    /// All five messages, if the members know the order before.
    fn record(mut self, before: Option<&VerifiedOrder>) -> Vec<(StepKind, Vec<u8>)> {
        let order = self.plan.order().signed().clone();
        let prepare = self.prepare_request(before);
        let answers = self.prepare(&prepare);
        let list =
            DealRequest { subject: subject(self.plan.number()), answers, dealers: dealers() };
        let bundle = self.everybody::<SignedDealing>(StepKind::Deal, &list.to_bytes());
        let bundle = ReceiveRequest {
            subject: list.subject.clone(),
            answers: list.answers.clone(),
            bundle,
            parent: None,
        };
        let receipts = self.everybody(StepKind::Receive, &bundle.to_bytes());
        let receipts: Vec<Receipt> = receipts.into_iter().map(receipt).collect();
        let certificate = certificate(&receipts);
        let activate =
            ActivateRequest { order: order.clone(), certificate: certificate.clone() }.to_bytes();
        let actives = self.everybody(StepKind::Activate, &activate).into_iter().map(active);
        let record = KeyRecord { order, certificate, actives: actives.collect() };
        vec![
            (StepKind::Prepare, prepare),
            (StepKind::Deal, list.to_bytes()),
            (StepKind::Receive, bundle.to_bytes()),
            (StepKind::Activate, activate),
            (StepKind::Retire, RetireRequest { record, birth: None }.to_bytes()),
        ]
    }

    /// The bundle in which node 2 seals the member's value to a key that the member does not have.
    fn cheated(mut self) -> (StepKind, Vec<u8>) {
        let number = self.plan.number();
        let prepare = self.prepare_request(None);
        let answers = self.prepare(&prepare);
        let stored = self.world.state(2, number).secrets.polynomial.expect("node 2 has prepared");
        let request =
            DealRequest { subject: subject(number), answers: answers.clone(), dealers: dealers() }
                .to_bytes();
        let mut bundle = self.everybody::<SignedDealing>(StepKind::Deal, &request);

        let list =
            PrepareList::verify(&self.plan, answers.clone(), dealers()).expect("an honest list");
        let threshold = self.plan.committee().threshold();
        let polynomial = Polynomial::from_bytes(threshold, &stored).expect("node 2's polynomial");
        let mut rng = dice(2, 2, StepKind::Deal, number);
        let stray = EncodedPoint::new(SecretScalar::random(&mut rng).public()).expect("a key");
        let keys = list.receivers().iter();
        let keys = keys.map(|(i, k)| (i, if i == index(ME) { stray } else { *k })).collect();
        let receivers = Receivers::new(keys).expect("as many receivers as before");
        let (ctx, identity) = (*list.ctx().as_bytes(), *key(2).public().as_bytes());
        let params =
            DealingParams::new(self.plan.group(), ctx, index(2), identity, threshold, &receivers);
        let dealing =
            deal(&params.expect("a committee"), &polynomial, &mut rng).expect("a dealing");
        let fingerprint = self.plan.fingerprint();
        bundle[1] = SignedDealing::sign(fingerprint, list.ctx(), index(2), &dealing, &key(2));
        let request = ReceiveRequest { subject: subject(number), answers, bundle, parent: None };
        (StepKind::Receive, request.to_bytes())
    }

    fn prepare_request(&self, before: Option<&VerifiedOrder>) -> Vec<u8> {
        let Some(before) = before else {
            return prepare_request(self.plan.order(), self.plan.number());
        };
        let (order, earlier) = (self.plan.order().signed().clone(), vec![before.signed().clone()]);
        let number = self.plan.number();
        PrepareRequest { order, earlier, number, descent: None, scheduled: None }.to_bytes()
    }

    fn prepare(&mut self, request: &[u8]) -> Vec<PrepareAnswer> {
        let prepared = |reply| match reply {
            PrepareReply::Prepared(answer) => answer,
            other => panic!("expected a prepare answer, got {other:?}"),
        };
        self.everybody(StepKind::Prepare, request).into_iter().map(prepared).collect()
    }

    /// Every member's answer, by index.
    fn everybody<F: Format>(&mut self, step: StepKind, request: &[u8]) -> Vec<F> {
        let answer = |(i, twin): (u16, u64)| {
            let twin = if step >= self.twins_from { twin } else { 0 };
            self.world.rng = dice(i, twin, step, self.plan.number());
            let bytes = self.world.ask(i, step, request).expect("an honest request");
            F::from_bytes(&bytes).expect("an honest answer")
        };
        (1..=MEMBERS).zip(self.twins).map(answer).collect()
    }
}

fn receipt(answer: ReceiveAnswer) -> Receipt {
    match answer {
        ReceiveAnswer::Receipt(receipt) => *receipt,
        ReceiveAnswer::Complaint(complaint) => panic!("expected a receipt, got {complaint:?}"),
    }
}

fn active(answer: ActivateAnswer) -> quorate_types::NodeSignature {
    match answer {
        ActivateAnswer::Active(signature) => signature,
        other => panic!("expected an active signature, got {other:?}"),
    }
}
