//! `quorate cluster init`: a roster, and the homes that can be made beside it.

use crate::{
    args::ClusterInit,
    compose,
    failure::Failure,
    layout::{cast, free_ports},
    output::Report,
    render,
    time::now,
};
use quorate_client::home::{Home, NewHome, Role};
use quorate_coordinator::init::{Init as CoordinatorInit, init as init_coordinator};
use quorate_crypto::{IdentityKey, hash::Label};
use quorate_node::init::{InitOptions, init as init_node};
use quorate_types::{
    Action, Cluster, CoordinatorCard, CoordinatorEntry, Endpoint, Format, Hash, Jurisdiction,
    NodeCard, NodeEntry, NodeIndex, OperatorEntry, PartyName, ProviderName, Roster, RosterChain,
    Signed, SignedOrder, SignedRoster,
    armor::{self, Title},
    ids::parse_public_key,
    roster::fingerprint,
};
use rand::Rng;
use serde_json::json;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Days in which the first orders must reach the nodes: their homes may wait a while
/// before they are started for the first time.
const FIRST_ORDERS_LIFE: u64 = 30;

/// What a new cluster consists of, before anything of it is written.
struct Founding {
    nodes: Vec<NodeEntry>,
    coordinators: Vec<CoordinatorEntry>,
    /// With their keys where they are made here.
    operators: Vec<(OperatorEntry, Option<IdentityKey>)>,
    client: Option<(PartyName, IdentityKey)>,
}

/// Makes a roster and what belongs to it.
///
/// # Errors
/// When files are in the way or say something wrong; what was made stays, to look at.
pub fn run(args: &ClusterInit) -> Result<Report, Failure> {
    let founding = match args.local {
        Some(n) => found_local(args, n)?,
        None => found_from_files(args)?,
    };
    let cluster = roster(args, &founding)?;
    write_homes(args, &founding, &cluster)?;
    write_public(args, &founding, &cluster)?;
    Ok(report(args, &founding, &cluster))
}

fn found_local(args: &ClusterInit, n: u16) -> Result<Founding, Failure> {
    if !(2..=64).contains(&n) {
        return Err(Failure::usage("--local takes 2 to 64 nodes"));
    }
    let ports = free_ports(usize::from(n) + 1)?;
    let nodes = (1..=n)
        .zip(&ports[1..])
        .map(|(index, port)| local_node(&args.dir, index, *port))
        .collect::<Result<_, Failure>>()?;
    let coordinator = CoordinatorInit {
        name: party("coordinator")?,
        endpoint: endpoint(ports[0])?,
        listen: loopback(ports[0]),
    };
    let card = init_coordinator(&args.dir.join("coordinator"), &coordinator)
        .map_err(|e| Failure::io("the coordinator's home", &e))?;
    let operators = (1..=args.operators.unwrap_or(1))
        .map(|i| match i {
            1 => new_operator(&args.operator_name),
            i => new_operator(&format!("operator-{i}")),
        })
        .collect::<Result<_, Failure>>()?;
    let client = Some((party(&args.client_name)?, new_key()));
    Ok(Founding { nodes, coordinators: vec![card.entry], operators, client })
}

fn local_node(dir: &Path, index: u16, port: u16) -> Result<NodeEntry, Failure> {
    let (provider, jurisdiction) = cast(usize::from(index) - 1);
    let name = party(&format!("node-{index}"))?;
    let place = Jurisdiction::new(jurisdiction).map_err(Failure::new)?;
    let options = InitOptions {
        index: NodeIndex::new(index).map_err(Failure::new)?,
        listen: Some(loopback(port)),
        ..InitOptions::new(
            dir.join(name.as_str()),
            name,
            endpoint(port)?,
            ProviderName::new(provider).map_err(Failure::new)?,
            place.clone(),
            place,
        )
    };
    Ok(init_node(&options).map_err(Failure::new)?.entry)
}

fn found_from_files(args: &ClusterInit) -> Result<Founding, Failure> {
    if args.coordinator_file.is_empty() {
        return Err(Failure::usage("say --coordinator-file FILE too: a cluster needs one"));
    }
    let mut nodes = Vec::new();
    for path in &args.node_file {
        let card: NodeCard = read_armored(Title::NODE, path)?;
        nodes.push(card.entry);
    }
    number(&mut nodes)?;
    let mut coordinators = Vec::new();
    for path in &args.coordinator_file {
        let card: CoordinatorCard = read_armored(Title::COORDINATOR, path)?;
        coordinators.push(card.entry);
    }
    // Operators who made their keys elsewhere say for themselves who is a client.
    if !args.operator.is_empty() {
        let given = args.operator.iter().map(|text| given_operator(text));
        let operators = given.collect::<Result<_, _>>()?;
        return Ok(Founding { nodes, coordinators, operators, client: None });
    }
    let operators = vec![new_operator(&args.operator_name)?];
    let client = Some((party(&args.client_name)?, new_key()));
    Ok(Founding { nodes, coordinators, operators, client })
}

/// Keeps the indices that the nodes wish for if they are distinct; else numbers them in
/// the order given.
fn number(nodes: &mut [NodeEntry]) -> Result<(), Failure> {
    let wishes: BTreeSet<NodeIndex> = nodes.iter().map(|n| n.index).collect();
    if wishes.len() != nodes.len() {
        for (at, node) in nodes.iter_mut().enumerate() {
            let index = u16::try_from(at + 1).map_err(Failure::new)?;
            node.index = NodeIndex::new(index).map_err(Failure::new)?;
        }
    }
    nodes.sort_by_key(|n| n.index);
    Ok(())
}

fn given_operator(text: &str) -> Result<(OperatorEntry, Option<IdentityKey>), Failure> {
    let (name, key) = text.split_once('=').ok_or_else(|| {
        Failure::usage("--operator takes NAME=KEY, from `quorate operator keygen`")
    })?;
    let key = parse_public_key(key).map_err(Failure::usage)?;
    Ok((OperatorEntry { name: party(name)?, key }, None))
}

fn new_operator(name: &str) -> Result<(OperatorEntry, Option<IdentityKey>), Failure> {
    let key = new_key();
    Ok((OperatorEntry { name: party(name)?, key: key.public() }, Some(key)))
}

fn roster(args: &ClusterInit, founding: &Founding) -> Result<Cluster, Failure> {
    let mut nonce = [0; 32];
    rand::rng().fill_bytes(&mut nonce);
    let k = u16::try_from(founding.operators.len()).map_err(Failure::usage)?;
    let roster = Roster {
        cluster: party(&args.name)?,
        version: 1,
        previous: Hash::default(),
        nonce,
        written_at: now(),
        nodes: founding.nodes.clone(),
        coordinators: founding.coordinators.clone(),
        operators: founding.operators.iter().map(|(o, _)| o.clone()).collect(),
        quorum: args.quorum.unwrap_or(k / 2 + 1),
    };
    roster.check().map_err(Failure::usage)?;
    // A threshold that does not fit would only be found at the first key.
    compose::committee(&roster, &[], args.threshold)?;
    let body = roster.to_bytes();
    let pinned = fingerprint(&body);
    let mut signed = Signed::unsigned(body);
    for key in made_here(founding) {
        signed.sign(key, Label::SIG_ROSTER, &pinned);
    }
    Cluster::verify(&pinned, &[SignedRoster(signed)]).map_err(Failure::new)
}

fn write_homes(args: &ClusterInit, founding: &Founding, cluster: &Cluster) -> Result<(), Failure> {
    let create = |dir: PathBuf, role, identity: &IdentityKey, threshold| {
        let new = NewHome {
            role,
            cluster,
            identity,
            passphrase: None,
            threshold,
            coordinators: Vec::new(),
        };
        Home::create(dir, &new).map_err(Failure::new)
    };
    for (at, key) in made_here(founding).enumerate() {
        let dir = args.dir.join(format!("operator-{}", at + 1));
        create(dir, Role::Operator, key, Some(args.threshold))?;
    }
    if let Some((_, key)) = &founding.client {
        create(args.dir.join("client"), Role::Client, key, None)?;
    }
    Ok(())
}

/// The roster and the first orders, wherever they are wanted. Orders first: who sees the
/// roster may rely on them.
fn write_public(args: &ClusterInit, founding: &Founding, cluster: &Cluster) -> Result<(), Failure> {
    let mut roster_files: Vec<PathBuf> = args.roster_out.iter().cloned().collect();
    let mut order_dirs: Vec<PathBuf> = args.orders_out.iter().cloned().collect();
    if args.local.is_some() {
        for node in &founding.nodes {
            let home = args.dir.join(node.name.as_str());
            roster_files.push(home.join("roster.json"));
            order_dirs.push(home.join("orders"));
        }
        roster_files.push(args.dir.join("coordinator/roster.json"));
    }
    let order = first_order(founding, cluster)?;
    for dir in order_dirs {
        std::fs::create_dir_all(&dir).map_err(|e| Failure::io(dir.display(), &e))?;
        if let Some(order) = &order {
            write_file(&dir.join("001-add-client.json"), order)?;
        }
    }
    let text = RosterChain(cluster.chain().to_vec()).to_text();
    roster_files.iter().try_for_each(|path| write_file(path, &text))
}

/// The order that makes the first client known, if it can be signed here.
fn first_order(founding: &Founding, cluster: &Cluster) -> Result<Option<String>, Failure> {
    let Some((name, key)) = &founding.client else { return Ok(None) };
    let action = Action::AddClient { name: name.clone(), client: key.public() };
    let rng = &mut rand::rng();
    let order = compose::order(cluster, action, Hash::default(), now(), FIRST_ORDERS_LIFE, rng)?;
    let mut signed = SignedOrder(Signed::unsigned(order.to_bytes()));
    for key in made_here(founding) {
        signed.0.sign(key, Label::SIG_ORDER, cluster.fingerprint());
    }
    Ok(Some(armor::write(Title::ORDER, &signed)))
}

fn made_here(founding: &Founding) -> impl Iterator<Item = &IdentityKey> {
    founding.operators.iter().filter_map(|(_, key)| key.as_ref())
}

fn report(args: &ClusterInit, founding: &Founding, cluster: &Cluster) -> Report {
    let roster = cluster.roster();
    let mut lines = vec![format!("Cluster {} of {} nodes:", roster.cluster, roster.nodes.len())];
    lines.extend(roster.nodes.iter().map(|n| {
        format!("  {:<3} {} at {}", n.index.get(), render::node(roster, n.index), n.endpoint)
    }));
    lines.push(format!("fingerprint {}", cluster.fingerprint()));
    let dir = args.dir.display();
    if args.local.is_some() {
        lines.push("Start each in a terminal or service of its own:".into());
        lines.extend(
            roster.nodes.iter().map(|n| format!("  quorate-node run --home {dir}/{}", n.name)),
        );
        lines.push(format!("  quorate-coordinator run --home {dir}/coordinator"));
        lines.push("Then:".into());
    } else {
        lines.push("Give the roster to every node and coordinator, start them, then:".into());
    }
    if made_here(founding).next().is_some() {
        lines.push(format!("  quorate --home {dir}/operator-1 key create demo"));
    }
    if founding.client.is_some() {
        lines.push(format!("  quorate --home {dir}/client encrypt --key demo < in > out"));
    }
    let json = json!({
        "cluster": roster.cluster.as_str(),
        "fingerprint": cluster.fingerprint().to_string(),
        "nodes": roster.nodes.iter().map(|n| json!({
            "index": n.index.get(), "name": n.name.as_str(), "endpoint": n.endpoint.as_str(),
        })).collect::<Vec<_>>(),
        "dir": args.dir.display().to_string(),
    });
    Report::new(lines.join("\n"), json)
}

fn read_armored<F: Format>(title: Title, path: &Path) -> Result<F, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::io(path.display(), &e))?;
    armor::read(title, &text).map_err(|e| Failure::verification(format!("{}: {e}", path.display())))
}

fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    quorate_client::file::replace(path, text.as_bytes(), 0o644).map_err(Failure::new)
}

fn new_key() -> IdentityKey {
    IdentityKey::generate(&mut rand::rng())
}

fn party(name: &str) -> Result<PartyName, Failure> {
    PartyName::new(name).map_err(Failure::usage)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn endpoint(port: u16) -> Result<Endpoint, Failure> {
    Endpoint::new(loopback(port).to_string()).map_err(Failure::new)
}
