//! Reading nodes' audit logs through the coordinator: it passes on what a node shows.

use crate::state::State;
use quorate_rpc::{
    Deadline, Fault, MAX_REQUEST_BYTES, bounded,
    v1::{TailRequest, TailResponse, audit_client::AuditClient, audit_server::Audit},
};
use quorate_types::NodeIndex;
use std::{sync::Arc, time::Duration};
use tonic::{Request, Response, Status};

/// How long a node may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The `Audit` service.
#[derive(Debug, Clone)]
pub struct AuditService(pub Arc<State>);

#[tonic::async_trait]
impl Audit for AuditService {
    async fn tail(&self, request: Request<TailRequest>) -> Result<Response<TailResponse>, Status> {
        let peer = quorate_rpc::Peer::of(&request);
        let operator = peer.is_some_and(|p| self.0.cluster().roster().is_operator(&p.key));
        if !operator {
            return Err(Fault::denied("audit logs are shown to operators").into());
        }
        let deadline = Deadline::of(request.metadata(), PATIENCE).for_collecting();
        let TailRequest { node, count } = request.into_inner();
        let index = quorate_rpc::index("node", node).map_err(Fault::from)?;
        let index = NodeIndex::new(index).map_err(|e| Fault::invalid(e.to_string()))?;
        let outcome = self
            .0
            .pool
            .ask_all(&[index], deadline, |_, channel| async move {
                let mut node = bounded!(AuditClient::new(channel), MAX_REQUEST_BYTES);
                let request = deadline.request(TailRequest { node: 0, count })?;
                Ok(node.tail(request).await?.into_inner())
            })
            .await;
        match (outcome.answers.into_iter().next(), outcome.failures.into_iter().next()) {
            (Some((_, answer)), _) => Ok(Response::new(answer)),
            (None, Some((_, fault))) => Err(fault.into()),
            (None, None) => Err(Fault::invalid("the roster has no node with this index").into()),
        }
    }
}
