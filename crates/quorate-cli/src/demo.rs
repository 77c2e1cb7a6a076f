//! `quorate demo`: the whole story on five nodes in this process. Each step is a check;
//! the demonstration succeeds only if every one of them held.

mod evil;
mod story;

use crate::{
    args::{Demo, Global, KeyCreate, OrderOut, Output},
    cmd,
    failure::Failure,
    local::LocalCluster,
};
use evil::{EvilCoordinator, Liar, forged_request};
use quorate_client::{Client, EncryptionContext, Error, Home, Key};
use quorate_types::Purpose;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use story::Story;

/// Nodes, and how many of them use the key.
const NODES: u16 = 5;
const THRESHOLD: u16 = 3;
/// The node that lies.
const LIAR: u16 = 4;
/// How long the liar may go unasked before the demonstration gives up: three of four nodes
/// are asked each time, and one that was slow in coming back is spared for a while.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is signed.
const MESSAGE: &[u8] = b"v1.2.3 is good";
/// Where the default file stands: the project's own README.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

/// Tells the story.
///
/// # Errors
/// The first check that did not hold, or what could not be set up.
pub async fn run(args: &Demo) -> Result<(), Failure> {
    let temp = tempfile::Builder::new()
        .prefix("quorate-demo-")
        .tempdir()
        .map_err(|e| Failure::io("a temporary directory", &e))?;
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from(README));
    let size = std::fs::metadata(&file).map_err(|e| Failure::io(file.display(), &e))?.len();
    let stage = Stage {
        cluster: LocalCluster::lay_out(&temp.path().join("cluster"), NODES, THRESHOLD)?,
        file,
        size,
        sealed: temp.path().join("sealed.qrt"),
        wrapped: temp.path().join("wrapped.qrt"),
        opened: temp.path().join("opened"),
        story: Story::begin(),
    };
    let told = stage.tell().await;
    if args.keep {
        println!("kept in {}", temp.keep().display());
    }
    told
}

struct Stage {
    cluster: LocalCluster,
    file: PathBuf,
    size: u64,
    sealed: PathBuf,
    wrapped: PathBuf,
    opened: PathBuf,
    story: Story,
}

impl Stage {
    async fn tell(mut self) -> Result<(), Failure> {
        let key = self.birth().await?;
        self.encrypt(&key).await?;
        self.sign().await?;
        self.wrap().await?;
        self.lose_two().await?;
        self.lose_a_third().await?;
        self.one_lies(&key).await?;
        self.coordinator_lies(&key).await?;
        self.restart().await?;
        self.cluster.stop().await;
        self.story.end();
        Ok(())
    }

    async fn birth(&mut self) -> Result<Key, Failure> {
        self.story.say(
            "Five nodes in five jurisdictions, run by five providers. No one of them is trusted.",
        );
        self.story.work("starting nodes …");
        for index in 1..=NODES {
            self.cluster.start_node(index).await?;
        }
        self.cluster.start_coordinator().await?;
        self.cluster.settle().await?;
        let home = Home::open(self.cluster.home("client")).map_err(Error::from)?;
        for node in &home.cluster().roster().nodes {
            self.story.detail(&format!(
                "{}  {:<24} {}",
                node.name,
                node.provider.as_str(),
                node.location
            ));
        }
        self.story.work("the nodes make a key together …");
        let operator = operator(self.cluster.home("operator-1"));
        cmd::key::create(&operator, &key_create("demo")).await?;
        let key = self.client()?.key("demo").await?;
        let public = hex::encode(key.public().public_key());
        self.story.check(
            &format!(
                "A key was born split: {THRESHOLD} of {NODES} use it, nobody has ever held it."
            ),
            true,
        )?;
        self.story.detail(&format!("public key {}…, signed by all {NODES} nodes", &public[..16]));
        Ok(key)
    }

    async fn encrypt(&mut self, key: &Key) -> Result<(), Failure> {
        self.story.work("encrypting …");
        let input = File::open(&self.file).map_err(|e| Failure::io(self.file.display(), &e))?;
        let output = File::create(&self.sealed).map_err(|e| Failure::io("the ciphertext", &e))?;
        let (key, context) = (key.clone(), context()?);
        tokio::task::spawn_blocking(move || key.encrypt_stream(input, output, &context))
            .await
            .map_err(Failure::new)??;
        let name = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let differs = digest(&self.file)? != digest(&self.sealed)?;
        self.story.check(
            &format!("{name} ({} bytes) is encrypted, on this machine, asking no node.", self.size),
            differs,
        )
    }

    /// With a key of its own: a key does one thing.
    async fn sign(&mut self) -> Result<(), Failure> {
        self.story.say("A second key signs: its private key is nowhere, as the first one's is.");
        self.story.work("making a key and signing …");
        let key = self.make("release", Purpose::Sign).await?;
        let signature = self.client()?.sign("release", MESSAGE).await?;
        let good = key.verify_signature(MESSAGE, &signature).is_ok();
        let other = key.verify_signature(b"another message", &signature).is_err();
        self.story.check(
            "Three nodes sign, and the public key verifies it: plain Ed25519, for any program.",
            good && other,
        )
    }

    async fn wrap(&mut self) -> Result<(), Failure> {
        self.story.say("A third key wraps: nodes give a one-time key each time, on both sides.");
        self.story.work("making a key and encrypting …");
        let key = self.make("vault", Purpose::Wrap).await?;
        let input = File::open(&self.file).map_err(|e| Failure::io(self.file.display(), &e))?;
        let output = File::create(&self.wrapped).map_err(|e| Failure::io("the ciphertext", &e))?;
        self.client()?.encrypt_stream(&key, input, output, &context()?).await?;
        let differs = digest(&self.file)? != digest(&self.wrapped)?;
        let same = self.decrypt_file(&self.wrapped).await?;
        self.story.check(
            "The file is encrypted without a public key, and back, byte for byte.",
            differs && same,
        )
    }

    /// A further key, and what the client knows of it.
    async fn make(&self, name: &str, purpose: Purpose) -> Result<Key, Failure> {
        let operator = operator(self.cluster.home("operator-1"));
        cmd::key::create(&operator, &KeyCreate { purpose, ..key_create(name) }).await?;
        Ok(self.client()?.key(name).await?)
    }

    async fn lose_two(&mut self) -> Result<(), Failure> {
        self.cluster.stop_node(1).await;
        self.cluster.stop_node(2).await;
        self.story.say("Two nodes are switched off.");
        self.story.work("decrypting with the three that are left …");
        let same = self.decrypt_file(&self.sealed).await?;
        self.story.check("Three nodes are left, and the file is back, byte for byte.", same)
    }

    async fn lose_a_third(&mut self) -> Result<(), Failure> {
        self.cluster.stop_node(3).await;
        self.story.say("A third node is switched off.");
        self.story.work("trying to decrypt with two …");
        let Err(error) = self.try_decrypt_file(&self.sealed).await else {
            return self.story.check("Two nodes cannot decrypt.", false);
        };
        let Error::NoQuorum { missing, .. } = &error else { return Err(error.into()) };
        let named = missing.len() == 3 && missing.iter().all(|m| !m.node.jurisdictions.is_empty());
        self.story
            .check("Two nodes are not enough, and the refusal says who is missing:", named)?;
        for m in missing {
            self.story.detail(&m.to_string());
        }
        Ok(())
    }

    async fn one_lies(&mut self, key: &Key) -> Result<(), Failure> {
        self.cluster.stop_node(LIAR).await;
        self.cluster.start_node_with(LIAR, Arc::new(Liar::default())).await?;
        for index in [1, 2] {
            self.cluster.start_node(index).await?;
        }
        self.cluster.settle().await?;
        self.story.say(&format!(
            "Two come back, and node-{LIAR} is taken over: it answers with wrong partials."
        ));
        self.story.work("decrypting until the liar is asked …");
        let client = self.client()?;
        let secret = key.encrypt(b"a secret", &context()?)?;
        let mut caught = None;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let (plain, report) = client.decrypt_with_report(&secret, &context()?).await?;
            if plain.as_slice() != b"a secret" {
                return self.story.check("A lie never becomes a result.", false);
            }
            if let Some(liar) = report.liars.first() {
                caught = Some((liar.index.get(), liar.to_string()));
                break;
            }
        }
        let (index, name) = caught.unwrap_or((0, "nobody".into()));
        self.story.check(
            &format!("The lie is noticed, {name} is named, and another node steps in."),
            index == LIAR,
        )?;
        let same = self.decrypt_file(&self.sealed).await?;
        self.story.check("The file is still right, byte for byte.", same)
    }

    async fn coordinator_lies(&mut self, key: &Key) -> Result<(), Failure> {
        self.story.say("The coordinator is taken over: it offers its own public key …");
        let home = Home::open(self.cluster.home("client")).map_err(Error::from)?;
        let evil = EvilCoordinator::new(&home)?;
        let client = Client::builder()
            .identity(home.identity(None).map_err(Error::from)?)
            .cluster(home.cluster().clone())
            .transport(Arc::new(evil))
            .build()?;
        let swapped = client.key("demo").await;
        let refused = matches!(swapped, Err(Error::Verification { .. }));
        self.story.check(
            "The client refuses it: a key is proven by operators' and nodes' signatures.",
            refused,
        )?;
        self.story.say("… and forges a request in the client's name.");
        self.story.work("sending the forgery to every node …");
        let coordinator = self.cluster.home("coordinator");
        let (asked, refused) = forged_request(&home, &coordinator, key).await?;
        self.story.check(
            &format!("{refused} of {asked} nodes refuse: only the client's own signature counts."),
            asked > 0 && refused == asked,
        )
    }

    async fn restart(&mut self) -> Result<(), Failure> {
        self.story.say("Everything is switched off and on again.");
        self.story.work("restarting …");
        self.cluster.stop().await;
        for index in 1..=NODES {
            self.cluster.start_node(index).await?;
        }
        self.cluster.start_coordinator().await?;
        self.cluster.settle().await?;
        let same = self.decrypt_file(&self.sealed).await?;
        self.story.check("All nodes verified their stores, and the file decrypts again.", same)
    }

    /// A new client process, as it were: fresh reply key, pins from the disk.
    fn client(&self) -> Result<Client, Failure> {
        Ok(Client::open(self.cluster.home("client"))?)
    }

    /// Whether the file comes back byte for byte.
    async fn decrypt_file(&self, sealed: &Path) -> Result<bool, Failure> {
        self.try_decrypt_file(sealed).await?;
        let same = digest(&self.file)? == digest(&self.opened)?;
        std::fs::remove_file(&self.opened).map_err(|e| Failure::io("the plaintext", &e))?;
        Ok(same)
    }

    async fn try_decrypt_file(&self, sealed: &Path) -> Result<(), Error> {
        let io = |what, error| Error::Io { what, error };
        let input = File::open(sealed).map_err(|e| io("the ciphertext", e))?;
        let output = File::create(&self.opened).map_err(|e| io("the plaintext", e))?;
        let client = Client::open(self.cluster.home("client"))?;
        let context = context().map_err(|f| Error::Invalid(f.message))?;
        client.decrypt_stream(input, output, &context).await.map(drop)
    }
}

/// The encryption context of the demonstration.
fn context() -> Result<EncryptionContext, Failure> {
    EncryptionContext::new([("story".into(), "demo".into())].into()).map_err(Failure::new)
}

fn digest(path: &Path) -> Result<[u8; 32], Failure> {
    let io = |e: io::Error| Failure::io(path.display(), &e);
    let mut file = File::open(path).map_err(io)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).map_err(io)? {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// What `quorate --home DIR` would say.
#[must_use]
pub fn operator(home: PathBuf) -> Global {
    Global {
        home: Some(home),
        coordinator: None,
        direct: false,
        node: None,
        output: Output::Text,
        verbose: 0,
    }
}

/// `key create NAME` with nothing else said.
#[must_use]
pub fn key_create(name: &str) -> KeyCreate {
    KeyCreate {
        name: name.to_owned(),
        purpose: Purpose::Decrypt,
        suite: None,
        threshold: None,
        committee: Vec::new(),
        allow_absent: 0,
        client: Vec::new(),
        grant_days: 90,
        version: 1,
        danger_concentrated: false,
        acknowledge_fragile: false,
        exportable: false,
        quick_deletion: false,
        yes: false,
        order: OrderOut { order_out: None, order_days: 7 },
    }
}
