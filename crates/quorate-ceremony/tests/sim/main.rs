//! Whole clusters in disorder, under one seed: real nodes on disks that decode what they
//! stored, real conductors, two operators who order at once, messages lost, repeated, delayed
//! and sent again long after, partitions, nodes and conductors killed, failing and full disks,
//! old disk images, lying members, and a hostile coordinator. After every event the invariants
//! of `docs/protocol/epochs.md` hold; when the faults stop, a fresh reshare succeeds.
//!
//! A failure prints its seed. `QUORATE_SEED=n` runs that one alone, byte for byte the same;
//! `QUORATE_SEEDS=n` runs more, `QUORATE_SIM_SECONDS=n` as many as there is time for.

#![allow(clippy::unwrap_used)] // clippy.toml spares test functions, not their fixtures

#[path = "../genesis/disk.rs"]
#[allow(dead_code)]
mod disk;
#[path = "../genesis/owner.rs"]
#[allow(dead_code)]
mod owner;
#[path = "../genesis/rig.rs"]
#[allow(dead_code)]
mod rig;

mod broken;
mod evil;
mod ledger;
mod liar;
mod node;
mod operators;
mod planted;
mod sim;
mod uses;
mod view;

use broken::Broken;
use sim::{Seen, Sim};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

const SEEDS: u64 = 150;
/// Seeds with a key that is imported.
const IMPORTS: u64 = 24;
/// Seeds in which a version is ordered by hand and on a schedule.
const SCHEDULES: u64 = 24;

#[test]
fn no_disorder_breaks_an_invariant() {
    let number = |name: &str| std::env::var(name).ok().map(|s| s.parse::<u64>().unwrap());
    if let Some(seed) = number("QUORATE_SEED") {
        let (seen, end) = run(seed);
        println!("{seen:?}");
        end.unwrap();
        return;
    }
    let seconds = number("QUORATE_SIM_SECONDS");
    let most = if seconds.is_some() { u64::MAX } else { number("QUORATE_SEEDS").unwrap_or(SEEDS) };
    let (begun, next) = (Instant::now(), AtomicU64::new(number("QUORATE_FIRST").unwrap_or(0)));
    let last = next.load(Ordering::Relaxed).saturating_add(most);
    let time = Duration::from_secs(seconds.unwrap_or(u64::MAX));
    let seen = std::sync::Mutex::new(Seen::default());
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        for _ in 0..threads {
            scope.spawn(|| {
                while begun.elapsed() < time {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        return;
                    }
                    let (of_seed, end) = run(seed);
                    if let Err(broken) = end {
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                        panic!("QUORATE_SEED={seed} breaks {}: {}", broken.rule, broken.how);
                    }
                    let mut seen = seen.lock().unwrap();
                    seen.add(&of_seed);
                    if seconds.is_some() && seen.seeds % 500 == 0 {
                        println!("{:?} {seen:?}", begun.elapsed());
                    }
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    println!("{:.1?} {seen:?}", begun.elapsed());
    // A simulator that never meets trouble shows nothing.
    assert!(seen.moved >= 2 * seen.seeds && seen.ceremonies >= 5 * seen.seeds, "{seen:?}");
    assert!(seen.kills >= 10 * seen.seeds && seen.drops >= 10 * seen.seeds, "{seen:?}");
    assert!(seen.lies >= seen.seeds && seen.evil >= 10 * seen.seeds, "{seen:?}");
    assert!(seen.uses >= seen.seeds && seen.lies_in_use >= seen.seeds / 3, "{seen:?}");
    assert!(seen.restores >= 1 && seen.complaints >= 1 && seen.disk_faults >= 1, "{seen:?}");
}

/// The seeds above are of both groups and of every purpose: all shares live by the same rules.
#[test]
fn clusters_whose_key_signs_are_among_the_seeds() {
    let purposes: Vec<_> = (0..SEEDS).map(|seed| Sim::new(seed).operators.purpose).collect();
    let of = |purpose| purposes.iter().filter(|p| **p == purpose).count();
    let signing = of(quorate_types::Purpose::Sign);
    assert!((purposes.len() / 5..purposes.len() / 3).contains(&signing), "{signing}");
    assert!(quorate_types::Purpose::ALL.iter().all(|p| of(*p) >= purposes.len() / 9));
}

/// The same story of keys that an owner has already: its dealing is lost, repeated and late as any
/// message, and it deals whenever it is asked.
#[test]
fn imported_keys_live_by_the_same_rules() {
    let mut seen = Seen::default();
    for seed in 0..IMPORTS {
        let mut sim = Sim::importing(seed);
        if let Err(broken) = sim.run() {
            panic!("importing seed {seed} breaks {}: {}", broken.rule, broken.how);
        }
        seen.add(&sim.seen);
    }
    assert!(seen.moved >= seen.seeds && seen.kills >= 10 * seen.seeds, "{seen:?}");
    assert!(seen.lies >= 1 && seen.evil >= 10 * seen.seeds, "{seen:?}");
}

/// The same story of a key's next version: by hand and on a schedule at once, whoever is killed.
#[test]
fn versions_that_are_born_by_themselves_live_by_the_same_rules() {
    let (mut seen, mut by_schedule) = (Seen::default(), 0);
    for seed in 0..SCHEDULES {
        let mut sim = Sim::scheduling(seed);
        if let Err(broken) = sim.run() {
            panic!("scheduling seed {seed} breaks {}: {}", broken.rule, broken.how);
        }
        seen.add(&sim.seen);
        let birth = sim.operators.birth().certificate.public.order;
        by_schedule += usize::from(sim.operators.order(birth).unwrap().rotation().is_some());
    }
    assert!(seen.moved >= seen.seeds && seen.kills >= 10 * seen.seeds, "{seen:?}");
    assert!(seen.lies >= 1 && seen.evil >= 10 * seen.seeds, "{seen:?}");
    let some = SCHEDULES as usize / 5;
    assert!((some..=4 * some).contains(&by_schedule), "{by_schedule} by the schedule");
}

#[test]
fn a_seed_runs_twice_the_same() {
    let once = |seed| {
        let mut sim = Sim::new(seed);
        sim.run().map_err(|b| b.how)
    };
    for seed in [1, 2] {
        assert_eq!(once(seed), once(seed), "seed {seed}");
    }
    assert_ne!(once(1), once(2));
}

/// Each planted bug breaks an invariant within so many seeds; the seeds without it break none.
#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_are_found() {
    use quorate_ceremony::planted::{Bug, plant};
    const WITHIN: u64 = 500;
    /// Seeds that found one, to begin with: only to be quick.
    const FOUND_BY: [(Bug, u64); 9] = [
        (Bug::MixReceipts, 16),
        (Bug::SkipDegree, 16),
        (Bug::SkipConstant, 16),
        (Bug::ErasedParent, 3),
        (Bug::KeepOrphans, 19),
        (Bug::NumberAlone, 384),
        (Bug::RevealCeremonyKey, 57),
        (Bug::ActiveWithoutShare, 6),
        (Bug::SupersededOrder, 9),
    ];
    let find = |bug: Bug| {
        plant(Some(bug));
        let known = FOUND_BY.iter().filter(|(b, _)| *b == bug).map(|(_, seed)| *seed);
        let found = known.chain(0..WITHIN).find_map(|seed| {
            let run = std::panic::catch_unwind(|| run(seed).1);
            Some((seed, run.expect("a panic finds nothing").err()?))
        });
        plant(None);
        let Some((seed, broken)) = found else { return Some(bug) };
        println!("{bug:?}: seed {seed} breaks {}: {}", broken.rule, broken.how);
        assert!(run(seed).1.is_ok(), "seed {seed} breaks an invariant without {bug:?}");
        None
    };
    let next = AtomicU64::new(0);
    let hunt = || {
        let mut missed = Vec::new();
        let only = std::env::var("QUORATE_BUG").ok();
        while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            if only.as_ref().is_none_or(|o| *o == format!("{bug:?}")) {
                missed.extend(find(*bug));
            }
        }
        missed
    };
    let missed: Vec<Bug> = std::thread::scope(|scope| {
        [scope.spawn(hunt), scope.spawn(hunt)].into_iter().flat_map(|h| h.join().unwrap()).collect()
    });
    assert!(missed.is_empty(), "not found within {WITHIN} seeds: {missed:?}");
}

/// The feature is this test's own.
#[test]
fn no_other_crate_asks_for_planted_bugs() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut read = 0;
    for entry in crates.read_dir().unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        if manifest.starts_with(env!("CARGO_MANIFEST_DIR")) {
            continue;
        }
        read += 1;
        assert!(
            !std::fs::read_to_string(&manifest).unwrap().contains("planted-bugs"),
            "{manifest:?}"
        );
    }
    assert!(read >= 5, "the workspace has more crates");
}

/// Runs a seed; a panic breaks an invariant too.
fn run(seed: u64) -> (Seen, Result<u64, Broken>) {
    let mut sim = Sim::new(seed);
    let end = sim.run();
    if end.is_err() && !cfg!(feature = "planted-bugs") {
        sim.log.last.iter().for_each(|line| eprintln!("{line}"));
    }
    (sim.seen, end)
}
