//! Power cuts, by replay of what the shim recorded of a writer (`trace`). A model, not a pulled plug.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{fs, path::Path};

use super::{
    child::{Acks, Run, home, parse_acks, rounds, verify},
    trace::{self, Event, Files, parse, read_all, write_all},
};

#[test]
fn after_a_power_cut_it_shows_what_was_acknowledged_and_exactly_that() {
    let trace = Trace::record(vec![]);
    trace.hold_complete();
    let cuts = rounds(60);
    let failures = trace.cut(cuts);
    assert!(failures.is_empty(), "{} of {cuts} cuts: {:#?}", failures.len(), failures.first());
}

/// A test that cannot fail proves nothing.
#[test]
fn without_the_barrier_power_cuts_lose_what_was_acknowledged() {
    let trace = Trace::record(vec![("QS_NO_BARRIER", "1".into())]);
    let cuts = rounds(30);
    let failures = trace.cut(cuts);
    println!(
        "without the barrier {} of {cuts} cuts lost data: {:?}",
        failures.len(),
        failures.first()
    );
    assert!(failures.len() as u64 > cuts / 4, "only {} of {cuts}", failures.len());
}

/// What a killed process had written but not synced is in the page cache, where the next one sees
/// it. It must be durable before anything is built on it.
#[test]
fn a_power_cut_soon_after_a_kill_takes_nothing_back_that_the_restart_showed() {
    let kills: Vec<u64> = (0..rounds(10)).map(|i| 40 + i * 7).collect();
    for at in kills {
        let home = home();
        let trace = Trace::record_in(home, |home, log| {
            let env = |more: Option<u64>| {
                let mut env = vec![("QS_LOG", log.to_owned())];
                env.extend(more.map(|at| ("QS_KILL_AT", at.to_string())));
                env
            };
            let run = |steps, env| Run { home, threads: THREADS, steps, env }.spawn().wait();
            assert!(!run(100, env(Some(at))).unwrap().success());
            assert!(run(2, env(None)).unwrap().success());
        });
        let failures = trace.cut(12);
        assert!(failures.is_empty(), "killed at {at}: {failures:#?}");
    }
}

struct Trace {
    home: tempfile::TempDir,
    before: Files,
    events: Vec<Event>,
}

const THREADS: u8 = 2;

impl Trace {
    /// Lets a writer run twice, each time to its clean end, and records it.
    fn record(env: Vec<(&'static str, String)>) -> Self {
        // A long run fills several of sled's segments.
        let steps = 30 * rounds(60).div_ceil(60).min(20);
        Self::record_in(home(), |home, log| {
            for _ in 0..2 {
                let mut env = env.clone();
                env.push(("QS_LOG", log.to_owned()));
                let run = Run { home, threads: THREADS, steps, env };
                assert!(run.spawn().wait().unwrap().success());
            }
        })
    }

    fn record_in(home: tempfile::TempDir, run: impl FnOnce(&Path, &str)) -> Self {
        let before = read_all(&home.path().join("store"));
        let log = home.path().join("log");
        run(home.path(), log.to_str().unwrap());
        let mut events = parse(&fs::read(log).unwrap());
        // The old key file is wiped after it has lost its name: no image can show that.
        events.retain(|e| !e.path.to_string_lossy().ends_with(" (deleted)"));
        Self { home, before, events }
    }

    /// The log misses nothing: replayed with everything kept, it gives the real directory.
    fn hold_complete(&self) {
        let image = self.image(self.events.len(), 1.0, &mut StdRng::seed_from_u64(0));
        let real = read_all(&self.home.path().join("store"));
        assert_eq!(image.keys().collect::<Vec<_>>(), real.keys().collect::<Vec<_>>());
        for (path, bytes) in real {
            assert!(image[&path] == bytes, "the shim missed a write to {}", path.display());
        }
        let synced = |name: &str| {
            self.events.iter().filter(|e| e.kind == b's' && e.path.ends_with(name)).count()
        };
        assert!(synced("sled/db") >= 60 && synced("manifest") >= 60);
    }

    /// Cuts the power at random moments after the first acknowledgement; gives what went wrong.
    fn cut(&self, cuts: u64) -> Vec<String> {
        let out = tempfile::Builder::new().tempdir_in(self.home.path()).unwrap();
        let mut failures = Vec::new();
        for seed in 0..cuts {
            let mut rng = StdRng::seed_from_u64(seed);
            let upto = rng.random_range(0..=self.events.len());
            let keep = [0.0, 0.5, 1.0][rng.random_range(0..3)];
            let dir = out.path().join("store");
            write_all(&dir, &self.image(upto, keep, &mut rng));
            if let Err(e) = verify(&dir, THREADS, &self.acks(upto)) {
                failures.push(format!("seed {seed}, event {upto}, keep {keep}: {e}"));
            }
            fs::remove_dir_all(&dir).unwrap();
        }
        failures
    }

    fn acks(&self, upto: usize) -> Acks {
        let acks = self.events[..upto].iter().filter(|e| e.path.ends_with("store-acks"));
        parse_acks(&acks.flat_map(|e| e.data.clone()).collect::<Vec<_>>())
    }

    fn image(&self, upto: usize, keep: f64, rng: &mut StdRng) -> Files {
        let store = self.home.path().join("store");
        trace::image(&self.before, &store, &self.events[..upto], keep, rng)
    }
}
