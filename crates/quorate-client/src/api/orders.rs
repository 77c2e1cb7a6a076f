//! Orders: through a coordinator, or to one node past every coordinator.

use crate::{export::SealedShares, import::ImportError};
use quorate_rpc::{
    Channel, Deadline, Fault, FaultKind, MAX_CEREMONY_BYTES, array32, bounded,
    v1::{self, orders_client::OrdersClient},
};
use quorate_types::{
    Format, Hash, KeyName, NodeIndex, SealedShare, SignedOrder, SignedRoster, VerifiedOrder,
    roster::MAX_NODES,
};

/// Heads of order chains: what a new order names as its predecessor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// Of the policy chain; zeros when it is empty.
    pub policy: Hash,
    /// Of the key's chain that was asked for; zeros when it is empty.
    pub key: Hash,
    /// The order that `key` names, if the party sent it; verified by [`crate::Operator::heads`].
    pub key_order: Option<VerifiedOrder>,
    /// Of the chain about the key's schedule of versions; zeros when it is empty.
    pub rotation: Hash,
    /// The order that `rotation` names, as `key_order`.
    pub rotation_order: Option<VerifiedOrder>,
    /// `key_order` as it came.
    pub(crate) unverified: Vec<u8>,
    /// `rotation_order` as it came.
    pub(crate) unverified_rotation: Vec<u8>,
}

/// A step of an order's way, as the conducting party tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// "deliver", "survey", "prepare", "deal", "receive", "activate", "retire", "done", "failed".
    pub step: String,
    /// Nodes that have done it.
    pub done: u32,
    /// Of so many.
    pub of: u32,
    /// Nodes that have not.
    pub waiting_for: Vec<NodeIndex>,
    /// For people.
    pub message: String,
    /// Nodes that broke the ceremony's rules, as the party says, also where it went on without them.
    pub culprits: Vec<NodeIndex>,
    /// On "done" and "failed": what they did, for people.
    pub blames: Vec<(NodeIndex, String)>,
    /// Epoch number of the attempt.
    pub number: u64,
    /// On "done" of a reshare: nodes that have not erased the old shares.
    pub unerased: Vec<NodeIndex>,
    /// On "done" of a key order: canonical `KeyRecord`, not verified yet.
    pub(crate) record: Vec<u8>,
    /// On "deal" of an import: canonical `DealRequest`, for the owner.
    pub(crate) deal: Vec<u8>,
}

/// What an owner answers to a request to deal: canonical `SignedDealing`.
pub(crate) type Owner<'a> = dyn FnMut(&[u8]) -> Result<Vec<u8>, ImportError> + Send + 'a;

/// Why an order came to no end here.
pub(crate) enum Ended {
    /// The party's doing, or the network's.
    Fault(Fault),
    /// The owner does not deal.
    Import(ImportError),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<v1::OrderProgress> for Progress {
    fn from(p: v1::OrderProgress) -> Self {
        let indices = |nodes: Vec<u32>| -> Vec<NodeIndex> {
            let index = |i| NodeIndex::new(u16::try_from(i).ok()?).ok();
            nodes.into_iter().filter_map(index).collect()
        };
        Self {
            step: p.step,
            done: p.done,
            of: p.of,
            waiting_for: indices(p.waiting_for),
            message: p.message,
            culprits: indices(p.culprits),
            blames: p.blames.into_iter().take(MAX_NODES).filter_map(blame).collect(),
            number: p.number,
            unerased: indices(p.unerased),
            record: p.record,
            deal: p.deal,
        }
    }
}

fn blame(said: v1::Blame) -> Option<(NodeIndex, String)> {
    let node = NodeIndex::new(u16::try_from(said.node).ok()?).ok()?;
    Some((node, said.what.chars().filter(|c| !c.is_control()).take(300).collect()))
}

/// One party that takes orders.
#[derive(Clone, Debug)]
pub(crate) struct OrdersApi {
    pub(crate) party: String,
    channel: Channel,
}

impl OrdersApi {
    pub(crate) fn new(party: String, channel: Channel) -> Self {
        Self { party, channel }
    }

    pub(crate) async fn heads(
        &self,
        key: Option<&KeyName>,
        deadline: Deadline,
    ) -> Result<Heads, Fault> {
        let key = key.map(KeyName::to_string).unwrap_or_default();
        let request = deadline.request(v1::HeadsRequest { key })?;
        let heads = within(deadline, self.client().heads(request)).await?;
        let hash = |field, bytes: &[u8]| {
            if bytes.is_empty() { Ok(Hash::default()) } else { array32(field, bytes).map(Hash) }
        };
        Ok(Heads {
            policy: hash("policy_head", &heads.policy_head)?,
            key: hash("key_head", &heads.key_head)?,
            key_order: None,
            rotation: hash("rotation_head", &heads.rotation_head)?,
            rotation_order: None,
            unverified: heads.key_order,
            unverified_rotation: heads.rotation_order,
        })
    }

    /// A page of orders after the one numbered `after`, and where the next begins (0: end).
    pub(crate) async fn list(
        &self,
        after: u64,
        deadline: Deadline,
    ) -> Result<(Vec<Vec<u8>>, u64), Fault> {
        let request = deadline.request(v1::ListOrdersRequest { page_size: 1000, after })?;
        let page = within(deadline, self.client().list(request)).await?;
        Ok((page.orders, page.next))
    }

    /// Brings rosters; gives the version known there now, and the nodes that lack it.
    pub(crate) async fn put_roster(
        &self,
        rosters: &[SignedRoster],
        deadline: Deadline,
    ) -> Result<(u32, Vec<NodeIndex>), Fault> {
        let rosters = rosters.iter().map(Format::to_bytes).collect();
        let request = deadline.request(v1::PutRosterRequest { rosters })?;
        let put = within(deadline, self.client().put_roster(request)).await?;
        let index = |i: u32| NodeIndex::new(u16::try_from(i).ok()?).ok();
        Ok((put.version, put.missing.into_iter().filter_map(index).collect()))
    }

    /// `owner` deals, where the order imports a key and its owner is here.
    pub(crate) async fn submit(
        &self,
        order: &VerifiedOrder,
        deadline: Deadline,
        progress: &mut (dyn FnMut(&Progress) + Send),
        mut owner: Option<&mut Owner<'_>>,
    ) -> Result<Progress, Ended> {
        let (deals, bytes) = (owner.is_some(), order.signed().to_bytes());
        let request = deadline.request(v1::SubmitOrderRequest { order: bytes, deals })?;
        let mut client = self.client();
        let mut stream = within(deadline, client.submit(request)).await?;
        let mut last = Progress::default();
        while let Some(step) = within_message(deadline, stream.message()).await? {
            last = step.into();
            progress(&last);
            if let (false, Some(owner)) = (last.deal.is_empty(), owner.as_mut()) {
                let dealing = owner(&last.deal).map_err(Ended::Import)?;
                let (hash, number) = (order.hash().0.to_vec(), last.number);
                let request = v1::OwnerDealingRequest { order: hash, number, dealing };
                // What nobody awaits any more is asked for again, if it is needed.
                match within(deadline, client.deal(deadline.request(request)?)).await {
                    Err(fault) if fault.kind != FaultKind::NotFound => return Err(fault.into()),
                    _ => {}
                }
            }
        }
        Ok(last)
    }

    /// Sealed shares of an export.
    pub(crate) async fn export(
        &self,
        order: &SignedOrder,
        deadline: Deadline,
    ) -> Result<SealedShares, Fault> {
        let request = deadline.request(v1::ExportRequest { order: order.to_bytes() })?;
        let answer = within(deadline, self.client().export(request)).await?;
        let parse = |bytes: &Vec<u8>| SealedShare::from_bytes(bytes).ok();
        Ok(SealedShares {
            shares: answer.shares.iter().take(MAX_NODES).filter_map(parse).collect(),
            failures: answer.failures.into_iter().map(|f| (f.node, f.reason)).collect(),
        })
    }

    fn client(&self) -> OrdersClient<Channel> {
        bounded!(OrdersClient::new(self.channel.clone()), MAX_CEREMONY_BYTES)
    }
}

async fn within<T>(
    deadline: Deadline,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Fault> {
    match tokio::time::timeout_at(deadline.instant(), call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(too_late()),
    }
}

async fn within_message<T>(
    deadline: Deadline,
    call: impl Future<Output = Result<T, tonic::Status>>,
) -> Result<T, Fault> {
    match tokio::time::timeout_at(deadline.instant(), call).await {
        Ok(message) => Ok(message?),
        Err(_) => Err(too_late()),
    }
}

fn too_late() -> Fault {
    Fault::new(quorate_rpc::FaultKind::DeadlineExceeded, "no answer in time")
}
