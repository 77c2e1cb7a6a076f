//! The power goes everywhere at once: a whole cluster's disks are recorded through a birth, then
//! refreshes and reshares (2 of 3, 3 of 3, and back), with uses of the key in between. Then all
//! three are cut at one random moment, each losing what it had not synced, sector by sector, and
//! started again from what is left.
//!
//! The nodes are the real drivers on real stores in one process of their own, so that all that they
//! write and sync is in one order (the shim of the store's tests records it); the steps of a
//! ceremony run at all nodes at the same time. No network: a power cut has none.

use super::fixture::{KEY, Spy, World, cluster, key};
use crate::{ceremonies, clock::Clock, orders, quarantine, records, requests::Reply, views};
use quorate_ceremony::{Conductor, Descent, Failure, Outcome, Pace};
use quorate_crypto::{SecretBytes, SecretScalar, ShareIndex, sharing::reconstruct};
use quorate_rpc::v1::step_result::Outcome as Answered;
use quorate_store::{Kek, Limits, Opening, SledStore, Store};
use quorate_types::{
    Action, Committee, Format, Hash, KeyRecord, KeyVersion, Member, Order, SignedOrder,
    VerifiedOrder,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher},
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};
use trace::{Event, Files};

#[path = "../../../quorate-store/src/tests/trace.rs"]
mod trace;

const NODES: [u16; 3] = [1, 2, 3];
/// Moves of the shares after the birth, while it is recorded.
const MOVES: u64 = 4;

/// Every acknowledged thing is there, the key is what it was and can be used, and shares move again.
/// `QUORATE_POWER_CUTS` says how many images (a release: 500).
#[test]
fn when_the_power_goes_everywhere_at_once_the_key_lives_and_nothing_acknowledged_is_lost() {
    let life = Life::record();
    let cuts = std::env::var("QUORATE_POWER_CUTS").map_or(40, |v| v.parse().unwrap());
    let failures = life.cut(cuts, Durable::Synced);
    println!("{cuts} cuts of {} operations, {} failed", life.events.len(), failures.len());
    assert!(failures.is_empty(), "{} of {cuts}: {:#?}", failures.len(), failures.first());
}

/// A test that cannot fail proves nothing: the same images as if sled's own file were not synced
/// before anything is acknowledged, which is what the store's barrier does and sled does not.
#[test]
fn without_the_barrier_a_power_cut_everywhere_loses_what_was_acknowledged() {
    let life = Life::record();
    let cuts = 12;
    let failures = life.cut(cuts, Durable::WithoutBarrier);
    println!("without the barrier: {} of {cuts}: {:#?}", failures.len(), failures.first());
    assert!(failures.len() as u64 > cuts / 4, "only {} of {cuts}", failures.len());
}

/// Which syncs count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durable {
    Synced,
    WithoutBarrier,
}

/// A cluster's recorded life.
struct Life {
    home: tempfile::TempDir,
    before: BTreeMap<u16, Files>,
    events: Vec<Event>,
}

impl Life {
    fn record() -> Self {
        let home = folder();
        for node in NODES {
            let store = SledStore::create(&dir(home.path(), node), opening(node)).unwrap();
            store.close().unwrap();
        }
        let before = NODES.map(|n| (n, trace::read_all(&dir(home.path(), n)))).into();
        let log = home.path().join("log");
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "tests::power::child_lives_while_it_is_recorded"]);
        child.args(["--test-threads=1", "--nocapture"]);
        child.env("QN_HOME", home.path()).env("LD_PRELOAD", shim(home.path()));
        child.env("QS_ROOT", home.path().join("store")).env("QS_LOG", &log);
        let out = child.stdin(Stdio::null()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let mut events = trace::parse(&fs::read(log).unwrap());
        // The old key file is wiped after it has lost its name: no image can show that.
        events.retain(|e| !e.path.to_string_lossy().ends_with(" (deleted)"));
        Self { home, before, events }
    }

    /// Cuts the power so many times; gives what went wrong.
    fn cut(&self, cuts: u64, durable: Durable) -> Vec<String> {
        let out = tempfile::Builder::new().tempdir_in(self.home.path()).unwrap();
        let mut failures = Vec::new();
        for seed in 0..cuts {
            let mut rng = StdRng::seed_from_u64(seed);
            let upto = rng.random_range(0..=self.events.len());
            for node in NODES {
                let keep = [0.0, 0.5, 1.0][rng.random_range(0..3)];
                let image = self.image(node, upto, keep, durable, &mut rng);
                trace::write_all(&dir(out.path(), node), &image);
            }
            let told = Told::parse(&self.events[..upto]);
            let check = || check(out.path(), &told);
            let found = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Err(text.unwrap_or("it panicked").to_owned())
            });
            if let Err(what) = found {
                failures.push(format!("seed {seed}, after event {upto}: {what}"));
            }
            for node in NODES {
                fs::remove_dir_all(dir(out.path(), node)).unwrap();
            }
        }
        failures
    }

    fn image(
        &self,
        node: u16,
        upto: usize,
        keep: f64,
        durable: Durable,
        rng: &mut StdRng,
    ) -> Files {
        let store = dir(self.home.path(), node);
        let counts = |e: &&Event| {
            durable == Durable::Synced || e.kind != b's' || !e.path.ends_with("sled/db")
        };
        let events: Vec<Event> = self.events[..upto].iter().filter(counts).cloned().collect();
        trace::image(&self.before[&node], &store, &events, keep, rng)
    }
}

/// What was acknowledged before a moment.
#[derive(Default)]
struct Told {
    /// Of each node: how long its log is, a hash of it, and where its manifest is.
    nodes: BTreeMap<u16, (u64, u64, u64)>,
    /// The newest epoch that all have in force, by its number, and which of the orders made it.
    epoch: Option<(u64, u64)>,
}

impl Told {
    fn parse(events: &[Event]) -> Self {
        let mut told = Self::default();
        for ack in events.iter().filter(|e| e.kind == b'w' && e.path.ends_with("store-acks")) {
            let number = |at: usize| u64::from_be_bytes(ack.data[at..at + 8].try_into().unwrap());
            let node = u16::from(ack.data[0]);
            if node == 0 {
                told.epoch = Some((number(1), number(9)));
            } else {
                told.nodes.insert(node, (number(1), number(9), number(17)));
            }
        }
        told
    }
}

/// Starts the cluster from its images and holds it to everything.
fn check(home: &Path, told: &Told) -> Result<(), String> {
    let mut stores = Vec::new();
    for node in NODES {
        let store = SledStore::open(&dir(home, node), opening(node))
            .map_err(|e| format!("node {node} does not open: {e}"))?;
        if let Some((length, digest, manifest)) = told.nodes.get(&node) {
            let (now, at) = (store.audit_head().0, store.manifest_head().0);
            if now < *length || at < *manifest || log_digest(&store, *length) != *digest {
                return Err(format!(
                    "node {node} had told log {length}, manifest {manifest}; it shows {now}, {at}"
                ));
            }
        }
        stores.push(Arc::new(Spy { disk: Some(store), ..Spy::default() }));
    }
    // Acquainted: nobody takes a node for one that was put back.
    let mut world = World::on(stores.try_into().ok().unwrap());
    for node in &world.nodes {
        if let quarantine::Standing::Behind(behind) = quarantine::standing(&node.core) {
            return Err(format!("an honest node is in quarantine: {behind:?}"));
        }
    }
    let (epoch, finished) = told.epoch.unwrap_or_default();
    let before = newest(&world).map(|(_, newest)| newest);
    if told.epoch.is_some() {
        the_key_is_there(&world, epoch)?;
    }
    // The next order is the one that was under way, or has just been finished; then a fresh one.
    let done = before.as_ref().map_or(0, |newest| place_of(&world, newest) + 1);
    if told.epoch.is_some() && done <= finished {
        return Err(format!("order {finished} was carried out, and is not known"));
    }
    for number in done..done + 2 {
        live(&mut world, number, &mut |_| {});
    }
    the_key_is_there(&world, epoch + 1)?;
    if let (Some(before), Some((_, now))) = (before, newest(&world))
        && before.certificate.public.public_key() != now.certificate.public.public_key()
    {
        return Err("the public key has changed".into());
    }
    (0..3).for_each(|node| used(&world, node));
    Ok(())
}

/// Enough nodes serve some epoch from `least` on, and every `t` of those who do are the key.
fn the_key_is_there(world: &World, least: u64) -> Result<(), String> {
    let mut epochs: BTreeMap<u64, Vec<(ShareIndex, SecretScalar)>> = BTreeMap::new();
    let mut publics = BTreeMap::new();
    for (node, index) in world.nodes.iter().zip(NODES) {
        let name = KEY.parse().unwrap();
        let key = records::load_key(&node.core, &name, KeyVersion::FIRST).unwrap();
        for share in key.iter().flat_map(|key| key.shares()) {
            let number = share.public.epoch.number;
            let index = ShareIndex::new(index).unwrap();
            epochs.entry(number).or_default().push((index, share.secret.clone()));
            publics.insert(number, share.public.clone());
        }
    }
    let mut usable = false;
    for (number, shares) in epochs.range(least..) {
        let public = &publics[number];
        let t = public.committee.threshold().get();
        let commitments = public.decode_commitments().unwrap();
        for subset in subsets(shares, usize::from(t)) {
            // It is checked against the public key.
            reconstruct(&commitments, &subset).map_err(|e| format!("epoch {number}: {e}"))?;
            usable = true;
        }
    }
    let held: Vec<_> = epochs.iter().map(|(number, shares)| (number, shares.len())).collect();
    usable.then_some(()).ok_or(format!("no epoch from {least} on can be used: {held:?}"))
}

fn subsets<T: Clone>(of: &[T], size: usize) -> Vec<Vec<T>> {
    let chosen = |mask: &u32| mask.count_ones() as usize == size;
    let pick = |mask: u32| {
        let member = |(at, item): (usize, &T)| (mask >> at & 1 == 1).then(|| item.clone());
        of.iter().enumerate().filter_map(member).collect()
    };
    (0..1 << of.len()).filter(chosen).map(pick).collect()
}

/// The birth certificate and that of the newest epoch that any node knows.
fn newest(world: &World) -> Option<(KeyRecord, KeyRecord)> {
    let known = world.nodes.iter().filter_map(|n| views::get_key(&n.core, KEY, 0).ok());
    let records = known.map(|k| {
        let birth = KeyRecord::from_bytes(&k.record).unwrap();
        let newest = KeyRecord::from_bytes(&k.newest).unwrap_or_else(|_| birth.clone());
        (birth, newest)
    });
    records.max_by_key(|(_, newest)| newest.certificate.public.epoch.number)
}

/// Carries order `number` of the cluster's life out: 0 is the birth, later ones move shares.
fn live(world: &mut World, number: u64, heard: &mut dyn FnMut(&World)) {
    let order = order(world, number);
    let verified = VerifiedOrder::verify(&world.cluster, &order).unwrap();
    let cluster = Arc::new(world.cluster.clone());
    let conductor = if number == 0 {
        for client in [50, 51] {
            let before = if client == 50 { Hash::default() } else { world.add(50).hash() };
            let add = world.signed(world.add_order(client, before), &[101, 102]).to_bytes();
            for node in &world.nodes {
                orders::submit(&node.core, &add).unwrap();
            }
        }
        Conductor::new(cluster, verified, Pace::default())
    } else {
        let (birth, newest) = newest(world).unwrap();
        let newest = (newest != birth).then_some(newest);
        let descent = Descent { birth, newest };
        Conductor::reshare(cluster, verified, Vec::new(), descent, Pace::default())
    };
    let moved = conduct(world, conductor.unwrap(), heard);
    assert_eq!(place_of(world, &moved), number);
    world.record = newest(world).map(|(birth, _)| birth);
}

/// As a coordinator does: all nodes at once; `heard` after each round of answers.
fn conduct(world: &World, mut conductor: Conductor, heard: &mut dyn FnMut(&World)) -> KeyRecord {
    for _ in 0..10_000 {
        let now = world.clock.now().wall;
        let sends = conductor.poll(now);
        if sends.is_empty() {
            world.clock.pass(50);
        }
        let answers: Vec<_> = std::thread::scope(|scope| {
            let run = |send: &quorate_ceremony::Send| {
                let node = &world.nodes[usize::from(send.ticket.node.get()) - 1];
                let (step, items) = (send.ticket.step, vec![send.request.to_vec()]);
                scope.spawn(move || ceremonies::run(&node.core, step, &items).unwrap().remove(0))
            };
            let running: Vec<_> = sends.iter().map(run).collect();
            running.into_iter().map(|r| r.join().unwrap().outcome.unwrap()).collect()
        });
        heard(world);
        for (send, answer) in sends.iter().zip(answers) {
            match answer {
                Answered::Done(bytes) => conductor.on_answer(&send.ticket, Ok(&bytes), now),
                Answered::Fault(fault) => {
                    let code = u16::try_from(fault.code).unwrap();
                    let failure = Failure::Fault { code, message: fault.message };
                    conductor.on_answer(&send.ticket, Err(failure), now);
                }
            }
        }
        match conductor.outcome() {
            Some(Outcome::Born { record, .. } | Outcome::Moved { record, .. }) => {
                return (**record).clone();
            }
            Some(Outcome::Failed { reason, .. }) => panic!("the ceremony fails: {reason}"),
            None => {}
        }
    }
    panic!("the ceremony does not end");
}

/// Order `number` of the cluster's life: always the same.
fn order(world: &World, number: u64) -> SignedOrder {
    let birth = world.create(KEY, 1, Hash::default());
    if number == 0 {
        return birth;
    }
    let (record, _) = newest(world).unwrap();
    let mut before = birth;
    for at in 1..=number {
        let refresh = world.refresh_order(&record, &before);
        let mut order = Order::from_bytes(&refresh.0.body).unwrap();
        let Action::Reshare(to) = &mut order.action else { panic!("it moves shares") };
        let member = |n: &quorate_types::NodeEntry| Member { index: n.index, identity: n.identity };
        let members = world.cluster.roster().nodes.iter().map(member).collect();
        // Born with 2; then 3, 2, 2, 3, 3 …: refreshes, and reshares up and down.
        to.committee = Committee::new(members, if at % 4 < 2 { 3 } else { 2 }).unwrap();
        before = world.signed(order, &[101, 103]);
    }
    before
}

/// Which of the orders made an epoch.
fn place_of(world: &World, record: &KeyRecord) -> u64 {
    (0..100).find(|number| order(world, *number).0.body == record.order.0.body).unwrap()
}

/// The client uses the key at a node.
fn used(world: &World, node: usize) {
    let reply = world.bring(node, &world.ask()).unwrap();
    assert!(matches!(reply, Reply::Sealed(..)), "node {node} refuses: {reply:?}");
}

/// The recorded side. As a test of its own it does nothing.
#[test]
fn child_lives_while_it_is_recorded() {
    let Ok(home) = std::env::var("QN_HOME") else { return };
    let home = PathBuf::from(home);
    let acks = fs::File::options().append(true).create(true).open(home.join("store-acks"));
    let mut acks = acks.unwrap();
    let stores = NODES.map(|node| {
        let store = SledStore::open(&dir(&home, node), opening(node)).unwrap();
        Arc::new(Spy { disk: Some(store), ..Spy::default() })
    });
    let mut world = World::on(stores);
    let tell = |acks: &mut fs::File, world: &World| {
        for (node, index) in world.nodes.iter().zip(NODES) {
            let length = node.store.audit_head().0;
            let digest = log_digest(&*node.store, length);
            let words = [length, digest, node.store.manifest_head().0].map(u64::to_be_bytes);
            let ack = [&[u8::try_from(index).unwrap()][..], words.as_flattened()].concat();
            acks.write_all(&ack).unwrap();
        }
    };
    tell(&mut acks, &world);
    for number in 0..=MOVES {
        live(&mut world, number, &mut |world| tell(&mut acks, world));
        let (_, now) = newest(&world).unwrap();
        let words = [now.certificate.public.epoch.number, number].map(u64::to_be_bytes);
        acks.write_all(&[&[0][..], words.as_flattened()].concat()).unwrap();
        for node in 0..3 {
            used(&world, node);
            world.acquaint(node);
        }
        tell(&mut acks, &world);
    }
    // Killed rather than closed: a clean end would sync what nobody has.
    std::process::exit(0);
}

fn log_digest(store: &dyn Store, length: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    let length = usize::try_from(length).unwrap();
    for (_, leaf) in store.audit_read(0, usize::MAX).unwrap().into_iter().take(length) {
        leaf.hash(&mut hasher);
    }
    hasher.finish()
}

fn dir(home: &Path, node: u16) -> PathBuf {
    home.join(format!("store-{node}"))
}

fn opening(node: u16) -> Opening {
    Opening {
        node: ShareIndex::new(node).unwrap(),
        cluster: *cluster().fingerprint().as_bytes(),
        identity: key(u8::try_from(node).unwrap()),
        kek: Kek::from_bytes(SecretBytes::new([0x5e; 32])),
        limits: Limits { hard_bytes: 0, hard_percent: 0, reserve_bytes: 0 },
        on_poison: None,
    }
}

/// An empty folder, on the fastest disk here: what is durable is decided by the replay.
fn folder() -> tempfile::TempDir {
    let fast = Path::new("/dev/shm");
    let base = if fast.is_dir() { fast.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("qn-").tempdir_in(base).unwrap()
}

fn shim(dir: &Path) -> PathBuf {
    let (source, library) = (dir.join("shim.c"), dir.join("shim.so"));
    fs::write(&source, include_str!("../../../quorate-store/src/tests/shim.c")).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    assert!(cc.status().expect("the shim needs a C compiler").success());
    library
}
