//! A writer in a process of its own, which dies in every way a process can die; and what must be
//! found afterwards. Each thread's records follow from its step number alone, so "what was
//! acknowledged, and exactly that" can be said byte for byte.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
};

use super::{epoch, opening};
use crate::{Batch, MemStore, SledStore, Store, StoreError, Tree, disk::Disk, open};

/// How a child is to run.
pub(crate) struct Run<'a> {
    /// A folder with `store/`, made before, and `store-acks`.
    pub(crate) home: &'a Path,
    pub(crate) threads: u8,
    /// Steps of each thread.
    pub(crate) steps: u64,
    /// Environment: for the shim, or `QS_NO_BARRIER`.
    pub(crate) env: Vec<(&'static str, String)>,
}

impl Run<'_> {
    /// Starts the writer: this test binary again, running only [`child_writes_until_it_dies`].
    pub(crate) fn spawn(&self) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "tests::child::child_writes_until_it_dies", "--test-threads=1"]);
        command.env("QS_HOME", self.home).env("QS_ROOT", self.home.join("store"));
        command.env("QS_THREADS", self.threads.to_string());
        command.env("QS_STEPS", self.steps.to_string());
        if self.env.iter().any(|(name, _)| SHIM_VARIABLES.contains(name)) {
            command.env("LD_PRELOAD", shim());
        }
        command.envs(self.env.iter().cloned());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// A folder with an empty store, on the fastest disk here.
pub(crate) fn home() -> tempfile::TempDir {
    let home = folder();
    SledStore::create(&home.path().join("store"), opening()).unwrap().close().unwrap();
    home
}

/// An empty folder, on the fastest disk here: what is durable is decided by the shim, not by time.
pub(crate) fn folder() -> tempfile::TempDir {
    let fast = Path::new("/dev/shm");
    let base = if fast.is_dir() { fast.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("qs-").tempdir_in(base).unwrap()
}

/// Rounds of a long test: few by default, as many as `QUORATE_STORE_ROUNDS` says for a release.
pub(crate) fn rounds(few: u64) -> u64 {
    std::env::var("QUORATE_STORE_ROUNDS").map_or(few, |v| v.parse().unwrap())
}

/// Steps that a thread was told are durable: commits, and audit entries.
pub(crate) type Acks = BTreeMap<u8, (u64, u64)>;

pub(crate) fn acks(home: &Path) -> Acks {
    parse_acks(&fs::read(home.join("store-acks")).unwrap_or_default())
}

pub(crate) fn parse_acks(bytes: &[u8]) -> Acks {
    let mut acks = Acks::new();
    for ack in bytes.chunks_exact(ACK) {
        let (kind, thread) = (ack[0], ack[1]);
        let step = u64::from_be_bytes(ack[2..].try_into().unwrap());
        let of = acks.entry(thread).or_default();
        *(if kind == b'C' { &mut of.0 } else { &mut of.1 }) = step;
    }
    acks
}

/// Opens the store and holds that each thread's records are those of its last acknowledged step or
/// of the one in flight, whole, and its audit entries likewise.
pub(crate) fn verify(dir: &Path, threads: u8, acks: &Acks) -> Result<(), String> {
    let store = SledStore::open(dir, opening()).map_err(|e| format!("does not open: {e}"))?;
    if fs::read_dir(dir.join("sled/blobs")).unwrap().next().is_some() {
        return Err("sled wrote a blob file, which it never syncs".into());
    }
    let mut entries: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    for (_, leaf) in store.audit_read(0, usize::MAX).map_err(|e| e.to_string())? {
        entries
            .entry(leaf[0])
            .or_default()
            .push(u64::from_be_bytes(leaf[1..9].try_into().unwrap()));
    }
    for thread in 0..threads {
        let (commits, audits) = acks.get(&thread).copied().unwrap_or_default();
        let found = contents(&store, thread);
        if found != expected(thread, commits) && found != expected(thread, commits + 1) {
            let at = done(&store, thread);
            return Err(format!("thread {thread} was told {commits}, store shows step {at}"));
        }
        let logged = entries.remove(&thread).unwrap_or_default();
        let whole = logged.iter().copied().eq(1..=logged.len() as u64);
        let len = logged.len() as u64;
        if !whole || !(audits..=audits + 1).contains(&len) {
            return Err(format!("thread {thread} was told {audits} entries, {len} are there"));
        }
    }
    Ok(())
}

/// What the shim is told by.
const SHIM_VARIABLES: [&str; 4] = ["QS_LOG", "QS_KILL_AT", "QS_FAIL_SYNC", "QS_FULL_AFTER"];

const ACK: usize = 10;

/// Compiles the shim once for each test process.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap().keep();
        let (source, library) = (dir.join("shim.c"), dir.join("shim.so"));
        fs::write(&source, include_str!("shim.c")).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        assert!(cc.status().expect("the shim needs a C compiler").success());
        library
    })
}

/// The child's side. As a test of its own it does nothing.
#[test]
fn child_writes_until_it_dies() {
    let Ok(home) = std::env::var("QS_HOME") else { return };
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (threads, steps) = (number("QS_THREADS") as u8, number("QS_STEPS"));
    match child(Path::new(&home), threads, steps) {
        Ok(()) => std::process::exit(0),
        Err(e) => std::process::exit(e.exit_code()),
    }
}

fn child(home: &Path, threads: u8, steps: u64) -> Result<(), StoreError> {
    let on_poison: crate::OnPoison = Box::new(|_| std::process::exit(70));
    let disk = Arc::new(Disk::new(Some(on_poison)));
    if std::env::var("QS_NO_BARRIER").is_ok() {
        disk.faults.take_barrier_out();
    }
    let store = SledStore::from_parts(open::open(disk, &home.join("store"), opening())?);
    let acks = fs::File::options().append(true).create(true).open(home.join("store-acks"));
    let acks = Mutex::new(acks.expect("the parent made this folder"));
    let told = |kind: u8, thread: u8, step: u64| {
        let mut ack = vec![kind, thread];
        ack.extend_from_slice(&step.to_be_bytes());
        acks.lock().unwrap().write_all(&ack).unwrap();
    };
    std::thread::scope(|scope| {
        let work = |thread| {
            let (store, told) = (&store, &told);
            move || {
                let mut entries = logged(store, thread);
                let first = done(store, thread) + 1;
                // What a start shows is as good as acknowledged: it must not go away again.
                told(b'C', thread, first - 1);
                told(b'A', thread, entries);
                for n in first..first + steps {
                    store.commit(step(thread, n))?;
                    told(b'C', thread, n);
                    entries += 1;
                    let leaf = [&[thread] as &[u8], &entries.to_be_bytes()].concat();
                    store.audit_append(leaf)?;
                    told(b'A', thread, entries);
                }
                Ok(())
            }
        };
        let workers: Vec<_> = (0..threads).map(|t| scope.spawn(work(t))).collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap())
    })?;
    store.close()
}

/// The `n`-th batch of a thread, from 1.
fn step(thread: u8, n: u64) -> Batch {
    let sealing = epoch(&format!("{thread}/{}", n / 7));
    let batch = Batch::new().put(Tree::Meta, [thread], n.to_be_bytes());
    let long = vec![n as u8; 3000 + (n % 5) as usize * 900];
    match n % 7 {
        6 => batch.erase_epoch(&sealing),
        3 => batch.put(Tree::Records, [thread, n as u8 % 3], long),
        4 => batch.delete(Tree::Records, [thread, (n + 1) as u8 % 3]),
        5 => batch.seal(Tree::Secrets, [thread, 9], &sealing, long),
        _ => batch.seal(Tree::Secrets, [thread, n as u8 % 5], &sealing, n.to_be_bytes().to_vec()),
    }
}

fn done(store: &dyn Store, thread: u8) -> u64 {
    let value = store.get(Tree::Meta, &[thread]).unwrap();
    value.map_or(0, |v| u64::from_be_bytes(v[..].try_into().unwrap()))
}

fn logged(store: &dyn Store, thread: u8) -> u64 {
    let entries = store.audit_read(0, usize::MAX).unwrap();
    entries.iter().filter(|(_, leaf)| leaf[0] == thread).count() as u64
}

type Contents = Vec<(Tree, Vec<u8>, Vec<u8>)>;

fn contents(store: &dyn Store, thread: u8) -> Contents {
    let of = |tree| {
        let records = store.scan(tree, &[thread], None, 1000).unwrap();
        records.into_iter().map(move |(k, v)| (tree, k, v.to_vec()))
    };
    Tree::ALL.into_iter().flat_map(of).collect()
}

/// What the model holds after `n` steps of a thread.
fn expected(thread: u8, n: u64) -> Contents {
    let model = MemStore::new();
    for n in 1..=n {
        model.commit(step(thread, n)).unwrap();
    }
    contents(&model, thread)
}
