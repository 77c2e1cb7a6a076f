//! A node that seals a share which is not its own, for tests of exports: the node of this build in
//! all else, taken over after it was made.

use quorate_crypto::{IdentityKey, SecretScalar, export::ExportError};
use quorate_node::{Config, Evaluator, Honest, Items, Node};
use quorate_types::{SealedShare, ShareScope};
use std::{error::Error, path::PathBuf, process::ExitCode, sync::Arc};
use tokio::signal::unix::{SignalKind, signal};

/// Some scalar: nobody's share, but for a chance of one in 2^252.
const ANOTHER: [u8; 32] = [5; 32];

struct Liar {
    honest: Honest,
    another: SecretScalar,
}

impl Evaluator for Liar {
    fn partials(&self, share: &SecretScalar, items: &Items) -> Vec<[u8; 32]> {
        self.honest.partials(share, items)
    }

    /// Signed as if it were right.
    fn seal(
        &self,
        scope: ShareScope,
        _: &SecretScalar,
        identity: &IdentityKey,
    ) -> Result<SealedShare, ExportError> {
        self.honest.seal(scope, &self.another, identity)
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run()));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate-node-liar: {error}");
            ExitCode::from(78)
        }
    }
}

/// `run --home DIR`, as a node takes it.
async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [run, flag, home] = &arguments[..] else { return Err("say: run --home DIR".into()) };
    if run != "run" || flag != "--home" {
        return Err("say: run --home DIR".into());
    }
    let home = PathBuf::from(home);
    let mut terminate = signal(SignalKind::terminate())?;
    let another = SecretScalar::from_bytes(&ANOTHER).ok_or("it is canonical")?;
    let liar = Liar { honest: Honest, another };
    let node = Node::start(&home, Config::load(&home)?, Arc::new(liar)).await?;
    tokio::select! {
        () = node.failed() => std::process::exit(70),
        _ = terminate.recv() => node.stop().await,
    }
    Ok(())
}
