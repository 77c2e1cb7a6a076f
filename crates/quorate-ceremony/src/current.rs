//! Checks that several steps share: is this attempt this node's, and may it go on?

use crate::{
    AttemptId, Fault, Plan, PrepareAnswer,
    chain::ChainFault,
    state::{Forgery, Frozen, VersionState},
    step::{Me, Subject},
};
use quorate_types::{KeyRecord, NodeIndex, Part, VerifiedOrder, Writer, order::order_hash};

/// The plan of the attempt that the state holds. In a reshare `parent` proves the parent
/// epoch: it must be the one on which the node has prepared.
pub(crate) fn plan(
    me: &Me<'_>,
    state: &VersionState,
    subject: &Subject,
    parent: Option<&KeyRecord>,
) -> Result<Plan, Fault> {
    let signed = state.order.as_ref().ok_or(Fault::Alarm("an attempt has lost its order"))?;
    let order = VerifiedOrder::verify(me.cluster, signed)?;
    let Subject { version, number, .. } = *subject;
    let plan = if order.terms_of(version).is_some_and(|terms| terms.is_birth()) {
        Plan::birth(order, version, number)?
    } else {
        let prepared_on = state.standing.live(number).ok_or(Fault::Closed)?.parent;
        let parent = parent.ok_or(Fault::Parent)?;
        if prepared_on != Some(parent.certificate.public.epoch) {
            return Err(Fault::Parent);
        }
        Plan::reshare(order, number, parent.verify_epoch(me.cluster)?)?
    };
    party(me, &plan)?;
    Ok(plan)
}

/// Below what is in force the node has forgotten what it made, and does nothing more: old
/// messages that come again are no forgeries.
pub(crate) fn above(state: &VersionState, number: u64) -> Result<(), Fault> {
    let below = state.standing.in_force.is_some_and(|e| number < e.number);
    if below && state.attempt.is_none() { Err(Fault::Closed) } else { Ok(()) }
}

/// The order must have this node, with this identity, in its committee, or the parent
/// epoch in its own.
pub(crate) fn party(me: &Me<'_>, plan: &Plan) -> Result<(), Fault> {
    match plan.identity(me.index) {
        Some(identity) if *identity == me.identity.public() => Ok(()),
        _ => Err(Fault::NotMember),
    }
}

/// A node takes part only in the newest order of its chain that it knows, and
/// only under the newest roster that it knows.
pub(crate) fn newest(me: &Me<'_>, state: &VersionState, plan: &Plan) -> Result<(), Fault> {
    if planted!(SupersededOrder) {
        return roster(me, plan);
    }
    let head =
        state.head_beside(plan.order()).0.map(|h| order_hash(me.cluster.fingerprint(), &h.0.body));
    match head {
        Some(head) if head == plan.order().hash() => roster(me, plan),
        Some(head) => Err(ChainFault::Superseded { head }.into()),
        None => Err(Fault::Alarm("an attempt has lost its chain of orders")),
    }
}

/// A node refuses a roster older than its newest.
pub(crate) fn roster(me: &Me<'_>, plan: &Plan) -> Result<(), Fault> {
    let (order, here) = (plan.order().order().roster_version, me.cluster.roster().version);
    if order == here { Ok(()) } else { Err(Fault::Roster { here, order }) }
}

/// What stands in a list in this node's name must be what this node has made. If it is
/// not, but is signed with its identity, somebody else has that identity.
pub(crate) fn own_answer(
    me: &Me<'_>,
    subject: &Subject,
    answers: &[PrepareAnswer],
    made: Option<&PrepareAnswer>,
) -> Result<(), Fault> {
    let Some(answer) = answers.iter().find(|a| a.node == me.index) else {
        return Ok(()); // no full list: refused by whoever verifies the list
    };
    if Some(answer) == made {
        return Ok(());
    }
    let attempt = AttemptId {
        fingerprint: *me.cluster.fingerprint(),
        key: subject.key.clone(),
        version: subject.version,
        order: answer.order,
        number: subject.number,
    };
    if answer.verifies(&attempt, &me.identity.public()) {
        return Err(impersonated(Forgery::CeremonyKey, answer));
    }
    match made {
        Some(_) => Err(Fault::NotMine { what: "prepare answer" }),
        None => Err(Fault::TooEarly { missing: "prepare" }),
    }
}

/// Freezes the key.
pub(crate) fn impersonated(what: Forgery, evidence: &impl Part) -> Fault {
    let mut w = Writer::new();
    evidence.write(&mut w);
    Fault::Impersonated(Box::new(Frozen { what, evidence: w.finish() }))
}

/// Members that validly signed two different answers for one attempt. `known` has been
/// verified; `other` has not.
pub(crate) fn equivocators(
    plan: &Plan,
    known: &[PrepareAnswer],
    other: &[PrepareAnswer],
) -> Vec<NodeIndex> {
    let id = plan.id();
    let differs = |a: &PrepareAnswer| known.iter().any(|k| k.node == a.node && k != a);
    let signed = |a: &PrepareAnswer| plan.identity(a.node).is_some_and(|i| a.verifies(&id, i));
    other.iter().filter(|a| differs(a) && signed(a)).map(|a| a.node).collect()
}
