//! What an operator does: reads the chains, submits orders, watches them carried out.
//!
//! Signing is not here: an order is signed where its bytes were shown to a person.

use crate::{
    api::{
        ClusterStatus, CoordinatorTransport, Ended, Heads, KeySummary, OrdersApi, Owner, Progress,
        Surveyed,
    },
    builder::{TIMEOUT, now},
    client::{Client, heavier, nobody},
    error::{Culprit, Error, NodeRef},
    home::Home,
    import::{ImportError, OwnedKey},
    key::Key,
    states::KeyState,
};
use quorate_crypto::{IdentityKey, PublicKey};
use quorate_rpc::{Channel, Deadline, DialOptions, Dialer, FaultKind};
use quorate_types::{
    Action, AuditEntry, Cluster, DealRequest, Endpoint, Format, Hash, ImportKey, KeyName,
    KeyRecord, KeyVersion, Millis, NodeIndex, Order, PartyName, RosterError, RotateKey,
    SignedOrder, SignedRoster, VerifiedEpoch, VerifiedKey, VerifiedOrder, fork::fallen,
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

/// Orders that are read at most: far more than any cluster has.
const MAX_ORDERS: usize = 100_000;
/// How long an order with its ceremony may take.
const CEREMONY: Duration = Duration::from_secs(120);

/// Whom an operator talks to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// The coordinators of home and roster.
    #[default]
    Coordinators,
    /// The coordinator at this address.
    Coordinator(Endpoint),
    /// The node at this address, past every coordinator; it must be in the roster.
    Node(Endpoint),
}

/// A client as the orders tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEntry {
    /// Its name; `None` if only a grant or a revocation names it.
    pub name: Option<PartyName>,
    /// Its identity.
    pub client: PublicKey,
    /// Whether everything was taken from it.
    pub revoked: bool,
    /// Keys granted to it, and until when.
    pub grants: Vec<(KeyName, Millis)>,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CarriedOut {
    /// It was applied.
    Applied,
    /// It made this key.
    Born(Box<VerifiedKey>),
    /// It moved the shares of a key.
    Moved(Box<Moved>),
}

/// Shares that have moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The epoch that is in force now.
    pub epoch: VerifiedEpoch,
    /// Members of its committee that do not serve it yet.
    pub absent: Vec<NodeIndex>,
    /// Members of the committee before that have not reported that they erased their shares.
    pub unerased: Vec<NodeIndex>,
}

/// An operator of one cluster.
#[derive(Debug)]
pub struct Operator {
    identity: IdentityKey,
    client: Client,
    parties: Vec<OrdersApi>,
    coordinators: Vec<CoordinatorTransport>,
}

impl Operator {
    /// The operator of a home directory. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Home`]; [`Error::Invalid`] for a node that the roster does not have.
    pub fn open(
        home: impl Into<PathBuf>,
        passphrase: Option<&[u8]>,
        via: &Via,
    ) -> Result<Self, Error> {
        let home = Home::open(home)?;
        let identity = home.identity(passphrase)?;
        let roster = home.cluster().roster();
        let dialer = Dialer::new(&identity, DialOptions::default())?;
        let mut builder = Client::builder().home(home.dir()).identity(identity.clone());
        let mut endpoints = Vec::new();
        let parties = match via {
            Via::Node(endpoint) => {
                builder = builder.direct();
                vec![node_party(&dialer, home.cluster(), endpoint)?]
            }
            Via::Coordinator(endpoint) => {
                builder = builder.coordinator(endpoint.clone());
                endpoints.push(endpoint.clone());
                coordinator_parties(&dialer, home.cluster(), &endpoints)?
            }
            Via::Coordinators => {
                endpoints = home.coordinators()?;
                coordinator_parties(&dialer, home.cluster(), &endpoints)?
            }
        };
        let coordinators = CoordinatorTransport::all(&identity, roster, &endpoints)?;
        Ok(Self { client: builder.build()?, identity, parties, coordinators })
    }

    /// The operator's own key: signs orders.
    #[must_use]
    pub fn identity(&self) -> &IdentityKey {
        &self.identity
    }

    pub(crate) fn parties(&self) -> &[OrdersApi] {
        &self.parties
    }

    /// What is known of the cluster.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        self.client.cluster()
    }

    /// The same party as a client: for keys and rosters.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The heads of the policy chain and, if a key is named, of its chain with the order that
    /// it is.
    ///
    /// # Errors
    /// [`Error::Party`]; [`Error::Verification`] if the order does not verify, or is another one.
    pub async fn heads(&self, key: Option<&KeyName>) -> Result<Heads, Error> {
        // Orders are made, and verified, under the newest roster.
        self.client.0.ask_roster_once().await?;
        let mut worst = None;
        for party in &self.parties {
            match party.heads(key, Deadline::after(TIMEOUT)).await {
                Ok(heads) => return self.verified_heads(party, heads),
                Err(fault) => worst = Some(heavier(worst, Error::party(&party.party, fault))),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    fn verified_heads(&self, party: &OrdersApi, mut heads: Heads) -> Result<Heads, Error> {
        let verify = |bytes: Vec<u8>, head: Hash| {
            if bytes.is_empty() {
                return Ok(None);
            }
            let bad = |e: String| {
                let what = format!("sent a key's newest order that does not verify: {e}");
                Error::coordinator(&party.party, what)
            };
            let signed = SignedOrder::from_bytes(&bytes).map_err(|e| bad(e.to_string()))?;
            let order = VerifiedOrder::verify(&self.cluster(), &signed);
            let order = order.map_err(|e| bad(e.to_string()))?;
            if order.hash() != head {
                return Err(bad("it is not the head of the chain".into()));
            }
            Ok(Some(order))
        };
        heads.key_order = verify(std::mem::take(&mut heads.unverified), heads.key)?;
        let bytes = std::mem::take(&mut heads.unverified_rotation);
        heads.rotation_order = verify(bytes, heads.rotation)?;
        Ok(heads)
    }

    /// An unsigned order under the newest roster, for `action`, with this predecessor.
    #[must_use]
    pub fn draft(&self, action: Action, predecessor: Hash, life: Duration) -> Order {
        let cluster = self.cluster();
        let issued_at = now();
        let mut nonce = [0; 32];
        rand::Rng::fill_bytes(&mut rand::rng(), &mut nonce);
        Order {
            fingerprint: *cluster.fingerprint(),
            roster_version: cluster.roster().version,
            roster_hash: cluster.roster_hash(),
            issued_at,
            expires_at: issued_at.plus(u64::try_from(life.as_millis()).unwrap_or(u64::MAX)),
            nonce,
            predecessor,
            action,
        }
    }

    /// Submits an order and tells each step. Gives the verified key that a key order made
    /// (it is pinned then), or the epoch to which a reshare has moved the shares.
    ///
    /// A party that is lost on the way is not followed by another: the order may be under
    /// way. Submit it again; it applies once.
    ///
    /// # Errors
    /// [`Error::Order`] if it does not stand (nothing is sent then);
    /// [`Error::Ceremony`] and [`Error::Verification`] if it was not carried out.
    pub async fn submit(
        &self,
        order: &SignedOrder,
        mut progress: impl FnMut(&Progress) + Send,
    ) -> Result<CarriedOut, Error> {
        self.carry_out(order, &mut progress, None).await
    }

    /// Submits an order that imports a key, as its owner: deals the key when the ceremony asks
    /// for it, to the nodes that the order names and to nobody else. If it fails, or this process
    /// dies, the same order can be submitted again: for one step the same is dealt again.
    ///
    /// # Errors
    /// As [`Operator::submit`]; [`Error::Import`] if the order is not about this key and owner,
    /// or the request to deal does not verify.
    pub async fn import(
        &self,
        order: &SignedOrder,
        key: &OwnedKey,
        mut progress: impl FnMut(&Progress) + Send,
    ) -> Result<CarriedOut, Error> {
        self.client.0.ask_roster_once().await?;
        let verified = VerifiedOrder::verify(&self.cluster(), order)?;
        let import = verified.import().ok_or(ImportError::Action)?;
        if import.dealer != self.identity.public() {
            return Err(ImportError::Dealer.into());
        }
        if key.public_key(import.create.suite)? != import.public_key {
            return Err(ImportError::PublicKey.into());
        }
        let mut owner = |request: &[u8]| {
            let request = DealRequest::from_bytes(request)?;
            Ok(key.deal(&verified, &request, &self.identity)?.to_bytes())
        };
        self.carry_out(order, &mut progress, Some(&mut owner)).await
    }

    async fn carry_out(
        &self,
        order: &SignedOrder,
        progress: &mut (dyn FnMut(&Progress) + Send),
        mut owner: Option<&mut Owner<'_>>,
    ) -> Result<CarriedOut, Error> {
        self.client.0.ask_roster_once().await?;
        let verified = VerifiedOrder::verify(&self.cluster(), order)?;
        verified.check_fresh(now())?;
        let grace = verified.terms().map_or(0, |terms| terms.grace);
        let patience = CEREMONY + Duration::from_secs(u64::from(grace));
        let mut worst = None;
        for party in &self.parties {
            let deadline = Deadline::after(patience);
            let owner = owner.as_mut().map(|owner| &mut **owner as &mut Owner<'_>);
            match party.submit(&verified, deadline, progress, owner).await {
                Ok(last) => return self.carried_out(&verified, &party.party, &last),
                Err(Ended::Fault(fault)) if fault.kind == FaultKind::Unavailable => {
                    worst = Some(heavier(worst, Error::party(&party.party, fault)));
                }
                Err(Ended::Fault(fault)) => return Err(Error::party(&party.party, fault)),
                // A party can bring a request that is none; another one may do better.
                Err(Ended::Import(error)) => worst = Some(heavier(worst, error.into())),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    fn carried_out(
        &self,
        order: &VerifiedOrder,
        party: &str,
        last: &Progress,
    ) -> Result<CarriedOut, Error> {
        if last.step != "done" {
            return Err(self.not_done(last));
        }
        if order.terms().is_none() || last.record.is_empty() {
            return Ok(CarriedOut::Applied); // a single node makes no epoch
        }
        let record = KeyRecord::from_bytes(&last.record)
            .map_err(|e| Error::coordinator(party, format!("sent a bad record of the key: {e}")))?;
        let Some(create) = order.create_key() else {
            let bad = |what: String| Error::coordinator(party, what);
            let epoch = record
                .verify_epoch(&self.cluster())
                .map_err(|e| bad(format!("sent a record that does not verify: {e}")))?;
            if epoch.order().hash() != order.hash() {
                return Err(bad("moved the shares under another order".into()));
            }
            let (absent, unerased) = (last.waiting_for.clone(), last.unerased.clone());
            return Ok(CarriedOut::Moved(Box::new(Moved { epoch, absent, unerased })));
        };
        let (name, version) = (&create.name, Some(create.version));
        let key = Key::verify(&self.cluster(), &record, None, name, version, party)
            .map_err(|e| e.into_error(party, name))?;
        if key.verified().order().hash() != order.hash() {
            return Err(Error::coordinator(party, "made the key under another order"));
        }
        let born = self.client.0.pin(party, key, false)?.verified().clone();
        Ok(CarriedOut::Born(Box::new(born)))
    }

    fn not_done(&self, last: &Progress) -> Error {
        let cluster = self.cluster();
        let nodes = |indices: &[NodeIndex]| -> Vec<NodeRef> {
            indices.iter().map(|i| NodeRef::of(cluster.roster(), *i)).collect()
        };
        if !last.culprits.is_empty() {
            return Error::Verification {
                culprit: Culprit::Nodes(nodes(&last.culprits)),
                what: format!("broke the ceremony: {}", last.message),
            };
        }
        if last.waiting_for.is_empty() {
            return Error::Ceremony(match last.message.as_str() {
                "" => format!("it ended in step {:?}", last.step),
                message => message.to_owned(),
            });
        }
        let waiting: Vec<String> =
            nodes(&last.waiting_for).iter().map(NodeRef::to_string).collect();
        Error::Ceremony(format!("{} (waiting for {})", last.message, waiting.join(", ")))
    }

    /// Brings a longer roster chain to the cluster; gives the nodes that could not be told,
    /// which are when they come back. It holds here from then on too.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it does not extend what is known here; [`Error::Party`].
    pub async fn put_rosters(&self, chain: &[SignedRoster]) -> Result<Vec<NodeIndex>, Error> {
        let known = self.cluster();
        let invalid = |e: RosterError| Error::Invalid(e.to_string());
        let longer = known.extended(chain).map_err(invalid)?;
        let newer = longer.as_ref().unwrap_or(&known);
        // All of it but the genesis, which everybody has: whoever is behind can take it.
        let later = newer.chain().get(1..).unwrap_or_default();
        let mut worst = None;
        for party in &self.parties {
            match party.put_roster(later, Deadline::after(TIMEOUT)).await {
                Ok((version, missing)) if version >= newer.roster().version => {
                    if let Some(longer) = longer {
                        self.client.0.adopt(longer)?;
                    }
                    return Ok(missing);
                }
                Ok((version, _)) => {
                    let what = format!("did not take the roster: it has version {version}");
                    worst = Some(heavier(worst, Error::coordinator(&party.party, what)));
                }
                Err(fault) => worst = Some(heavier(worst, Error::party(&party.party, fault))),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    /// All orders that the party knows, oldest first, each verified. What is withheld is
    /// not seen.
    ///
    /// # Errors
    /// [`Error::Party`]; [`Error::Verification`] if one does not verify.
    pub async fn orders(&self) -> Result<Vec<VerifiedOrder>, Error> {
        self.client.0.ask_roster_once().await?;
        let mut worst = None;
        for party in &self.parties {
            match self.orders_of(party).await {
                Ok(orders) => return Ok(orders),
                Err(error) => worst = Some(heavier(worst, error)),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    async fn orders_of(&self, party: &OrdersApi) -> Result<Vec<VerifiedOrder>, Error> {
        let cluster = self.cluster();
        let mut orders = Vec::new();
        let mut after = 0;
        loop {
            let page = party.list(after, Deadline::after(TIMEOUT)).await;
            let (page, next) = page.map_err(|fault| Error::party(&party.party, fault))?;
            for bytes in page {
                let verified = SignedOrder::from_bytes(&bytes)
                    .map_err(Into::into)
                    .and_then(|o| VerifiedOrder::verify(&cluster, &o));
                let bad = |e| {
                    let what = format!("sent an order that does not verify: {e}");
                    Error::coordinator(&party.party, what)
                };
                orders.push(verified.map_err(bad)?);
            }
            if next <= after {
                return Ok(orders);
            }
            if orders.len() >= MAX_ORDERS {
                // Who may use the keys is read from it: a part of it would tell that wrongly.
                let what = format!("lists more than {MAX_ORDERS} orders: no more are read");
                return Err(Error::coordinator(&party.party, what));
            }
            after = next;
        }
    }

    /// The clients, by the orders.
    ///
    /// # Errors
    /// As [`Operator::orders`].
    pub async fn clients(&self) -> Result<Vec<ClientEntry>, Error> {
        Ok(clients_of(&self.orders().await?))
    }

    /// Health of the nodes, as a coordinator sees it.
    ///
    /// # Errors
    /// [`Error::Party`].
    pub async fn status(&self) -> Result<ClusterStatus, Error> {
        let mut worst = None;
        for coordinator in &self.coordinators {
            match coordinator.status(Deadline::after(TIMEOUT)).await {
                Ok(status) => return Ok(status),
                Err(error) => worst = Some(heavier(worst, error)),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    /// The names of all keys: a hint, not proven.
    ///
    /// # Errors
    /// [`Error::Party`].
    pub async fn keys(&self) -> Result<Vec<KeySummary>, Error> {
        let mut worst = None;
        for coordinator in &self.coordinators {
            match all_keys(coordinator).await {
                Ok(keys) => return Ok(keys),
                Err(error) => worst = Some(heavier(worst, error)),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    /// Keys that are as wanted, by name, after one, at most so many; and the name after which there
    /// may be more. A hint, not proven.
    ///
    /// # Errors
    /// [`Error::Party`].
    pub async fn keys_where(
        &self,
        wanted: &KeyFilter,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<KeySummary>, Option<String>), Error> {
        let mut worst = None;
        for coordinator in &self.coordinators {
            match keys_where(coordinator, wanted, after, limit).await {
                Ok(found) => return Ok(found),
                Err(error) => worst = Some(heavier(worst, error)),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    /// The record of a key's newest version, verified and pinned.
    ///
    /// # Errors
    /// As [`Client::key`].
    pub async fn key_record(&self, name: &str) -> Result<VerifiedKey, Error> {
        Ok(self.client.key(name).await?.verified().clone())
    }

    /// A key with the epoch in force, from the nodes; pinned.
    ///
    /// # Errors
    /// As [`Client::key`].
    pub async fn key_in_force(&self, name: &KeyName) -> Result<Key, Error> {
        self.client.0.newest_key(name, true).await
    }

    /// All versions of a key that are born, ascending, each with its epoch in force, from the
    /// nodes; pinned.
    ///
    /// # Errors
    /// As [`Client::key`].
    pub async fn versions_in_force(&self, name: &KeyName) -> Result<Vec<Key>, Error> {
        let newest = self.key_in_force(name).await?;
        let mut versions = Vec::new();
        for version in (1..newest.version().get()).filter_map(KeyVersion::new) {
            match self.client.0.fresh_version(name, version).await {
                Ok(key) => versions.push(key),
                // Its birth failed for good, and the next one took its place.
                Err(Error::UnknownKey { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        versions.push(newest);
        Ok(versions)
    }

    /// How a key is: what operators have ordered, and what the nodes say of it.
    ///
    /// # Errors
    /// As [`Client::key_state`].
    pub async fn key_state(&self, name: &KeyName) -> Result<KeyState, Error> {
        self.client.0.key_state(name).await
    }

    /// The same for one version.
    ///
    /// # Errors
    /// As [`Client::key`].
    pub async fn version_in_force(
        &self,
        name: &KeyName,
        version: KeyVersion,
    ) -> Result<Key, Error> {
        self.client.0.fetch_key(name, Some(version), true).await
    }

    /// What each node says that it has of a version of a key: canonical `SurveyAnswer`s, not
    /// verified.
    ///
    /// # Errors
    /// [`Error::Party`].
    pub async fn survey(&self, name: &KeyName, version: KeyVersion) -> Result<Surveyed, Error> {
        let mut worst = None;
        for coordinator in &self.coordinators {
            match coordinator.survey(name, version.get(), Deadline::after(TIMEOUT)).await {
                Ok(surveyed) => return Ok(surveyed),
                Err(error) => worst = Some(heavier(worst, error)),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    /// The newest entries of a node's audit log, with the number of the first.
    ///
    /// # Errors
    /// [`Error::Party`].
    pub async fn audit_tail(
        &self,
        node: NodeIndex,
        count: u32,
    ) -> Result<(u64, Vec<AuditEntry>), Error> {
        let mut worst = None;
        for coordinator in &self.coordinators {
            match coordinator.audit_tail(node, count, Deadline::after(TIMEOUT)).await {
                Ok(tail) => return Ok(tail),
                Err(error) => worst = Some(heavier(worst, error)),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }
}

/// Which keys are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// How their names begin.
    pub prefix: String,
    /// [`KeySummary::word`].
    pub state: Option<String>,
    /// What they are for.
    pub purpose: Option<String>,
    /// Tags that they all have.
    pub tags: Vec<(String, String)>,
}

impl KeyFilter {
    fn takes(&self, key: &KeySummary) -> bool {
        key.name.starts_with(&self.prefix)
            && self.state.as_ref().is_none_or(|state| key.word() == state)
            && self.purpose.as_ref().is_none_or(|purpose| key.purpose == *purpose)
            && self.tags.iter().all(|tag| key.tags.contains(tag))
    }

    /// A name just before every one that begins so: pages are read from there on.
    fn before(&self) -> String {
        let mut bytes = self.prefix.clone().into_bytes();
        let Some(last) = bytes.pop() else { return String::new() };
        bytes.push(last.saturating_sub(1));
        if bytes.len() < KeyName::MAX {
            bytes.push(0x7f); // after every character of names
        }
        String::from_utf8(bytes).unwrap_or_default()
    }

    fn is_past(&self, name: &str) -> bool {
        !name.starts_with(&self.prefix) && name > self.prefix.as_str()
    }
}

async fn keys_where(
    coordinator: &CoordinatorTransport,
    wanted: &KeyFilter,
    after: &str,
    limit: usize,
) -> Result<(Vec<KeySummary>, Option<String>), Error> {
    let (mut keys, mut read) = (Vec::new(), 0);
    let mut after = wanted.before().max(after.to_owned());
    loop {
        let page = coordinator.list_keys(&after, Deadline::after(TIMEOUT)).await?;
        for key in page.keys {
            if wanted.is_past(&key.name) {
                return Ok((keys, None));
            }
            if wanted.takes(&key) {
                if keys.len() >= limit {
                    let last = keys.last().map(|k: &KeySummary| k.name.clone());
                    return Ok((keys, last));
                }
                keys.push(key);
            }
            read += 1;
        }
        match page.next {
            Some(next) if next > after && read < MOST_READ && !wanted.is_past(&next) => {
                after = next
            }
            Some(next) if next > after && read >= MOST_READ => return Ok((keys, Some(next))),
            _ => return Ok((keys, None)),
        }
    }
}

/// Keys that are looked at for one list: whoever sends names without end is not read for ever.
const MOST_READ: usize = 1_000_000;

async fn all_keys(coordinator: &CoordinatorTransport) -> Result<Vec<KeySummary>, Error> {
    let mut keys = Vec::new();
    let mut after = String::new();
    loop {
        let page = coordinator.list_keys(&after, Deadline::after(TIMEOUT)).await?;
        keys.extend(page.keys);
        match page.next {
            Some(next) if next > after && keys.len() < MAX_ORDERS => after = next,
            _ => return Ok(keys),
        }
    }
}

/// Clients by identity, as a list of orders tells them.
fn clients_of(orders: &[VerifiedOrder]) -> Vec<ClientEntry> {
    let mut clients: BTreeMap<PublicKey, ClientEntry> = BTreeMap::new();
    let mut entry = |client: PublicKey, change: &mut dyn FnMut(&mut ClientEntry)| {
        let new = || ClientEntry { name: None, client, revoked: false, grants: Vec::new() };
        change(clients.entry(client).or_insert_with(new));
    };
    let fallen = fallen(orders);
    for order in orders.iter().filter(|o| !fallen.contains(&o.hash())) {
        match &order.order().action {
            Action::AddClient { name, client } => {
                entry(*client, &mut |c| c.name = Some(name.clone()));
            }
            Action::RevokeClient { client } => entry(*client, &mut |c| c.revoked = true),
            Action::ResolveFork(_)
            | Action::Reshare(_)
            | Action::SetKeyState(_)
            | Action::ExportKey(_) => {}
            Action::RotateKey(RotateKey { times: 0, .. }) => {}
            Action::CreateKey(create)
            | Action::ImportKey(ImportKey { create, .. })
            | Action::RotateKey(RotateKey { create, .. }) => {
                for grant in &create.grants {
                    entry(grant.client, &mut |c| {
                        c.name.get_or_insert_with(|| grant.name.clone());
                        c.grants.push((create.name.clone(), grant.expires_at));
                    });
                }
            }
        }
    }
    clients.into_values().collect()
}

fn node_party(dialer: &Dialer, cluster: &Cluster, endpoint: &Endpoint) -> Result<OrdersApi, Error> {
    let node = cluster.roster().nodes.iter().find(|n| n.endpoint == *endpoint);
    let node = node.ok_or_else(|| {
        Error::Invalid(format!("no node of the roster listens at {endpoint}; see `cluster show`"))
    })?;
    let channel = dialer.channel(endpoint.as_str(), node.identity)?;
    Ok(OrdersApi::new(node.name.to_string(), channel))
}

/// The roster's coordinators; or every key of theirs at each of `endpoints`.
fn coordinator_parties(
    dialer: &Dialer,
    cluster: &Cluster,
    endpoints: &[Endpoint],
) -> Result<Vec<OrdersApi>, Error> {
    let roster = cluster.roster();
    let dial = |endpoint: &Endpoint, key| -> Result<Channel, Error> {
        Ok(dialer.channel(endpoint.as_str(), key)?)
    };
    if endpoints.is_empty() {
        return (roster.coordinators.iter())
            .map(|c| Ok(OrdersApi::new(c.name.to_string(), dial(&c.endpoint, c.tls_key)?)))
            .collect();
    }
    let pairs = endpoints.iter().flat_map(|e| roster.coordinators.iter().map(move |c| (e, c)));
    pairs
        .map(|(e, c)| Ok(OrdersApi::new(format!("coordinator {e}"), dial(e, c.tls_key)?)))
        .collect()
}
