//! `quorate dev`: a cluster in the foreground, with a client and a key ready to use.

use crate::{
    args::{Dev, Global},
    cmd,
    demo::{key_create, operator},
    failure::Failure,
    local::LocalCluster,
    output::Progress,
};
use quorate_client::Client;
use std::path::PathBuf;

/// The key that is ready to use.
const KEY: &str = "demo";

/// Runs until interrupted. State stays in the home; the next run comes up on it.
///
/// # Errors
/// When the home is something else, or a part does not start.
pub async fn run(global: &Global, args: &Dev) -> Result<(), Failure> {
    let dir = global.home.clone().unwrap_or_else(|| PathBuf::from("quorate-dev"));
    let mut progress = Progress::new();
    progress.show("starting the cluster …");
    let fresh = !dir.join("coordinator").exists();
    let mut cluster = match fresh {
        true => LocalCluster::lay_out(&dir, args.nodes, args.threshold)?,
        false => LocalCluster::at(&dir),
    };
    let nodes = nodes_in(&dir)?;
    for index in 1..=nodes {
        cluster.start_node(index).await?;
    }
    cluster.start_coordinator().await?;
    cluster.settle().await?;

    let client = Client::open(cluster.home("client"))?;
    let known = client.key(KEY).await;
    let missing = matches!(known, Err(quorate_client::Error::UnknownKey { .. }));
    if missing {
        progress.show("making the key demo: every node deals …");
        cmd::key::create(&operator(cluster.home("operator-1")), &key_create(KEY)).await?;
    } else {
        known?;
    }
    progress.clear();
    let dir = dir.display();
    println!("{nodes} nodes and a coordinator run; the key `{KEY}` is ready. Try, elsewhere:");
    println!("  echo hello | quorate --home {dir}/client encrypt --key {KEY} > hello.qrt");
    println!("  quorate --home {dir}/client decrypt < hello.qrt");
    println!("Ctrl-C stops the cluster; its state stays in {dir}.");

    tokio::signal::ctrl_c().await.map_err(|e| Failure::io("waiting for Ctrl-C", &e))?;
    cluster.stop().await;
    Ok(())
}

/// How many nodes were laid out.
fn nodes_in(dir: &std::path::Path) -> Result<u16, Failure> {
    let count = (1..=64u16).take_while(|i| dir.join(format!("node-{i}")).exists()).count();
    match u16::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Failure::new(format!("{} holds no nodes: name another --home", dir.display()))),
    }
}
