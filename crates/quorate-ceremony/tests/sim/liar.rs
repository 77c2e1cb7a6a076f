//! A member that lies: it deals wrongly, signs receipts for shares that it does not keep,
//! signs active what it does not hold, complains without cause, withholds.

use crate::{node::Answer, sim::Sim};
use quorate_ceremony::*;
use quorate_crypto::{
    EncodedPoint, SecretScalar, Threshold, complaint::Complaint, dealing, group::B,
    sharing::Polynomial,
};
use quorate_types::*;
use rand::RngExt;

impl Sim {
    /// A lie, or nothing: then the liar does as the others.
    pub(crate) fn lie(
        &mut self,
        node: NodeIndex,
        step: StepKind,
        request: &[u8],
    ) -> Option<Answer> {
        // A genesis needs everybody to deal: a lie there only ends it.
        let genesis = self.operators.records.is_empty();
        if self.dice.random_bool(if genesis { 0.7 } else { 0.4 }) {
            return None;
        }
        let told = match step {
            StepKind::Survey => vec![1, 2, 3],
            StepKind::Prepare if !genesis => self.claims_a_share(node, request)?,
            StepKind::Deal if !genesis => self.deals_wrongly(node, request)?,
            StepKind::Receive if !genesis && self.dice.random_bool(0.3) => {
                self.complains(node, request)?
            }
            StepKind::Receive => self.signs_a_receipt(node, request)?,
            StepKind::Activate if self.dice.random_bool(0.5) => return Some(None),
            StepKind::Activate => self.signs_active(node, request)?,
            StepKind::Retire => self.says_it_has_erased(node, request)?,
            StepKind::Prepare | StepKind::Deal => return None,
        };
        Some(Some(Ok(told)))
    }

    /// Offers a share that it may not have, with another ceremony key each time.
    fn claims_a_share(&mut self, node: NodeIndex, request: &[u8]) -> Option<Vec<u8>> {
        let request = PrepareRequest::from_bytes(request).ok()?;
        let order = VerifiedOrder::verify(&self.world.cluster, &request.order).ok()?;
        let parent = request.descent?.parent().verify_epoch(&self.world.cluster).ok()?;
        let plan = Plan::reshare(order, request.number, parent.clone()).ok()?;
        let holder = parent.public().committee.member(node).is_some();
        let offer = holder.then_some(*parent.name().bundle.as_bytes());
        let key = EncodedPoint::new(SecretScalar::random(&mut self.dice).public()).ok()?;
        let me = &self.world.nodes[&node].key;
        let answer = PrepareAnswer::sign(&plan.id(), node, *key.bytes(), offer, me);
        Some(PrepareReply::Prepared(answer).to_bytes())
    }

    fn deals_wrongly(&mut self, node: NodeIndex, request: &[u8]) -> Option<Vec<u8>> {
        let request = DealRequest::from_bytes(request).ok()?;
        let (plan, list) =
            self.plan_of(node, &request.subject, &request.answers, &request.dealers)?;
        let state = self.world.nodes[&node].disk.load(&request.subject);
        let share = state.share_in_force;
        let t = plan.committee().threshold().get();
        let how = self.dice.random_range(0..5);
        let (secret, t) = match how {
            0 => (SecretScalar::random(&mut self.dice), t),
            1 => (share?, t + 1),
            2 => (share?, (t - 1).max(2)),
            _ => (share?, t),
        };
        let t = Threshold::new(t, 64).ok()?;
        let polynomial = Polynomial::random(t, &secret, &mut self.dice).ok()?;
        // Somebody's value is sealed to a key that it does not have; or nothing is wrong with
        // the dealing but that the liar deals again for whoever asks.
        let stray = EncodedPoint::new(SecretScalar::random(&mut self.dice).public()).ok()?;
        let all: Vec<_> = list.receivers().iter().map(|(i, k)| (i, *k)).collect();
        let at = self.dice.random_range(0..all.len());
        let cheats = |i: usize| if i == at && how < 4 { stray } else { all[i].1 };
        let keys = (0..all.len()).map(|i| (all[i].0, cheats(i))).collect();
        let receivers = dealing::Receivers::new(keys).ok()?;
        let me = &self.world.nodes[&node].key;
        let (ctx, id) = (*list.ctx().as_bytes(), *me.public().as_bytes());
        let params =
            dealing::DealingParams::new(plan.group(), ctx, node, id, t, &receivers).ok()?;
        let dealing = dealing::deal(&params, &polynomial, &mut self.dice).ok()?;
        let signed = SignedDealing::sign(plan.fingerprint(), list.ctx(), node, &dealing, me);
        Some(signed.to_bytes())
    }

    /// Signs, and keeps nothing; also two receipts for a number.
    fn signs_a_receipt(&mut self, node: NodeIndex, request: &[u8]) -> Option<Vec<u8>> {
        let request = ReceiveRequest::from_bytes(request).ok()?;
        let (plan, list) =
            self.plan_of(node, &request.subject, &request.answers, &request.dealers())?;
        let public = Bundle::verify(&plan, &list, &request.bundle).ok()?.public().clone();
        public.committee.member(node)?;
        let signature = public.sign_receipt(node, &self.world.nodes[&node].key);
        Some(ReceiveAnswer::Receipt(Box::new(Receipt { public, signature })).to_bytes())
    }

    fn complains(&mut self, node: NodeIndex, request: &[u8]) -> Option<Vec<u8>> {
        let request = ReceiveRequest::from_bytes(request).ok()?;
        let (plan, list) =
            self.plan_of(node, &request.subject, &request.answers, &request.dealers())?;
        let accused = request.bundle.first()?;
        let mut bytes = node.get().to_be_bytes().to_vec();
        bytes.extend_from_slice(EncodedPoint::new(B).ok()?.bytes());
        bytes.extend_from_slice(&[0; 64]);
        let complaint = Complaint::from_bytes(&bytes).ok()?;
        let (ctx, me) = (list.ctx(), &self.world.nodes[&node].key);
        let hash = accused.hash(ctx);
        let signed =
            SignedComplaint::sign(plan.fingerprint(), ctx, accused.dealer, &hash, &complaint, me);
        Some(ReceiveAnswer::Complaint(Box::new(signed)).to_bytes())
    }

    fn signs_active(&mut self, node: NodeIndex, request: &[u8]) -> Option<Vec<u8>> {
        let public = ActivateRequest::from_bytes(request).ok()?.certificate.public;
        let signature = public.sign_active(node, &self.world.nodes[&node].key);
        Some(ActivateAnswer::Active(signature).to_bytes())
    }

    fn says_it_has_erased(&mut self, node: NodeIndex, request: &[u8]) -> Option<Vec<u8>> {
        let public = RetireRequest::from_bytes(request).ok()?.record.certificate.public;
        let me = &self.world.nodes[&node].key;
        Some(RetireAnswer::sign(&public, node, true, me).to_bytes())
    }

    /// The plan and the list of a request, on whatever parent fits.
    fn plan_of(
        &self,
        node: NodeIndex,
        subject: &Subject,
        answers: &[PrepareAnswer],
        dealers: &[NodeIndex],
    ) -> Option<(Plan, PrepareList)> {
        let order = answers.first()?.order;
        let order = self.operators.order(order)?;
        let plan = match self.world.nodes[&node].disk.load(subject).in_force() {
            Some(record) => {
                let parent = record.verify_epoch(&self.world.cluster).ok()?;
                Plan::reshare(order.clone(), subject.number, parent).ok()?
            }
            None => Plan::birth(order.clone(), subject.version, subject.number).ok()?,
        };
        let list = PrepareList::verify(&plan, answers.to_vec(), dealers.to_vec()).ok()?;
        Some((plan, list))
    }
}
