//! The service for clients. It relays: nothing that it carries can it read or change
//! unseen.

use crate::{postman::StepAnswer, records::Known, state::State};
use quorate_ceremony::{StepKind, SurveyRequest};
use quorate_rpc::{
    Deadline, Fault, FaultKind, MAX_CEREMONY_BYTES, MAX_REQUEST_BYTES, bounded, index,
    v1::{
        EvaluateRequest, EvaluateResponse, GetKeyRequest, GetKeyResponse, GetRosterRequest,
        GetRosterResponse, KeyStateRequest, KeyStateResponse, KeySummary, ListKeysRequest,
        ListKeysResponse, NodeAnswer, NodeEvaluateRequest, NodeFailure, NodeHealth,
        NodeStatusRequest, NodeSurvey, ProtocolVersion, StatusRequest, StatusResponse,
        SurveyKeyRequest, SurveyKeyResponse, VersionSummary, keys_server::Keys, node_answer,
        node_client::NodeClient,
    },
};
use quorate_types::{
    Format, KeyName, NodeIndex, RefusalReason, RequestHead, SignedRefusal, Split,
    order::MAX_VERSIONS,
};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tonic::{Request, Response, Status};

/// The longest that a request is under way here.
const LONGEST: Duration = Duration::from_secs(10);
/// How long nodes may take to list keys or say how they are.
const PATIENCE: Duration = Duration::from_secs(2);
/// Keys on a page, at most and by default.
const PAGE: (u32, u32) = (1000, 100);

/// The `Keys` service.
#[derive(Debug, Clone)]
pub struct KeysService(pub Arc<State>);

#[tonic::async_trait]
impl Keys for KeysService {
    async fn get_roster(
        &self,
        request: Request<GetRosterRequest>,
    ) -> Result<Response<GetRosterResponse>, Status> {
        quorate_rpc::version(request.get_ref().version.as_ref()).map_err(Fault::from)?;
        let rosters = self.0.cluster().chain().iter().map(Format::to_bytes).collect();
        Ok(Response::new(GetRosterResponse { version: Some(ProtocolVersion::spoken()), rosters }))
    }

    async fn get_key(
        &self,
        request: Request<GetKeyRequest>,
    ) -> Result<Response<GetKeyResponse>, Status> {
        let deadline = Deadline::of(request.metadata(), LONGEST).for_collecting();
        let GetKeyRequest { name, version, fresh } = request.into_inner();
        let name = KeyName::new(name).map_err(|e| Fault::invalid(e.to_string()))?;
        let key = match fresh {
            true => self.0.fresh_record(&name, version, deadline).await?,
            false => self.0.record(&name, version, deadline).await?,
        };
        let newest = key.newest.as_ref().map(|e| e.record().to_bytes()).unwrap_or_default();
        let exports = key.exports.values().map(|order| order.signed().to_bytes()).collect();
        Ok(Response::new(GetKeyResponse { record: key.birth.record().to_bytes(), newest, exports }))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let deadline = Deadline::of(request.metadata(), LONGEST).min(Deadline::after(PATIENCE));
        let mut page = request.into_inner();
        page.page_size = match page.page_size {
            0 => PAGE.1,
            size => size.min(PAGE.0),
        };
        Ok(Response::new(self.0.list_keys(page, deadline).await?))
    }

    async fn key_state(
        &self,
        request: Request<KeyStateRequest>,
    ) -> Result<Response<KeyStateResponse>, Status> {
        let deadline = Deadline::of(request.metadata(), LONGEST).for_collecting();
        let name = KeyName::new(request.into_inner().name);
        let name = name.map_err(|e| Fault::invalid(e.to_string()))?;
        Ok(Response::new(self.0.key_state(&name, deadline).await?))
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        let begun = Instant::now();
        let deadline = Deadline::of(request.metadata(), LONGEST).for_collecting();
        let result = self.0.evaluate(request.into_inner(), deadline).await;
        self.0.metrics.evaluated(begun.elapsed(), &result);
        Ok(Response::new(result?))
    }

    async fn survey(
        &self,
        request: Request<SurveyKeyRequest>,
    ) -> Result<Response<SurveyKeyResponse>, Status> {
        let peer = quorate_rpc::Peer::of(&request);
        if !peer.is_some_and(|p| self.0.cluster().roster().is_operator(&p.key)) {
            return Err(Fault::denied("surveys are for operators of the roster").into());
        }
        let deadline = Deadline::of(request.metadata(), LONGEST).min(Deadline::after(PATIENCE));
        let SurveyKeyRequest { name, version } = request.into_inner();
        let name = KeyName::new(name).map_err(|e| Fault::invalid(e.to_string()))?;
        Ok(Response::new(self.0.survey_key(&name, version, deadline).await?))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let nodes = self.0.node_health(Deadline::after(PATIENCE)).await;
        Ok(Response::new(StatusResponse {
            coordinator: self.0.name.to_string(),
            version: Some(ProtocolVersion::spoken()),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            roster_version: self.0.cluster().roster().version,
            nodes,
        }))
    }
}

impl State {
    /// Carries a request to as many nodes as it needs. The head is parsed to find the key
    /// and the committee; every node verifies the client's signature for itself.
    async fn evaluate(
        &self,
        request: EvaluateRequest,
        deadline: Deadline,
    ) -> Result<EvaluateResponse, Fault> {
        let EvaluateRequest { head, signature, items, avoid, want } = request;
        let parsed = RequestHead::from_bytes(&head).map_err(|e| Fault::invalid(e.to_string()))?;
        if items.len() != usize::from(parsed.item_count) {
            return Err(Fault::invalid("the number of items is not the one in the signed head"));
        }
        let key = self.record(&parsed.key, parsed.version.get(), deadline).await?;
        let message = Arc::new(NodeEvaluateRequest { head, signature, items });
        let first = self.evaluate_at(&key, &message, &avoid, want, deadline).await;
        if !first.answers.iter().any(has_no_share) {
            return Ok(first);
        }
        // Its shares have moved to others: whoever holds them now is asked, once.
        let (name, version) = (&parsed.key, parsed.version.get());
        match self.fresh_record(name, version, deadline).await {
            Ok(moved) if moved.epoch().name() != key.epoch().name() => {
                Ok(self.evaluate_at(&moved, &message, &avoid, want, deadline).await)
            }
            _ => Ok(first),
        }
    }

    /// Asks the committee of the epoch in force.
    async fn evaluate_at(
        &self,
        key: &Known,
        message: &Arc<NodeEvaluateRequest>,
        avoid: &[u32],
        want: u32,
        deadline: Deadline,
    ) -> EvaluateResponse {
        let committee = &key.public().committee;
        let avoid: BTreeSet<u32> = avoid.iter().copied().collect();
        // Who has taken a member's place in the roster has no share yet.
        let cluster = self.cluster();
        let candidates: Vec<NodeIndex> = (committee.members().iter())
            .filter(|m| cluster.names(m.index, &m.identity))
            .map(|m| m.index)
            .filter(|i| !avoid.contains(&u32::from(i.get())))
            .collect();
        let want = match want as usize {
            0 => committee.threshold().as_usize(),
            want => want.min(committee.size()),
        };
        let refusals = Arc::new(Mutex::new(Vec::new()));
        let outcome = self
            .pool
            .ask(&candidates, want, deadline, |node, channel| {
                let (message, refusals) = (Arc::clone(message), Arc::clone(&refusals));
                async move {
                    let request = deadline.request(NodeEvaluateRequest::clone(&message))?;
                    let mut client = bounded!(NodeClient::new(channel), MAX_CEREMONY_BYTES);
                    let answer = client.evaluate(request).await?.into_inner();
                    settle(node, answer, &refusals)
                }
            })
            .await;
        // It may have started again, and wait for its peers' word.
        let out = outcome.failures.iter().filter(|(_, f)| f.kind == FaultKind::Unavailable);
        self.call_on(out.map(|(node, _)| *node));
        let mut answers: Vec<NodeAnswer> =
            outcome.answers.into_iter().map(|(_, answer)| answer).collect();
        let refused = std::mem::take(&mut *refusals.lock().unwrap_or_else(PoisonError::into_inner));
        let deciders: BTreeSet<u32> = refused.iter().map(|r: &NodeAnswer| r.node).collect();
        answers.extend(refused);
        let failures = (outcome.failures.into_iter())
            .map(|(node, fault)| (u32::from(node.get()), fault))
            .filter(|(node, _)| !deciders.contains(node))
            .map(|(node, fault)| NodeFailure { node, reason: fault.kind.as_str().to_owned() })
            .collect();
        EvaluateResponse { answers, failures }
    }

    /// What every node has of a key version.
    async fn survey_key(
        &self,
        name: &KeyName,
        version: u32,
        deadline: Deadline,
    ) -> Result<SurveyKeyResponse, Fault> {
        let known = self.fresh_record(name, version, deadline).await?;
        let version = known.birth.create().version;
        let request = SurveyRequest { key: name.clone(), version, bundle: 0 }.to_bytes();
        let mut asked = tokio::task::JoinSet::new();
        for node in self.nodes() {
            let (postman, request) = (self.postman.clone(), request.clone());
            asked.spawn(async move {
                (node, postman.send(node, StepKind::Survey, request, deadline).await)
            });
        }
        let mut nodes = Vec::new();
        while let Some(Ok((node, answer))) = asked.join_next().await {
            let (answer, reason) = match answer {
                StepAnswer::Done(bytes) => (bytes, String::new()),
                StepAnswer::Fault { message, .. } => (Vec::new(), message),
                StepAnswer::Unreachable(fault) => (Vec::new(), fault.kind.as_str().to_owned()),
            };
            nodes.push(NodeSurvey { node: u32::from(node.get()), answer, reason });
        }
        nodes.sort_by_key(|n| n.node);
        Ok(SurveyKeyResponse { version: version.get(), nodes })
    }

    /// One page over the keys of all nodes: a node that was away may not know the newest.
    pub(crate) async fn list_keys(
        &self,
        page: ListKeysRequest,
        deadline: Deadline,
    ) -> Result<ListKeysResponse, Fault> {
        let outcome = self
            .pool
            .ask_all(&self.nodes(), deadline, |_, channel| {
                let request = deadline.request(page.clone());
                async move {
                    let mut node = bounded!(NodeClient::new(channel), MAX_REQUEST_BYTES);
                    Ok(node.list_keys(request?).await?.into_inner())
                }
            })
            .await;
        if outcome.answers.is_empty() {
            return Err(Fault::unavailable("no node could be asked for its keys"));
        }
        let mut keys: BTreeMap<String, KeySummary> = BTreeMap::new();
        // A page of a node that has more ends at its last name; beyond it, other nodes'
        // names are left for the next page, else that node's would be skipped.
        let mut horizon: Option<String> = None;
        for (node, answer) in outcome.answers {
            if !answer.next.is_empty() {
                horizon = Some(match horizon {
                    Some(h) => h.min(answer.next),
                    None => answer.next,
                });
            }
            for mut key in answer.keys.into_iter().take(PAGE.0 as usize) {
                key.older.truncate(MAX_VERSIONS as usize);
                let key = of_node(node, key);
                match keys.entry(key.name.clone()) {
                    Entry::Vacant(place) => drop(place.insert(key)),
                    Entry::Occupied(mut place) => join(place.get_mut(), key),
                }
            }
        }
        let mut keys: Vec<KeySummary> = (keys.into_values())
            .filter(|k| horizon.as_ref().is_none_or(|h| k.name <= *h))
            .collect();
        let mut next = horizon.unwrap_or_default();
        if keys.len() > page.page_size as usize {
            keys.truncate(page.page_size as usize);
            next = keys.last().map(|k| k.name.clone()).unwrap_or_default();
        }
        Ok(ListKeysResponse { keys, next })
    }

    /// Every node of the roster: what it says of itself, or that it says nothing.
    pub async fn node_health(&self, deadline: Deadline) -> Vec<NodeHealth> {
        let outcome = self
            .pool
            .ask_all(&self.nodes(), deadline, |_, channel| async move {
                let request = deadline.request(NodeStatusRequest {})?;
                let mut node = bounded!(NodeClient::new(channel), MAX_REQUEST_BYTES);
                Ok(node.status(request).await?.into_inner())
            })
            .await;
        let mut said: BTreeMap<NodeIndex, NodeHealth> = outcome.answers.into_iter().collect();
        let failed: BTreeMap<NodeIndex, Fault> = outcome.failures.into_iter().collect();
        self.call_on(said.iter().filter(|(_, h)| h.quarantine == "waiting").map(|(n, _)| *n));
        let describe = |node: &quorate_types::NodeEntry| {
            let latency = self.pool.health(node.index).and_then(|h| h.latency());
            let split = self.split(node.index);
            let own = said.remove(&node.index);
            // Names and places are the roster's: a node has no say in them.
            NodeHealth {
                node: u32::from(node.index.get()),
                name: node.name.to_string(),
                endpoint: node.endpoint.to_string(),
                provider: node.provider.to_string(),
                location: node.location.to_string(),
                home: node.home.to_string(),
                reachable: own.is_some(),
                latency_micros: latency
                    .map_or(0, |l| u32::try_from(l.as_micros()).unwrap_or(u32::MAX)),
                detail: detail(own.as_ref(), failed.get(&node.index), split, node.index),
                quarantine: match (split, &own) {
                    (Some(split), _) => split.word().to_owned(),
                    (None, Some(own)) => own.quarantine.clone(),
                    (None, None) => String::new(),
                },
                state: own.as_ref().map_or("unreachable".into(), |o| o.state.clone()),
                keys: own.as_ref().map_or(0, |o| o.keys),
                version: own.map(|o| o.version).unwrap_or_default(),
            }
        };
        self.cluster().roster().nodes.iter().map(describe).collect()
    }
}

/// What a node says of itself, and what is known against it: a node of which there are two
/// says of itself only what one of them knows.
fn detail(
    own: Option<&NodeHealth>,
    failed: Option<&Fault>,
    split: Option<Split>,
    node: NodeIndex,
) -> String {
    let said = match (own, failed) {
        (Some(own), _) => own.detail.clone(),
        (None, Some(fault)) => fault.to_string(),
        (None, None) => String::new(),
    };
    match split {
        Some(split) if !said.contains(split.as_str()) => {
            let known = format!("ALARM: {}: quorate cluster replace {node}", split.as_str());
            if said.is_empty() { known } else { format!("{known}; it says: {said}") }
        }
        _ => said,
    }
}

/// A node speaks of itself only.
fn of_node(node: NodeIndex, mut key: KeySummary) -> KeySummary {
    let me = u32::from(node.get());
    let older = key.older.iter_mut().flat_map(|v| [&mut v.serving, &mut v.unsettled]);
    for said in older.chain([&mut key.serving, &mut key.unsettled]) {
        let mine = said.contains(&me);
        *said = Vec::from_iter(mine.then_some(me));
    }
    key
}

/// What two nodes say of one key: the newer epoch counts, and who serves an older one has not
/// heard of it.
fn join(known: &mut KeySummary, mut said: KeySummary) {
    let is_born = |k: &KeySummary| k.state != "pending";
    let mut versions = BTreeMap::new();
    for key in [&mut *known, &mut said] {
        key.older.drain(..).for_each(|version| join_version(&mut versions, version));
        if is_born(key) {
            // What is the newest for one is an older version for another.
            join_version(&mut versions, take_newest(key));
        }
    }
    // Who knows of no birth names the version to come.
    let epoch = |k: &KeySummary| (is_born(k), k.version, k.epoch);
    if epoch(known) < epoch(&said) {
        std::mem::swap(known, &mut said);
    }
    // Of whichever version: it stays so.
    known.imported |= said.imported;
    known.exported |= said.exported;
    // Of how the key is, what the highest revision says. Nodes that have destroyed it say so one
    // after the other: it is destroyed once all have.
    let is_destroyed = |k: &KeySummary| k.lifecycle == "destroyed";
    let later = (known.revision, is_destroyed(&said)) < (said.revision, is_destroyed(known));
    if later {
        (known.revision, known.deletion) = (said.revision, said.deletion);
        known.lifecycle = std::mem::take(&mut said.lifecycle);
        known.tags = std::mem::take(&mut said.tags);
        known.aliases = std::mem::take(&mut said.aliases);
    }
    if let Some(newest) = versions.remove(&known.version).filter(|_| is_born(known)) {
        (known.serving, known.unsettled) = (newest.serving, newest.unsettled);
    }
    // What is left: shares of a version that is not born, for all that this node has heard.
    match epoch(known) == epoch(&said) {
        true => known.serving.append(&mut said.serving),
        false => known.unsettled.append(&mut said.serving),
    }
    known.unsettled.append(&mut said.unsettled);
    sort(&mut known.serving);
    sort(&mut known.unsettled);
    known.older = versions.into_values().filter(|v| v.version < known.version).collect();
}

/// The newest version as an older one is told.
fn take_newest(key: &mut KeySummary) -> VersionSummary {
    VersionSummary {
        version: key.version,
        epoch: key.epoch,
        threshold: key.threshold,
        committee: key.committee.clone(),
        serving: std::mem::take(&mut key.serving),
        unsettled: std::mem::take(&mut key.unsettled),
    }
}

/// Of each version the newest epoch that anybody knows; who serves another one is unsettled.
fn join_version(versions: &mut BTreeMap<u32, VersionSummary>, mut said: VersionSummary) {
    let known = match versions.entry(said.version) {
        Entry::Vacant(place) => {
            place.insert(said);
            return;
        }
        Entry::Occupied(place) => place.into_mut(),
    };
    // A node of an older release knows the epoch, and does not tell its committee.
    let rank = |v: &VersionSummary| (v.epoch, !v.committee.is_empty());
    if rank(known) < rank(&said) {
        std::mem::swap(known, &mut said);
    }
    match known.epoch == said.epoch {
        true => known.serving.append(&mut said.serving),
        false => known.unsettled.append(&mut said.serving),
    }
    known.unsettled.append(&mut said.unsettled);
    sort(&mut known.serving);
    sort(&mut known.unsettled);
}

fn sort(nodes: &mut Vec<u32>) {
    nodes.sort_unstable();
    nodes.dedup();
}

/// Whether a node has signed that it holds no share of the key.
fn has_no_share(answer: &NodeAnswer) -> bool {
    let Some(node_answer::Outcome::Refusal(bytes)) = &answer.outcome else { return false };
    SignedRefusal::from_bytes(bytes).is_ok_and(|r| r.refusal.reason == RefusalReason::NoShare)
}

/// An answer counts; a refusal is kept for the client, and another node is asked.
fn settle(
    node: NodeIndex,
    answer: NodeAnswer,
    refusals: &Mutex<Vec<NodeAnswer>>,
) -> Result<NodeAnswer, Fault> {
    if index("node", answer.node).ok() != Some(node.get()) {
        return Err(Fault::unavailable("the node answers in another's name"));
    }
    match &answer.outcome {
        Some(node_answer::Outcome::Sealed(_)) => Ok(answer),
        Some(node_answer::Outcome::Refusal(_)) => {
            refusals.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            Err(Fault::denied("the node refuses"))
        }
        None => Err(Fault::unavailable("the node's answer is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(node: u16, epoch: u64, serving: &[u32], unsettled: &[u32]) -> KeySummary {
        let key = KeySummary {
            name: "k".into(),
            version: 1,
            epoch,
            serving: serving.to_vec(),
            unsettled: unsettled.to_vec(),
            ..KeySummary::default()
        };
        of_node(NodeIndex::new(node).expect("not 0"), key)
    }

    #[test]
    fn a_node_that_has_not_heard_of_a_rotation_hides_no_version() {
        let of = |version, epoch, older: &[(u32, u64)]| {
            let entry = |(version, epoch): &(u32, u64)| VersionSummary {
                version: *version,
                epoch: *epoch,
                ..VersionSummary::default()
            };
            let older = older.iter().map(entry).collect();
            KeySummary { name: "k".into(), version, epoch, older, ..KeySummary::default() }
        };
        let all = [of(3, 9, &[(1, 4), (2, 5)]), of(2, 7, &[(1, 4)]), of(1, 6, &[])];
        for first in 0..all.len() {
            let mut joined = all[first].clone();
            for other in (0..all.len()).filter(|i| *i != first) {
                join(&mut joined, all[other].clone());
            }
            assert_eq!(joined, of(3, 9, &[(1, 6), (2, 7)]));
        }
        // Nor does one that has heard of no birth at all.
        let deaf = KeySummary { state: "pending".into(), ..of(4, 0, &[]) };
        for [one, other] in [[&deaf, &all[0]], [&all[0], &deaf]] {
            let mut joined = one.clone();
            join(&mut joined, other.clone());
            assert_eq!((joined.version, joined.epoch, joined.older.len()), (3, 9, 2));
        }
    }

    #[test]
    fn who_serves_an_older_version_is_told_and_who_is_behind_there() {
        let older = |version, epoch, node: u32| VersionSummary {
            version,
            epoch,
            threshold: 2,
            committee: vec![1, 2, 3, 4],
            // Nobody speaks for others.
            serving: vec![node, 4],
            unsettled: vec![9],
        };
        let of = |node: u16, version, epoch, older: Vec<VersionSummary>| KeySummary {
            version,
            older,
            threshold: 2,
            committee: vec![1, 2, 3, 4],
            ..said(node, epoch, &[u32::from(node)], &[])
        };
        let of = |node: u16, version, epoch, older| {
            of_node(NodeIndex::new(node).expect("not 0"), of(node, version, epoch, older))
        };
        // The third has missed a refresh of version 1; the fourth has not heard of version 2.
        let mut all = vec![
            of(1, 2, 6, vec![older(1, 5, 1)]),
            of(2, 2, 6, vec![older(1, 5, 2)]),
            of(3, 2, 6, vec![older(1, 4, 3)]),
            of(4, 1, 5, Vec::new()),
        ];
        for _ in 0..all.len() {
            all.rotate_left(1);
            let mut joined = all[0].clone();
            all[1..].iter().for_each(|key| join(&mut joined, key.clone()));
            assert_eq!((joined.version, joined.epoch), (2, 6));
            assert_eq!((&joined.serving[..], &joined.unsettled[..]), (&[1, 2, 3][..], &[][..]));
            let [one] = &joined.older[..] else { panic!("{:?}", joined.older) };
            assert_eq!((one.version, one.epoch, one.threshold), (1, 5, 2));
            assert_eq!((&one.serving[..], &one.unsettled[..]), (&[1, 2, 4][..], &[3][..]));
            assert_eq!(one.committee, [1, 2, 3, 4]);
        }
        // A node of an older release tells the epoch only, and does not hide what others tell.
        let deaf = VersionSummary { version: 1, epoch: 5, ..VersionSummary::default() };
        all.push(of(5, 2, 6, vec![deaf]));
        all.rotate_right(1);
        let mut joined = all[0].clone();
        all[1..].iter().for_each(|key| join(&mut joined, key.clone()));
        assert_eq!(joined.older[0].committee, [1, 2, 3, 4]);
    }

    #[test]
    fn of_how_a_key_is_the_highest_revision_counts_and_the_last_to_destroy_it() {
        let of = |revision, lifecycle: &str| KeySummary {
            lifecycle: lifecycle.into(),
            revision,
            aliases: vec![format!("alias-{revision}")],
            ..said(1, 7, &[1], &[])
        };
        let joined = |all: &[KeySummary]| {
            let mut joined = all[0].clone();
            all[1..].iter().for_each(|key| join(&mut joined, key.clone()));
            (joined.revision, joined.lifecycle, joined.aliases)
        };
        let (old, new) = (of(2, ""), of(3, "disabled"));
        let newest = (3, "disabled".to_owned(), vec!["alias-3".to_owned()]);
        assert_eq!(joined(&[old.clone(), new.clone()]), newest);
        assert_eq!(joined(&[new.clone(), old.clone()]), newest);
        let (waits, gone) = (of(4, "pending-deletion"), of(4, "destroyed"));
        for all in [[&gone, &waits, &gone], [&waits, &gone, &gone], [&gone, &gone, &waits]] {
            assert_eq!(joined(&all.map(Clone::clone)).1, "pending-deletion");
        }
        assert_eq!(joined(&[old, gone.clone(), gone]).1, "destroyed");
    }

    #[test]
    fn who_serves_the_newest_epoch_is_told_and_who_is_behind() {
        // Whatever the order in which they answer; and nobody speaks for others.
        let all = [
            said(1, 7, &[1], &[]),
            said(2, 7, &[2], &[2]),
            said(3, 5, &[3], &[]),
            said(4, 7, &[5], &[1]),
        ];
        for first in 0..all.len() {
            let mut joined = all[first].clone();
            for other in (0..all.len()).filter(|i| *i != first) {
                join(&mut joined, all[other].clone());
            }
            assert_eq!((joined.epoch, &joined.serving[..]), (7, &[1, 2][..]));
            assert_eq!(joined.unsettled, [2, 3]);
        }
    }
}
