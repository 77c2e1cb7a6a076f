//! Through a coordinator.

use super::{avoided, key_states, records, reply};
use crate::{
    error::Error,
    transport::{BoxFuture, KeyStates, Question, Records, Replies, Transport},
};
use quorate_crypto::IdentityKey;
use quorate_quorum::Failover;
use quorate_rpc::{
    Channel, Deadline, DialOptions, Dialer, Fault, MAX_CEREMONY_BYTES, bounded,
    v1::{self, audit_client::AuditClient, keys_client::KeysClient},
};
use quorate_types::{AuditEntry, Endpoint, Format, KeyName, KeyVersion, NodeIndex, Roster};

/// Keys on a page: few round trips for many keys, and no node reads for long.
const PAGE: u32 = 500;

/// One coordinator at one address.
#[derive(Debug)]
pub struct CoordinatorTransport {
    party: String,
    /// As many channels as keys may answer at the address: one, if the roster says which.
    failover: Failover,
}

impl CoordinatorTransport {
    /// The roster's coordinators; or those at `endpoints`, where each may prove any
    /// coordinator's key.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn all(
        identity: &IdentityKey,
        roster: &Roster,
        endpoints: &[Endpoint],
    ) -> Result<Vec<Self>, Error> {
        let dialer = Dialer::new(identity, DialOptions::default())?;
        let dial = |endpoint: &Endpoint, key| -> Result<Channel, Error> {
            Ok(dialer.channel(endpoint.as_str(), key)?)
        };
        if endpoints.is_empty() {
            let of = |c: &quorate_types::CoordinatorEntry| {
                Ok(Self {
                    party: c.name.to_string(),
                    failover: Failover::new(vec![dial(&c.endpoint, c.tls_key)?]),
                })
            };
            return roster.coordinators.iter().map(of).collect();
        }
        let at = |endpoint: &Endpoint| {
            let channels = (roster.coordinators.iter())
                .map(|c| dial(endpoint, c.tls_key))
                .collect::<Result<_, _>>()?;
            Ok(Self { party: format!("coordinator {endpoint}"), failover: Failover::new(channels) })
        };
        endpoints.iter().map(at).collect()
    }

    /// Health of the nodes, as this coordinator sees it. Nothing of it is proven.
    ///
    /// # Errors
    /// [`Error::Party`].
    pub async fn status(&self, deadline: Deadline) -> Result<ClusterStatus, Error> {
        let call = |channel| async move {
            let request = deadline.request(v1::StatusRequest {})?;
            Ok(keys(channel).status(request).await?.into_inner())
        };
        let answered = self.failover.call(deadline, call).await;
        answered.map(ClusterStatus::from).map_err(|fault| Error::party(&self.party, fault))
    }

    /// What each node has of a key version (0: the newest): node, and its canonical
    /// `SurveyAnswer` or why there is none. Operators only; nothing of it is verified yet.
    ///
    /// # Errors
    /// [`Error::Party`].
    pub async fn survey(
        &self,
        name: &KeyName,
        version: u32,
        deadline: Deadline,
    ) -> Result<Surveyed, Error> {
        let call = |channel| async move {
            let request = v1::SurveyKeyRequest { name: name.to_string(), version };
            Ok(keys(channel).survey(deadline.request(request)?).await?.into_inner())
        };
        let answered = self.failover.call(deadline, call).await;
        let answered = answered.map_err(|fault| Error::party(&self.party, fault))?;
        let said = |n: v1::NodeSurvey| {
            let node = NodeIndex::new(u16::try_from(n.node).ok()?).ok()?;
            Some((node, if n.answer.is_empty() { Err(n.reason) } else { Ok(n.answer) }))
        };
        Ok(answered.nodes.into_iter().filter_map(said).collect())
    }

    /// A page of key names, from after `after`. A hint for people; `Client::key` proves.
    ///
    /// # Errors
    /// [`Error::Party`].
    pub async fn list_keys(&self, after: &str, deadline: Deadline) -> Result<KeysPage, Error> {
        let call = |channel| async move {
            let request = v1::ListKeysRequest { page_size: PAGE, after: after.to_owned() };
            Ok(keys(channel).list_keys(deadline.request(request)?).await?.into_inner())
        };
        let answered = self.failover.call(deadline, call).await;
        answered.map(KeysPage::from).map_err(|fault| Error::party(&self.party, fault))
    }

    /// The newest entries of a node's audit log, oldest first, with the number of the first.
    /// Not proven yet: what a coordinator withholds is not seen.
    ///
    /// # Errors
    /// [`Error::Party`], [`Error::Verification`].
    pub async fn audit_tail(
        &self,
        node: NodeIndex,
        count: u32,
        deadline: Deadline,
    ) -> Result<(u64, Vec<AuditEntry>), Error> {
        let call = |channel| async move {
            let request = v1::TailRequest { node: u32::from(node.get()), count };
            let mut client = bounded!(AuditClient::new(channel), MAX_CEREMONY_BYTES);
            Ok(client.tail(deadline.request(request)?).await?.into_inner())
        };
        let tail = self.failover.call(deadline, call).await;
        let tail = tail.map_err(|fault| Error::party(&self.party, fault))?;
        let parse = |bytes: &Vec<u8>| AuditEntry::from_bytes(bytes);
        let entries = tail.entries.iter().map(parse).collect::<Result<_, _>>();
        let bad = |e| Error::coordinator(&self.party, format!("sent a bad audit entry: {e}"));
        Ok((tail.first, entries.map_err(bad)?))
    }
}

impl Transport for CoordinatorTransport {
    fn party(&self) -> String {
        self.party.clone()
    }

    fn rosters(&self, deadline: Deadline) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Fault>> {
        let call = move |channel| async move {
            let request = v1::GetRosterRequest { version: Some(v1::ProtocolVersion::spoken()) };
            let mut client = bounded!(KeysClient::new(channel), MAX_CEREMONY_BYTES);
            let answer = client.get_roster(deadline.request(request)?).await?.into_inner();
            quorate_rpc::version(answer.version.as_ref())?;
            Ok(answer.rosters)
        };
        Box::pin(self.failover.call(deadline, call))
    }

    fn key(
        &self,
        name: KeyName,
        version: Option<KeyVersion>,
        fresh: bool,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Vec<Records>, Fault>> {
        Box::pin(async move {
            let call = |channel| {
                let name = name.to_string();
                async move {
                    let version = version.map_or(0, KeyVersion::get);
                    let request = deadline.request(v1::GetKeyRequest { name, version, fresh })?;
                    Ok(vec![records(keys(channel).get_key(request).await?.into_inner())])
                }
            };
            self.failover.call(deadline, call).await
        })
    }

    fn key_state(
        &self,
        name: KeyName,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<KeyStates, Fault>> {
        Box::pin(async move {
            let call = |channel| {
                let name = name.to_string();
                async move {
                    let request = deadline.request(v1::KeyStateRequest { name })?;
                    let mut client = bounded!(KeysClient::new(channel), MAX_CEREMONY_BYTES);
                    Ok(key_states(client.key_state(request).await?.into_inner()))
                }
            };
            self.failover.call(deadline, call).await
        })
    }

    fn evaluate(
        &self,
        question: Question,
        deadline: Deadline,
    ) -> BoxFuture<'_, Result<Replies, Fault>> {
        Box::pin(async move {
            let request = v1::EvaluateRequest {
                head: question.head.to_vec(),
                signature: question.signature.0.to_vec(),
                items: question.items.to_vec(),
                avoid: avoided(&question),
                want: u32::try_from(question.want).unwrap_or(0),
            };
            let call = |channel| {
                let request = request.clone();
                async move { Ok(keys(channel).evaluate(deadline.request(request)?).await?.into_inner()) }
            };
            let answer = self.failover.call(deadline, call).await?;
            Ok(Replies {
                answers: answer.answers.into_iter().filter_map(reply).collect(),
                failures: answer.failures.into_iter().map(|f| (f.node, f.reason)).collect(),
            })
        })
    }
}

fn keys(channel: Channel) -> KeysClient<Channel> {
    // Answers under several epochs may be larger than a request.
    bounded!(KeysClient::new(channel), MAX_CEREMONY_BYTES)
}

/// What nodes say that they have of a key: each its canonical `SurveyAnswer`, or why not.
pub type Surveyed = Vec<(NodeIndex, Result<Vec<u8>, String>)>;

/// A coordinator's view of itself and the nodes. Nothing of it is proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The coordinator's name.
    pub coordinator: String,
    /// Its software version.
    pub software: String,
    /// The version of its newest roster.
    pub roster_version: u32,
    /// The nodes.
    pub nodes: Vec<NodeStatus>,
}

impl From<v1::StatusResponse> for ClusterStatus {
    fn from(status: v1::StatusResponse) -> Self {
        Self {
            coordinator: status.coordinator,
            software: status.software,
            roster_version: status.roster_version,
            nodes: status.nodes.into_iter().map(NodeStatus::from).collect(),
        }
    }
}

/// One node's health, as the answering party sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its index.
    pub node: u32,
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub endpoint: String,
    /// Who runs the machine.
    pub provider: String,
    /// Where the machine stands.
    pub location: String,
    /// Where the provider is at home.
    pub home: String,
    /// Whether it answers.
    pub reachable: bool,
    /// "serving", "draining", "quarantined", "unreachable".
    pub state: String,
    /// Keys of which it holds a share.
    pub keys: u64,
    /// Moving average; 0 when unknown.
    pub latency_micros: u32,
    /// Its software version.
    pub version: String,
    /// What to do when it is not serving.
    pub detail: String,
    /// Why it is in quarantine: "waiting", "rolled_back", "cloned"; empty if it is not.
    pub quarantine: String,
}

impl From<v1::NodeHealth> for NodeStatus {
    fn from(n: v1::NodeHealth) -> Self {
        Self {
            node: n.node,
            name: n.name,
            endpoint: n.endpoint,
            provider: n.provider,
            location: n.location,
            home: n.home,
            reachable: n.reachable,
            state: n.state,
            keys: n.keys,
            latency_micros: n.latency_micros,
            version: n.version,
            detail: n.detail,
            quarantine: n.quarantine,
        }
    }
}

/// A page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysPage {
    /// By name.
    pub keys: Vec<KeySummary>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

impl From<v1::ListKeysResponse> for KeysPage {
    fn from(page: v1::ListKeysResponse) -> Self {
        Self {
            keys: page.keys.into_iter().map(KeySummary::from).collect(),
            next: Some(page.next).filter(|n| !n.is_empty()),
        }
    }
}

/// A key in a list: a hint for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySummary {
    /// Its name.
    pub name: String,
    /// Its newest version that is born; the one to come if none is.
    pub version: u32,
    /// What it does.
    pub suite: String,
    /// What it is for.
    pub purpose: String,
    /// `t`.
    pub threshold: u32,
    /// Node indices.
    pub committee: Vec<u32>,
    /// "active", "pending".
    pub state: String,
    /// The number of its newest epoch.
    pub epoch: u64,
    /// Nodes that say that they serve that epoch.
    pub serving: Vec<u32>,
    /// Nodes that say that they hold shares of other epochs.
    pub unsettled: Vec<u32>,
    /// Versions before the newest that are born, ascending.
    pub older: Vec<VersionSummary>,
    /// "disabled", "pending-deletion", "destroyed"; empty for none of them.
    pub lifecycle: String,
    /// By name.
    pub tags: Vec<(String, String)>,
    /// Other names.
    pub aliases: Vec<String>,
    /// When it is deleted, in ms since 1970.
    pub deletion: Option<u64>,
    /// Its owner had it before it was imported.
    pub imported: bool,
    /// It was exported to a recipient.
    pub exported: bool,
}

/// A version of a key before its newest, in a list: a hint for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionSummary {
    /// Which.
    pub version: u32,
    /// The number of its newest epoch.
    pub epoch: u64,
    /// `t`; 0 where no node tells this and what follows, for all are of an older release.
    pub threshold: u32,
    /// Node indices.
    pub committee: Vec<u32>,
    /// Nodes that say that they serve that epoch.
    pub serving: Vec<u32>,
    /// Nodes that say that they hold shares of other epochs.
    pub unsettled: Vec<u32>,
}

impl From<v1::VersionSummary> for VersionSummary {
    fn from(v: v1::VersionSummary) -> Self {
        let v1::VersionSummary { version, epoch, threshold, committee, serving, unsettled } = v;
        Self { version, epoch, threshold, committee, serving, unsettled }
    }
}

impl KeySummary {
    /// Whether all nodes that answered have destroyed it.
    #[must_use]
    pub fn is_destroyed(&self) -> bool {
        self.lifecycle == "destroyed"
    }

    /// One word for how it is: "active", "pending", "disabled", "pending-deletion", "destroyed".
    #[must_use]
    pub fn word(&self) -> &str {
        if self.lifecycle.is_empty() { &self.state } else { &self.lifecycle }
    }
}

impl From<v1::KeySummary> for KeySummary {
    fn from(k: v1::KeySummary) -> Self {
        Self {
            name: k.name,
            version: k.version,
            suite: k.suite,
            purpose: k.purpose,
            threshold: k.threshold,
            committee: k.committee,
            state: k.state,
            epoch: k.epoch,
            serving: k.serving,
            unsettled: k.unsettled,
            older: k.older.into_iter().map(VersionSummary::from).collect(),
            lifecycle: k.lifecycle,
            tags: k.tags.into_iter().map(|t| (t.name, t.value)).collect(),
            aliases: k.aliases,
            deletion: Some(k.deletion).filter(|at| *at > 0),
            imported: k.imported,
            exported: k.exported,
        }
    }
}
