//! A whole cluster in this process, on loopback: real gRPC over TLS, real stores. For
//! `quorate demo`, `quorate dev` and tests.

use crate::{args::ClusterInit, cmd::cluster_init, failure::Failure};
use quorate_coordinator::Coordinator;
use quorate_node::{Config, Evaluator, Honest, Node, NodeHandle};
use quorate_types::NodeIndex;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long nodes may take to serve once they run.
const PATIENCE: Duration = Duration::from_secs(10);

/// An embedded cluster in one directory.
pub struct LocalCluster {
    dir: PathBuf,
    nodes: BTreeMap<u16, NodeHandle>,
    coordinator: Option<Coordinator>,
}

impl LocalCluster {
    /// Lays a cluster of `n` nodes out in `dir`. Nothing runs yet.
    ///
    /// # Errors
    /// As `quorate cluster init`.
    pub fn lay_out(dir: &Path, n: u16, threshold: u16) -> Result<Self, Failure> {
        cluster_init::run(&ClusterInit::local(dir.to_owned(), n, threshold))?;
        Ok(Self::at(dir))
    }

    /// The cluster that was laid out in `dir`. Nothing runs yet.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), nodes: BTreeMap::new(), coordinator: None }
    }

    /// A home in the cluster's directory.
    #[must_use]
    pub fn home(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Starts a node, honest.
    ///
    /// # Errors
    /// Why it does not start.
    pub async fn start_node(&mut self, index: u16) -> Result<(), Failure> {
        self.start_node_with(index, Arc::new(Honest)).await
    }

    /// Starts a node with an evaluator of one's own.
    ///
    /// # Errors
    /// Why it does not start.
    pub async fn start_node_with(
        &mut self,
        index: u16,
        evaluator: Arc<dyn Evaluator>,
    ) -> Result<(), Failure> {
        let home = self.home(&format!("node-{index}"));
        let config = Config::load(&home).map_err(Failure::new)?;
        let node = Node::start(&home, config, evaluator).await.map_err(Failure::new)?;
        self.nodes.insert(index, node);
        Ok(())
    }

    /// Stops a node as an administrator would.
    pub async fn stop_node(&mut self, index: u16) {
        if let Some(node) = self.nodes.remove(&index) {
            node.stop().await;
        }
    }

    /// Starts the coordinator.
    ///
    /// # Errors
    /// Why it does not start.
    pub async fn start_coordinator(&mut self) -> Result<(), Failure> {
        let home = self.home("coordinator");
        let coordinator = Coordinator::start(&home, None).await.map_err(Failure::new)?;
        self.coordinator = Some(coordinator);
        Ok(())
    }

    /// Waits until the coordinator has ended the quarantine of every node that runs: each is
    /// told at its start what the others last saw of it.
    ///
    /// # Errors
    /// Which nodes do not serve.
    pub async fn settle(&self) -> Result<(), Failure> {
        let Some(coordinator) = &self.coordinator else { return Ok(()) };
        let begun = Instant::now();
        loop {
            let waiting: Vec<NodeIndex> = (self.nodes.values())
                .filter(|node| !node.is_serving())
                .map(|node| node.entry().index)
                .collect();
            if waiting.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let names: Vec<String> = waiting.iter().map(ToString::to_string).collect();
                return Err(Failure::new(format!("not serving: node {}", names.join(", "))));
            }
            coordinator.visit(waiting);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops everything.
    pub async fn stop(&mut self) {
        if let Some(coordinator) = self.coordinator.take() {
            coordinator.stop().await;
        }
        for (_, node) in std::mem::take(&mut self.nodes) {
            node.stop().await;
        }
    }
}
