//! `quorate-coordinator`: gathers quorums, holds no share.

use clap::{Args, Parser, Subcommand};
use quorate_coordinator::{
    Coordinator, LogFormat, StartError,
    config::Config,
    init::{Init, card_text, init},
    server::{read_key, read_roster},
};
use quorate_quorum::{Peer, Pool};
use quorate_rpc::{Deadline, DialOptions};
use quorate_types::{Endpoint, NodeIndex, PartyName};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// Gathers quorums of Quorate nodes. It holds no share and can read no result.
#[derive(Parser)]
#[command(name = "quorate-coordinator", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 64 usage, 78 configuration";

#[derive(Subcommand)]
enum Command {
    /// Make a home: TLS key, configuration; prints the public part for the roster
    Init(InitArgs),
    /// Serve in the foreground until SIGTERM or SIGINT
    Run(RunArgs),
    /// Exit 0 if the coordinator of this home answers
    Healthcheck {
        /// The home
        #[arg(long, env = "QUORATE_HOME", value_name = "DIR")]
        home: PathBuf,
    },
    /// Print the annotated configuration with its defaults
    Config,
}

#[derive(Args)]
struct InitArgs {
    /// The new home
    #[arg(long, env = "QUORATE_HOME", value_name = "DIR")]
    home: PathBuf,
    /// The coordinator's name in the roster
    #[arg(long)]
    name: PartyName,
    /// Where clients and operators dial, host:port
    #[arg(long)]
    endpoint: Endpoint,
    /// Where it listens (default: the endpoint's port on all addresses)
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Write the public part here instead of to stdout
    #[arg(long, value_name = "FILE")]
    public_out: Option<PathBuf>,
}

#[derive(Args)]
struct RunArgs {
    /// The home
    #[arg(long, env = "QUORATE_HOME", value_name = "DIR")]
    home: PathBuf,
    /// The roster's file, if not the one in the configuration
    #[arg(long, value_name = "FILE")]
    roster: Option<PathBuf>,
}

/// What systemd should know: try again, or ask a person.
const FAILED: u8 = 1;
const USAGE: u8 = 64;
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let code = if e.use_stderr() { USAGE } else { 0 };
            // Nothing is left to do if even this cannot be printed.
            let _ = e.print();
            return ExitCode::from(code);
        }
    };
    let result = match cli.command {
        Command::Init(args) => make_home(args),
        Command::Run(args) => run(args),
        Command::Healthcheck { home } => check(home),
        Command::Config => {
            print!("{}", quorate_coordinator::config::MANUAL);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            eprintln!("quorate-coordinator: {message}");
            ExitCode::from(code)
        }
    }
}

type Done = Result<(), (u8, String)>;

fn make_home(args: InitArgs) -> Done {
    let failed = |e: std::io::Error| (FAILED, e.to_string());
    let everywhere = SocketAddr::from(([0, 0, 0, 0], args.endpoint.port()));
    let listen = args.listen.unwrap_or(everywhere);
    let card = init(&args.home, &Init { name: args.name, endpoint: args.endpoint, listen })
        .map_err(failed)?;
    match args.public_out {
        Some(path) => std::fs::write(path, card_text(&card)).map_err(failed)?,
        None => print!("{}", card_text(&card)),
    }
    Ok(())
}

fn run(args: RunArgs) -> Done {
    let config = |e: StartError| (CONFIG, e.to_string());
    let mut settings = Config::read(&args.home).map_err(|e| config(e.into()))?;
    if let Some(roster) = args.roster {
        settings.roster = roster;
    }
    harden();
    start_log(settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| (FAILED, e.to_string()))?;
    runtime.block_on(async {
        let coordinator = Coordinator::start_with(settings).await.map_err(|e| match e {
            StartError::Listen { .. } => (FAILED, e.to_string()),
            other => config(other),
        })?;
        let failed = |e: std::io::Error| (FAILED, e.to_string());
        let mut term = signal(SignalKind::terminate()).map_err(failed)?;
        let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("draining");
        coordinator.stop().await;
        tracing::info!("stopped");
        Ok(())
    })
}

/// No core dumps, no reading of this process's memory by others of the same user, no life after
/// a panic: a supervisor starts a clean process.
fn harden() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err()
        || set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err()
    {
        eprintln!("quorate-coordinator: core dumps could not be switched off");
    }
}

fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        // Lines go to journals and files, which show escape codes as they are.
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
}

fn check(home: PathBuf) -> Done {
    let failed = |e: &dyn std::fmt::Display| (FAILED, e.to_string());
    let config = Config::read(&home).map_err(|e| failed(&e))?;
    let key = read_key(&config.tls_key).map_err(|e| failed(&e))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| failed(&e))?;
    runtime.block_on(async {
        // The roster may stand elsewhere (--roster): only the key decides who answers.
        let _ = read_roster(&config.roster);
        let address = SocketAddr::from(([127, 0, 0, 1], config.listen.port()));
        let host = if config.listen.ip().is_unspecified() { address } else { config.listen };
        let pool = Pool::new(&key, DialOptions::default()).map_err(|e| failed(&e))?;
        let index = NodeIndex::new(1).map_err(|e| failed(&e))?;
        let endpoint = Endpoint::new(host.to_string()).map_err(|e| failed(&e))?;
        pool.set_peers([Peer { index, endpoint, key: key.public() }]).map_err(|e| failed(&e))?;
        let deadline = Deadline::after(Duration::from_secs(3));
        let outcome = pool
            .ask_all(&[index], deadline, |_, channel| async move {
                let mut keys = quorate_rpc::v1::keys_client::KeysClient::new(channel);
                let request = quorate_rpc::v1::GetRosterRequest { version: None };
                keys.get_roster(deadline.request(request)?).await?;
                Ok(())
            })
            .await;
        match outcome.failures.into_iter().next() {
            None => Ok(()),
            Some((_, fault)) => Err(failed(&fault)),
        }
    })
}
