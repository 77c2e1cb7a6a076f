//! Exports: brings the nodes' sealed shares to whoever asks with the order. Only the recipient
//! that the order names reads them.

use crate::state::State;
use quorate_rpc::{
    Deadline, Fault, MAX_REQUEST_BYTES, bounded,
    v1::{ExportRequest, ExportResponse, NodeFailure, orders_client::OrdersClient},
};
use quorate_types::{Format, SealedShare, SignedOrder, VerifiedOrder};

impl State {
    /// Asks every node for its share of an export.
    pub(crate) async fn export(
        &self,
        request: ExportRequest,
        deadline: Deadline,
    ) -> Result<ExportResponse, Fault> {
        let invalid = |e: &dyn std::fmt::Display| Fault::invalid(e.to_string());
        let signed = SignedOrder::from_bytes(&request.order).map_err(|e| invalid(&e))?;
        let mut order = VerifiedOrder::verify(&self.cluster(), &signed);
        if order.is_err() {
            self.learn_rosters(deadline).await;
            order = VerifiedOrder::verify(&self.cluster(), &signed);
        }
        if order.map_err(|e| invalid(&e))?.export().is_none() {
            return Err(Fault::invalid("the order exports no key"));
        }
        let nodes = self.nodes();
        let outcome = self
            .pool
            .ask_all(&nodes, deadline, |node, channel| {
                let request = deadline.request(request.clone());
                async move {
                    let mut orders = bounded!(OrdersClient::new(channel), MAX_REQUEST_BYTES);
                    let answer = orders.export(request?).await?.into_inner();
                    let share = answer.shares.into_iter().next().unwrap_or_default();
                    match SealedShare::from_bytes(&share) {
                        // Nobody speaks for another node; whether it lies the recipient sees.
                        Ok(sealed) if sealed.scope.node == node => Ok(share),
                        _ => Err(Fault::unavailable("the node's answer is no share of its own")),
                    }
                }
            })
            .await;
        let failures = outcome.failures.iter().map(|(node, fault)| NodeFailure {
            node: u32::from(node.get()),
            reason: fault.to_string(),
        });
        Ok(ExportResponse {
            failures: failures.collect(),
            shares: outcome.answers.into_iter().map(|(_, share)| share).collect(),
        })
    }
}
