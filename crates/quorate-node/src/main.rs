//! `quorate-node`: one node as a process.
//!
//! Exit codes: 0 done, 1 an unhealthy answer, 64 usage, 65 corrupt store, 70 fail-stop,
//! 74 unreadable disk, 78 configuration. A panic ends it with SIGABRT.

use clap::{Args, Parser, Subcommand};
use quorate_node::{
    Config, Honest, InitOptions, KekSource, LogFormat, Node, enrol,
    harden::{abort_on_panic, harden},
    init, probe,
};
use quorate_types::{
    Endpoint, Fingerprint, Jurisdiction, NodeIndex, PartyName, ProviderName,
    armor::{self, Title},
};
use std::{
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};
use tokio::signal::unix::{SignalKind, signal};

/// A Quorate node: holds one share of each key.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a node's home and keys, and prints its public part for the roster.
    Init(InitArgs),
    /// Joins the cluster of a roster: pins its fingerprint and makes the store.
    Enrol(EnrolArgs),
    /// Runs the node until SIGTERM or SIGINT.
    Run(RunArgs),
    /// Asks the running node how it is; exits 0 if it serves.
    Healthcheck(HomeArgs),
    /// Prints what the running node says of itself.
    Status(HomeArgs),
    /// Prints every key of node.toml with its manual and default.
    Config,
}

#[derive(Args)]
struct HomeArgs {
    /// The node's directory.
    #[arg(long, env = "QUORATE_HOME")]
    home: PathBuf,
}

#[derive(Args)]
struct InitArgs {
    #[command(flatten)]
    home: HomeArgs,
    /// The node's name.
    #[arg(long)]
    name: PartyName,
    /// Where others dial: host:port.
    #[arg(long)]
    endpoint: Endpoint,
    /// Who runs the machine.
    #[arg(long)]
    provider: ProviderName,
    /// Where the provider is at home: a country code such as US.
    #[arg(long)]
    home_jurisdiction: Jurisdiction,
    /// Where the machine stands: a country code such as DE.
    #[arg(long)]
    location: Jurisdiction,
    /// Where to listen: IP address and port. By default everywhere, on the endpoint's port.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The index that the node would like; the operators decide.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    index: u16,
    /// Where to serve metrics over plain HTTP.
    #[arg(long)]
    metrics_listen: Option<SocketAddr>,
    /// The key-encryption key: a file of 32 bytes, made if it is missing. Default: HOME/kek.
    #[arg(long, conflicts_with = "passphrase_file")]
    kek_file: Option<PathBuf>,
    /// A file with a passphrase in place of a key file.
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// Writes the public part to this file as well.
    #[arg(long)]
    public_out: Option<PathBuf>,
}

#[derive(Args)]
struct EnrolArgs {
    #[command(flatten)]
    home: HomeArgs,
    /// The roster chain, in place of the configured file.
    #[arg(long)]
    roster: Option<PathBuf>,
    /// The cluster's fingerprint as a person read it out; another one is refused.
    #[arg(long)]
    fingerprint: Option<Fingerprint>,
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    home: HomeArgs,
    /// The roster chain, in place of the configured file.
    #[arg(long)]
    roster: Option<PathBuf>,
    /// A directory of orders, in place of the configured one.
    #[arg(long)]
    orders: Option<PathBuf>,
}

/// `EX_USAGE`, `EX_SOFTWARE`, `EX_CONFIG` of sysexits.h.
const USAGE: u8 = 64;
const FAIL_STOP: u8 = 70;
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; what cannot be printed is lost.
            let _ = error.print();
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.command {
        Command::Init(args) => make(args),
        Command::Enrol(args) => join(&args),
        Command::Run(args) => return run(args),
        Command::Healthcheck(args) => ask(&args.home, false),
        Command::Status(args) => ask(&args.home, true),
        Command::Config => {
            print!("{}", Config::MANUAL);
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|failure| failure.report())
}

/// Why the program ends, and how.
struct Failure(Box<dyn Error>, u8);

impl Failure {
    fn config(error: impl Into<Box<dyn Error>>) -> Self {
        Self(error.into(), CONFIG)
    }

    fn report(&self) -> ExitCode {
        eprintln!("quorate-node: {}", self.0);
        self.1.into()
    }
}

fn make(args: InitArgs) -> Result<ExitCode, Failure> {
    let kek = match (args.kek_file, args.passphrase_file) {
        (_, Some(file)) => KekSource::PassphraseFile(absolute(&file)?),
        (Some(file), None) => KekSource::File(absolute(&file)?),
        (None, None) => KekSource::File("kek".into()),
    };
    let options = InitOptions {
        index: NodeIndex::new(args.index).map_err(Failure::config)?,
        listen: args.listen,
        metrics_listen: args.metrics_listen,
        kek,
        public_out: args.public_out,
        ..InitOptions::new(
            args.home.home,
            args.name,
            args.endpoint,
            args.provider,
            args.home_jurisdiction,
            args.location,
        )
    };
    let card = init(&options).map_err(Failure::config)?;
    print!("{}", armor::write(Title::NODE, &card));
    Ok(ExitCode::SUCCESS)
}

/// A path on the command line is relative to where one stands, one in `node.toml` to the
/// home.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(Failure::config)
}

fn join(args: &EnrolArgs) -> Result<ExitCode, Failure> {
    let mut config = Config::load(&args.home.home).map_err(Failure::config)?;
    if let Some(roster) = &args.roster {
        config.roster.clone_from(roster);
    }
    let fingerprint =
        enrol(&args.home.home, &config, args.fingerprint.as_ref()).map_err(Failure::config)?;
    println!("{fingerprint}");
    Ok(ExitCode::SUCCESS)
}

fn ask(home: &Path, print: bool) -> Result<ExitCode, Failure> {
    let config = Config::load(home).map_err(Failure::config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure(e.into(), FAIL_STOP))?;
    let health = runtime.block_on(probe::status(&config)).map_err(|e| Failure(e.into(), 1))?;
    if print {
        println!("node {} ({}): {}", health.node, health.name, health.state);
        println!("keys: {}", health.keys);
        println!("version: {}", health.version);
        if !health.detail.is_empty() {
            println!("{}", health.detail);
        }
    }
    // A node that waits for its peers' word is well: a new start would only begin the wait anew.
    let well = health.state == "serving" || health.quarantine == "waiting";
    Ok(if well { ExitCode::SUCCESS } else { 1.into() })
}

/// The ladder: configuration, hardening, tracing, runtime, node; wait; drain.
fn run(args: RunArgs) -> ExitCode {
    let config = match Config::load(&args.home.home) {
        Ok(mut config) => {
            config.roster = args.roster.unwrap_or(config.roster);
            config.orders = args.orders.unwrap_or(config.orders);
            config
        }
        Err(error) => return Failure::config(error).report(),
    };
    if let Err(error) = harden() {
        return Failure(format!("cannot harden the process: {error}").into(), CONFIG).report();
    }
    abort_on_panic();
    if let Err(error) = trace(&config) {
        return Failure(error, CONFIG).report();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure(error.into(), FAIL_STOP).report(),
    };
    let code = runtime.block_on(serve(&args.home.home, config));
    // After a failed write nothing may wait for the disk any more.
    runtime.shutdown_background();
    code
}

async fn serve(home: &Path, config: Config) -> ExitCode {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (mut terminate, mut interrupt) = match (terminate, interrupt) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return Failure(error.into(), FAIL_STOP).report(),
    };
    let node = tokio::select! {
        started = Node::start(home, config, Arc::new(Honest)) => match started {
            Ok(node) => node,
            Err(error) => {
                let code = error.exit_code();
                return Failure(error.into(), code).report();
            }
        },
        _ = terminate.recv() => return ExitCode::SUCCESS,
        _ = interrupt.recv() => return ExitCode::SUCCESS,
    };
    tokio::select! {
        () = node.failed() => {
            // No destructor may touch the disk.
            eprintln!("quorate-node: a write to the store has failed; nothing more is written");
            std::process::exit(FAIL_STOP.into());
        }
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    node.stop().await;
    ExitCode::SUCCESS
}

fn trace(config: &Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log_filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    }
}
