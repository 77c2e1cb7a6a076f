//! A hostile coordinator: it keeps all that was ever sent and answered, sends it again to
//! anyone, tells two halves of a committee two different things, puts certificates together
//! of what does not belong together, and has the liars sign whatever helps.

use crate::sim::Sim;
use quorate_ceremony::*;
use quorate_types::*;
use rand::RngExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

type By<T> = BTreeMap<NodeIndex, T>;

#[derive(Default)]
pub(crate) struct Evil {
    /// Every request that was ever sent.
    archive: Vec<(StepKind, Arc<[u8]>)>,
    answers: BTreeMap<u64, By<PrepareAnswer>>,
    /// Lists with the dealings under them.
    lists: Vec<(DealRequest, By<SignedDealing>)>,
    epochs: BTreeMap<EpochName, Signed>,
    /// Proofs of what is in force.
    records: BTreeMap<EpochName, KeyRecord>,
    pub(crate) focus: Option<Focus>,
}

struct Signed {
    public: EpochPublic,
    receipts: By<NodeSignature>,
    actives: By<NodeSignature>,
}

/// The attempt that it is at, with its next step.
#[derive(Clone)]
pub(crate) struct Focus {
    order: VerifiedOrder,
    number: u64,
    parent: Option<KeyRecord>,
    stage: u8,
}

impl Evil {
    pub(crate) fn sees_request(&mut self, step: StepKind, request: &Arc<[u8]>) {
        if step == StepKind::Retire
            && let Ok(retire) = RetireRequest::from_bytes(request)
        {
            self.records.insert(retire.record.certificate.public.epoch, retire.record);
        }
        if self.archive.last().is_none_or(|(_, last)| last != request) {
            self.archive.push((step, Arc::clone(request)));
        }
    }

    pub(crate) fn sees_answer(
        &mut self,
        node: NodeIndex,
        step: StepKind,
        request: &[u8],
        answer: &[u8],
    ) -> Option<()> {
        match step {
            StepKind::Prepare => {
                if let PrepareReply::Prepared(a) = PrepareReply::from_bytes(answer).ok()? {
                    self.answers.entry(a.number).or_default().insert(node, a);
                }
            }
            StepKind::Deal => {
                let request = DealRequest::from_bytes(request).ok()?;
                let dealing = SignedDealing::from_bytes(answer).ok()?;
                let at = self.lists.iter().position(|(r, _)| *r == request);
                let at = at.unwrap_or_else(|| {
                    self.lists.push((request, By::new()));
                    self.lists.len() - 1
                });
                self.lists[at].1.insert(node, dealing);
            }
            StepKind::Receive => {
                if let ReceiveAnswer::Receipt(r) = ReceiveAnswer::from_bytes(answer).ok()? {
                    let (receipts, actives) = (By::new(), By::new());
                    let fresh = Signed { public: r.public.clone(), receipts, actives };
                    let signed = self.epochs.entry(r.public.epoch).or_insert(fresh);
                    signed.receipts.insert(node, r.signature);
                }
            }
            StepKind::Activate => {
                let epoch = ActivateRequest::from_bytes(request).ok()?.certificate.public.epoch;
                if let ActivateAnswer::Active(s) = ActivateAnswer::from_bytes(answer).ok()? {
                    self.epochs.get_mut(&epoch)?.actives.insert(node, s);
                }
            }
            StepKind::Survey | StepKind::Retire => {}
        }
        Some(())
    }
}

impl Sim {
    /// One evil deed. Nothing comes of it if what it needs is not there.
    pub(crate) fn evil(&mut self) -> Option<()> {
        self.seen.evil += 1;
        match self.dice.random_range(0..10) {
            0..2 => self.again(),
            2 => self.certify_anything(),
            3 => self.retire_anything(),
            _ => self.go_on(),
        }
    }

    /// Any old request, to anyone.
    fn again(&mut self) -> Option<()> {
        let archive = &self.evil.archive;
        if archive.is_empty() {
            return None;
        }
        let (step, request) = archive[self.dice.random_range(0..archive.len())].clone();
        let to = self.anyone();
        self.tell(to, step, &request);
        Some(())
    }

    fn certify_anything(&mut self) -> Option<()> {
        let names: Vec<EpochName> = self.evil.epochs.keys().copied().collect();
        let name = *pick(&mut self.dice, &names)?;
        let to = self.anyone();
        self.certify(name, &[to])
    }

    fn retire_anything(&mut self) -> Option<()> {
        let names: Vec<EpochName> = self.evil.epochs.keys().copied().collect();
        let name = *pick(&mut self.dice, &names)?;
        let to = self.anyone();
        self.retire(name, &[to])
    }

    /// Goes on with an attempt of its own, which tells two halves two things.
    pub(crate) fn go_on(&mut self) -> Option<()> {
        let mut focus = match self.evil.focus.take() {
            Some(focus) if self.dice.random_bool(0.98) => focus,
            _ => self.begin()?,
        };
        match focus.stage {
            0 => self.ask_all_to_prepare(&focus),
            1 => self.have_two_lists_dealt(&focus),
            2 => self.hand_out_bundles(&focus),
            3 => self.certify_number(focus.number),
            _ => self.retire_number(focus.number),
        };
        // The same again a few times, before it goes on.
        focus.stage += u8::from(self.dice.random_bool(0.35));
        self.evil.focus = (focus.stage < 7).then_some(focus);
        Some(())
    }

    fn begin(&mut self) -> Option<Focus> {
        let orders = &self.operators.orders;
        let back = if self.theirs > 0 { 0 } else { self.dice.random_range(0..3) / 2 };
        let mut order = orders.get(orders.len().checked_sub(1 + back)?)?.clone();
        if let Some(schedule) = &self.operators.schedule
            && self.dice.random_bool(if self.operators.records.is_empty() { 0.5 } else { 0.1 })
        {
            order = schedule.clone();
        }
        let terms = stated(&order)?;
        let number = terms.first_number + self.dice.random_range(2..9);
        let parent = match terms.is_birth() {
            true => None,
            false => {
                let records: Vec<_> = self.evil.records.values().collect();
                let newest = self.dice.random_bool(0.8);
                let any = records.get(self.dice.random_range(0..records.len().max(1)));
                Some((*if newest { records.last() } else { any }?).clone())
            }
        };
        Some(Focus { order, number, parent, stage: 0 })
    }

    fn ask_all_to_prepare(&mut self, focus: &Focus) -> Option<()> {
        let descent = match &focus.parent {
            Some(parent) => {
                let birth = self.operators.records.first()?.clone();
                Some(Box::new(Descent {
                    newest: (*parent != birth).then(|| parent.clone()),
                    birth,
                }))
            }
            None => None,
        };
        let orders = &self.operators.orders;
        let scheduled = focus.order.rotation().map(|rotate| rotate.create.version);
        let at = match scheduled {
            Some(_) => 0,
            None => orders.iter().position(|o| *o == focus.order)?,
        };
        let earlier = orders[..at].iter().map(|o| o.signed().clone()).collect();
        let order = focus.order.signed().clone();
        let request =
            PrepareRequest { order, earlier, number: focus.number, descent, scheduled }.to_bytes();
        let parents = focus.parent.iter().flat_map(|p| p.certificate.public.committee.indices());
        let all: BTreeSet<_> = stated(&focus.order)?.committee.indices().chain(parents).collect();
        self.tell_some(&all.into_iter().collect::<Vec<_>>(), StepKind::Prepare, request, 0.9);
        Some(())
    }

    /// Two lists: other dealers, as far as there are any.
    fn have_two_lists_dealt(&mut self, focus: &Focus) -> Option<()> {
        let answers: Vec<_> = self.evil.answers.get(&focus.number)?.values().cloned().collect();
        let committee = stated(&focus.order)?.committee;
        let mut offers: Vec<_> =
            answers.iter().filter(|a| a.commitment.is_some()).map(|a| a.node).collect();
        let most = match &focus.parent {
            Some(parent) => parent.certificate.public.committee.threshold().as_usize(),
            None => committee.size(),
        };
        let first = usize::try_from(focus.number).ok()? % offers.len().max(1);
        offers.rotate_left(first); // the same two lists whenever it asks
        for half in 0..2 {
            let mut dealers: Vec<_> = offers.iter().copied().take(most).collect();
            dealers.sort_unstable();
            let listed = |a: &&PrepareAnswer| {
                committee.member(a.node).is_some() || dealers.contains(&a.node)
            };
            let answers = answers.iter().filter(listed).cloned().collect();
            let subject = Subject { number: focus.number, ..self.subject() };
            let to = dealers.clone();
            let request = DealRequest { subject, answers, dealers }.to_bytes();
            self.tell_some(&to, StepKind::Deal, request, 1.0);
            if half == 0 {
                // Those who have not dealt, and liars, who deal twice.
                let liars = &self.liars;
                let used = most.min(offers.len());
                offers.rotate_left(used);
                offers.sort_by_key(|n| to.contains(n) && !liars.contains(n));
            }
        }
        Some(())
    }

    /// One bundle to most, another to the rest; sometimes one that is mixed of both.
    fn hand_out_bundles(&mut self, focus: &Focus) -> Option<()> {
        let of_number = |(l, _): &&(DealRequest, By<SignedDealing>)| {
            l.subject.number == focus.number && !l.dealers.is_empty()
        };
        let lists: Vec<_> = self.evil.lists.iter().filter(of_number).cloned().collect();
        let mut whole = Vec::new();
        for (list, dealings) in &lists {
            let bundle: Option<Vec<_>> =
                list.dealers.iter().map(|d| dealings.get(d).cloned()).collect();
            if let Some(bundle) = bundle {
                whole.push((list, bundle));
            }
        }
        self.seen.pairs += u64::from(whole.len() > 1);
        if whole.len() == 1 && self.dice.random_bool(0.6) {
            return None; // the other may still come
        }
        whole.sort_by(|a, b| a.0.dealers.cmp(&b.0.dealers));
        let mut to: Vec<_> = stated(&focus.order)?.committee.indices().collect();
        let committee = to.len();
        let turn = usize::try_from(focus.number).ok()?;
        to.rotate_left(turn % committee); // the same two halves whenever it hands out
        // Enough for a certificate with the liars' help, and one more who has the other bundle.
        let lying = to.iter().filter(|n| self.liars.contains(n)).count();
        let enough = usize::from(stated(&focus.order)?.q).saturating_sub(lying);
        let first = if turn.is_multiple_of(4) { committee / 2 } else { enough.min(committee - 1) };
        to.sort_by_key(|n| self.liars.contains(n));
        let parts = [to[..first].to_vec(), to[first..].to_vec()];
        for ((list, mut bundle), to) in whole.into_iter().zip(parts) {
            if let Some((_, strange)) = lists.last().filter(|_| self.dice.random_bool(0.1)) {
                bundle.retain(|d| !strange.contains_key(&d.dealer));
                bundle.extend(strange.values().cloned());
                bundle.sort_by_key(|d| d.dealer);
            }
            let parent = focus.parent.clone().map(Box::new);
            let (subject, answers) = (list.subject.clone(), list.answers.clone());
            let request = ReceiveRequest { subject, answers, bundle, parent }.to_bytes();
            self.tell_some(&to, StepKind::Receive, request, 0.95);
        }
        Some(())
    }

    fn certify_number(&mut self, number: u64) -> Option<()> {
        for name in self.names_of(number) {
            let to: Vec<_> = self.evil.epochs[&name].public.committee.indices().collect();
            self.certify(name, &to);
        }
        Some(())
    }

    fn retire_number(&mut self, number: u64) -> Option<()> {
        for name in self.names_of(number) {
            let to: Vec<_> = self.world.nodes.keys().copied().collect();
            self.retire(name, &to);
        }
        Some(())
    }

    fn names_of(&self, number: u64) -> Vec<EpochName> {
        self.evil.epochs.keys().filter(|e| e.number == number).copied().collect()
    }

    /// A certificate of the receipts that there are, those that liars sign, and if that is
    /// not enough those for any other epoch.
    fn certify(&mut self, name: EpochName, to: &[NodeIndex]) -> Option<()> {
        let signed = &self.evil.epochs[&name];
        let public = signed.public.clone();
        let order = self.operators.order(public.order)?.clone();
        let mut receipts = signed.receipts.clone();
        for liar in self.liars.iter().filter(|l| public.committee.member(**l).is_some()) {
            receipts.insert(*liar, public.sign_receipt(*liar, &self.world.nodes[liar].key));
        }
        if receipts.len() < usize::from(stated(&order)?.q) {
            for other in self.evil.epochs.values() {
                for (node, signature) in &other.receipts {
                    receipts.entry(*node).or_insert(*signature);
                }
            }
        }
        let certificate = Certificate { public, receipts: receipts.into_values().collect() };
        let request = ActivateRequest { order: order.signed().clone(), certificate }.to_bytes();
        self.tell_some(to, StepKind::Activate, request, 0.8);
        Some(())
    }

    /// The same with active signatures.
    fn retire(&mut self, name: EpochName, to: &[NodeIndex]) -> Option<()> {
        let signed = &self.evil.epochs[&name];
        let public = signed.public.clone();
        let order = self.operators.order(public.order)?.clone();
        let (mut receipts, mut actives) = (signed.receipts.clone(), signed.actives.clone());
        for liar in self.liars.iter().filter(|l| public.committee.member(**l).is_some()) {
            let key = &self.world.nodes[liar].key;
            receipts.insert(*liar, public.sign_receipt(*liar, key));
            actives.insert(*liar, public.sign_active(*liar, key));
        }
        let others = self.evil.epochs.values().flat_map(|e| e.actives.iter());
        if actives.len() < usize::from(stated(&order)?.q) {
            for (node, signature) in others {
                actives.entry(*node).or_insert(*signature);
            }
        }
        let certificate = Certificate { public, receipts: receipts.into_values().collect() };
        let actives = actives.into_values().collect();
        let record = KeyRecord { order: order.signed().clone(), certificate, actives };
        if record.verify_epoch(&self.world.cluster).is_ok() {
            self.evil.records.insert(name, record.clone());
        }
        let birth = self.operators.records.first().cloned();
        let request = RetireRequest { record, birth }.to_bytes();
        self.tell_some(to, StepKind::Retire, request, 0.6);
        Some(())
    }

    fn tell_some(&mut self, to: &[NodeIndex], step: StepKind, request: Vec<u8>, often: f64) {
        let request: Arc<[u8]> = request.into();
        for node in to {
            if self.dice.random_bool(often) {
                self.tell(*node, step, &request);
            }
        }
    }

    fn anyone(&mut self) -> NodeIndex {
        let nodes: Vec<_> = self.world.nodes.keys().copied().collect();
        nodes[self.dice.random_range(0..nodes.len())]
    }
}

/// Of a schedule, those of the version that is due.
fn stated(order: &VerifiedOrder) -> Option<Terms<'_>> {
    Terms::stated(&order.order().action)
}

fn pick<'a, T>(dice: &mut rand::rngs::StdRng, from: &'a [T]) -> Option<&'a T> {
    if from.is_empty() { None } else { Some(&from[dice.random_range(0..from.len())]) }
}
