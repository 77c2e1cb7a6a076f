//! `quorate`: the operator's and user's tool of Quorate.

pub mod args;
pub mod bench;
pub mod cmd;
pub mod compose;
pub mod demo;
pub mod dev;
pub mod failure;
pub mod floor;
pub mod layout;
pub mod local;
pub mod output;
pub mod render;
pub mod session;
pub mod signature;
pub mod time;

use args::{Audit, Cli, Client, Cluster, Command, Key, Operator, Order, Share};
use failure::Failure;
use quorate_client::Role;

/// Carries out a command line.
///
/// # Errors
/// [`Failure`] with its exit code.
pub async fn run(cli: &Cli) -> Result<(), Failure> {
    let global = &cli.global;
    let report = match &cli.command {
        Command::Demo(args) => return demo::run(args).await,
        Command::Dev(args) => return dev::run(global, args).await,
        Command::Encrypt(args) => return cmd::crypt::encrypt(global, args).await,
        Command::Decrypt(args) => return cmd::crypt::decrypt(global, args).await,
        Command::Reencrypt(args) => return cmd::crypt::reencrypt(global, args).await,
        Command::Datakey(args) => return cmd::datakey::run(global, args).await,
        Command::Derive(args) => return cmd::derive::run(global, args).await,
        Command::Sign(args) => return cmd::sign::sign(global, args).await,
        Command::Verify(args) => match cmd::sign::verify(global, args).await? {
            Some(report) => report,
            None => return Ok(()),
        },
        Command::Cluster(Cluster::Init(args)) => cmd::cluster_init::run(args)?,
        Command::Cluster(Cluster::Show) => cmd::cluster::show(global)?,
        Command::Cluster(Cluster::Check { threshold, committee }) => {
            cmd::cluster::check(global, *threshold, committee)?
        }
        Command::Cluster(Cluster::Status) => cmd::cluster::status(global).await?,
        Command::Cluster(Cluster::Add { node, out }) => cmd::roster::add(global, node, out).await?,
        Command::Cluster(Cluster::Remove { index, losing, out }) => {
            cmd::roster::remove(global, *index, losing, out).await?
        }
        Command::Cluster(Cluster::Replace { index, node, losing, out }) => {
            cmd::roster::replace(global, *index, node, losing, out).await?
        }
        Command::Cluster(Cluster::Endpoint { index, endpoint, out }) => {
            cmd::roster::endpoint(global, *index, endpoint, out).await?
        }
        Command::Cluster(Cluster::Sign { file, yes }) => {
            cmd::roster::sign(global, file, *yes).await?
        }
        Command::Cluster(Cluster::Submit { file }) => cmd::roster::submit(global, file).await?,
        Command::Cluster(Cluster::Plan) => cmd::plan::plan(global).await?,
        Command::Cluster(Cluster::Apply(args)) => cmd::plan::apply(global, args).await?,
        Command::Operator(Operator::Keygen(args)) => cmd::keygen::run(args, Role::Operator)?,
        Command::Client(Client::Keygen(args)) => cmd::keygen::run(args, Role::Client)?,
        Command::Client(Client::Add { name, key, order }) => {
            cmd::client::add(global, name, key, order).await?
        }
        Command::Client(Client::Revoke { client, order }) => {
            cmd::client::revoke(global, client, order).await?
        }
        Command::Client(Client::List) => cmd::client::list(global).await?,
        Command::Key(Key::Create(args)) => cmd::key::create(global, args).await?,
        Command::Key(Key::Rotate(args)) => cmd::rotate::run(global, args).await?,
        Command::Key(Key::ScheduleRotation(args)) => {
            cmd::schedule_rotation::run(global, args).await?
        }
        Command::Key(Key::Disable(args)) => cmd::key_state::disable(global, args).await?,
        Command::Key(Key::Enable(args)) => cmd::key_state::enable(global, args).await?,
        Command::Key(Key::Describe(args)) => cmd::key_state::describe(global, args).await?,
        Command::Key(Key::ScheduleDeletion(args)) => {
            cmd::key_state::schedule_deletion(global, args).await?
        }
        Command::Key(Key::CancelDeletion(args)) => {
            cmd::key_state::cancel_deletion(global, args).await?
        }
        Command::Key(Key::List(args)) => cmd::key::list(global, args).await?,
        Command::Key(Key::Import(args)) => cmd::import::run(global, args).await?,
        Command::Key(Key::Export(args)) => cmd::export::export(global, args).await?,
        Command::Key(Key::ExportKeygen { out }) => cmd::export::keygen(out)?,
        Command::Key(Key::Combine(args)) => cmd::export::run_combine(global, args).await?,
        Command::Key(Key::Show(args)) => match cmd::key::show(global, args).await? {
            Some(report) => report,
            None => return Ok(()),
        },
        Command::Share(Share::Refresh(args)) => cmd::share::refresh(global, args).await?,
        Command::Share(Share::Reshare(args)) => cmd::share::reshare(global, args).await?,
        Command::Share(Share::Schedule(args)) => cmd::share::schedule(global, args).await?,
        Command::Share(Share::Repair(args)) => cmd::share::repair(global, args).await?,
        Command::Share(Share::Drain(args)) => cmd::share::drain(global, args).await?,
        Command::Share(Share::Status(args)) => match &args.key {
            Some(key) => cmd::share_status::run(global, key).await?,
            None => cmd::share_overview::run(global, args).await?,
        },
        Command::Order(Order::Show { file }) if file.is_dir() => {
            cmd::orders::show(global, file).await?
        }
        Command::Order(Order::Sign { file, yes }) if file.is_dir() => {
            cmd::orders::sign(global, file, *yes).await?
        }
        Command::Order(Order::Submit { file, at_once }) if file.is_dir() => {
            cmd::orders_submit::run(global, file, *at_once).await?
        }
        Command::Order(Order::Show { file }) => cmd::order::show(global, file).await?,
        Command::Order(Order::Sign { file, yes }) => cmd::order::sign(global, file, *yes).await?,
        Command::Order(Order::Submit { file, .. }) => cmd::order::submit_file(global, file).await?,
        Command::Order(Order::Resolve { stays, falls, order }) => {
            cmd::resolve::run(global, stays, falls, order).await?
        }
        Command::Order(Order::List) => cmd::order::list(global).await?,
        Command::WhoOwns { key } => cmd::key::who_owns(global, key).await?,
        Command::Audit(Audit::Tail { index, count }) => {
            cmd::audit::tail(global, *index, *count).await?
        }
        Command::Bench(args) => bench::run(global, args).await?,
    };
    report.print(global.output).map_err(|e| Failure::io("stdout", &e))
}
