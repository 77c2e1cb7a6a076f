//! Whole nodes in disorder, under one seed: real cores with their ceremonies, requests, replay
//! caches, nonces and audit logs; real conductors, of several orders at once; clients that combine
//! what they are answered. Messages are lost, repeated and late, the power goes in the middle of
//! writes, disks are full, a node lies when it is used, somebody sends old requests again and
//! other ones under their ids. After every event the rules of [`ledger`], [`door`] and [`story`]
//! hold; when the faults stop, the shares move again and the old ones answer nothing any more.
//!
//! A failure prints its seed. `QUORATE_SEED=n` runs that one alone, byte for byte the same.

mod cluster;
mod disk;
mod door;
mod end;
mod ledger;
mod story;
mod uses;

use super::entropy;
use crate::planted::{Bug, plant};
use cluster::{Met, Sim};
use std::time::{Duration, Instant};

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) how: String,
}

const SEEDS: u64 = 8;

/// Runs one seed; what was met, and a digest of all that was said.
fn run(seed: u64) -> (Met, Result<u64, Broken>) {
    entropy::seed(Some(seed));
    let mut sim = Sim::new(seed);
    let end = sim.run();
    entropy::seed(None);
    (sim.met, end)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|s| s.parse().unwrap())
}

fn run_all(seeds: impl Iterator<Item = u64>, time: Duration) -> Met {
    let (begun, mut met) = (Instant::now(), Met::default());
    for seed in seeds.take_while(|_| begun.elapsed() < time) {
        let (of_seed, end) = run(seed);
        if let Err(broken) = end {
            panic!("QUORATE_SEED={seed} breaks {}: {}", broken.rule, broken.how);
        }
        met.add(&of_seed);
        if met.seeds.is_multiple_of(100) {
            println!("{:.1?} {met:?}", begun.elapsed());
        }
    }
    println!("{:.1?} {met:?}", begun.elapsed());
    met
}

#[test]
fn whole_nodes_in_disorder_break_no_rule() {
    if let Some(seed) = number("QUORATE_SEED") {
        let (met, end) = run(seed);
        println!("{met:?} {:x}", end.unwrap());
        return;
    }
    let met = run_all(0..SEEDS, Duration::MAX);
    // A simulation that never meets trouble shows nothing.
    assert!(met.moved >= met.seeds && met.uses >= 3 * met.seeds, "{met:?}");
    assert!(met.cuts >= met.seeds && met.lost >= met.seeds, "{met:?}");
    assert!(met.again >= met.seeds && met.refused >= met.seeds, "{met:?}");
    assert!(met.lies >= 1 && met.full >= 1, "{met:?}");
}

/// `QUORATE_SIM_SECONDS` seconds of seeds from `QUORATE_FIRST` on: `just soak-nodes`.
#[test]
#[ignore = "runs as long as it is told"]
fn soak() {
    let first = number("QUORATE_FIRST").unwrap_or(1000);
    run_all(first.., Duration::from_secs(number("QUORATE_SIM_SECONDS").unwrap_or(60)));
}

#[test]
fn a_seed_repeats_byte_for_byte() {
    let once = |seed| run(seed).1.unwrap();
    assert_eq!(once(3), once(3));
    assert_ne!(once(3), once(4));
}

/// Each planted bug breaks a rule within so many seeds, which break none without it.
#[test]
fn every_planted_bug_is_found() {
    const WITHIN: u64 = 60;
    /// Seeds that found one, to begin with: only to be quick.
    const FOUND_BY: [(Bug, u64); 9] = [
        (Bug::NoReplayCache, 2),
        (Bug::ReplayEvicts, 2),
        (Bug::ReplayForgotten, 2),
        (Bug::NoFence, 16),
        (Bug::LateAccepted, 57),
        (Bug::AnswerBeforeFlush, 3),
        (Bug::NonceTwice, 2),
        (Bug::MixEpochs, 24),
        (Bug::StaleShares, 24),
    ];
    let only = std::env::var("QUORATE_BUG").ok();
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{bug:?}")) {
            continue;
        }
        let begun = Instant::now();
        plant(Some(bug));
        let known = FOUND_BY.iter().filter(|(b, _)| *b == bug).map(|(_, seed)| *seed);
        let found = known.chain(0..WITHIN).find_map(|seed| Some((seed, run(seed).1.err()?)));
        plant(None);
        let Some((seed, broken)) = found else {
            missed.push(bug);
            continue;
        };
        let took = begun.elapsed();
        println!("{bug:?}: seed {seed} breaks {}: {} ({took:.1?})", broken.rule, broken.how);
        assert!(run(seed).1.is_ok(), "seed {seed} breaks a rule without {bug:?}");
    }
    assert!(missed.is_empty(), "not found within {WITHIN} seeds: {missed:?}");
}
