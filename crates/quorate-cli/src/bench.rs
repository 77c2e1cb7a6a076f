//! `quorate bench`: a cluster under load, beside the floor that the mathematics sets on
//! the client's machine in the same run.
//!
//! Open loop: requests arrive at random times at a set rate, and latency is counted from
//! the moment a request was meant to begin, so that waiting is counted (a closed loop
//! hides every stall). With rate 0 requests go one after the other.

use crate::{
    args::{Bench, Global, Workload},
    cmd::share::refresh_once,
    failure::Failure,
    floor::{self, Floor, micros},
    output::{Progress, Report},
    session,
};
use hdrhistogram::Histogram;
use quorate_client::{Client, EncryptionContext, Error, Key};
use quorate_types::{KeyName, Purpose};
use rand::RngExt;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Ciphertexts that requests are drawn from.
const POOL: usize = 64;
/// Before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 120_000_000;

/// Measures.
///
/// # Errors
/// When the key does not verify, or nothing at all succeeds.
pub async fn run(global: &Global, args: &Bench) -> Result<Report, Failure> {
    let opened = async || {
        let client = session::client(global)?;
        let key = client.key(&args.key).await?;
        Ok::<_, Failure>((client, key))
    };
    match args.workload {
        Workload::Encrypt => encrypt(&opened().await?.1, args),
        Workload::Stream => stream(opened().await?.1, args).await,
        Workload::Decrypt => decrypt(opened().await?, args, 1).await,
        Workload::BatchDecrypt => decrypt(opened().await?, args, args.batch.clamp(1, 1024)).await,
        Workload::Derive => derive(opened().await?, args).await,
        Workload::Sign => sign(opened().await?, args).await,
        Workload::Refresh => refresh(global, args).await,
    }
}

/// What a measurement gathered.
struct Measured {
    latency: Histogram<u64>,
    failed: BTreeMap<String, u64>,
    elapsed: Duration,
}

impl Measured {
    fn new() -> Result<Self, Failure> {
        let latency = Histogram::new_with_bounds(1, LONGEST, 3).map_err(Failure::new)?;
        Ok(Self { latency, failed: BTreeMap::new(), elapsed: Duration::ZERO })
    }

    fn count(&mut self, took: Duration, result: Result<(), Error>) {
        let us = u64::try_from(took.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST);
        match result {
            // Within bounds, so it cannot be refused.
            Ok(()) => self.latency.saturating_record(us),
            Err(error) => *self.failed.entry(class(&error)).or_default() += 1,
        }
    }

    fn rate(&self) -> f64 {
        self.latency.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn quantile(&self, q: f64) -> Duration {
        Duration::from_micros(self.latency.value_at_quantile(q))
    }

    fn json(&self) -> Value {
        let us = |q: f64| micros(self.quantile(q));
        json!({
            "served": self.latency.len(),
            "failed": self.failed,
            "seconds": self.elapsed.as_secs_f64(),
            "per_second": self.rate(),
            "min_us": self.latency.min(), "p10_us": us(0.1), "p50_us": us(0.5),
            "p90_us": us(0.9), "p99_us": us(0.99), "p999_us": us(0.999),
            "max_us": self.latency.max(),
        })
    }

    fn lines(&self) -> Vec<String> {
        let ms = |q: f64| self.quantile(q).as_secs_f64() * 1000.0;
        let mut lines = vec![
            format!(
                "served    {} in {:.1} s ({:.1}/s)",
                self.latency.len(),
                self.elapsed.as_secs_f64(),
                self.rate()
            ),
            format!(
                "latency   p10 {:.2} ms, p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
                ms(0.1),
                ms(0.5),
                ms(0.9),
                ms(0.99),
                ms(1.0),
            ),
        ];
        lines.extend(self.failed.iter().map(|(class, n)| format!("failed    {n} ({class})")));
        lines
    }
}

fn class(error: &Error) -> String {
    match error {
        Error::NoQuorum { .. } => "no quorum",
        Error::Refused { .. } => "refused",
        Error::Verification { .. } | Error::Ciphertext(_) => "verification",
        Error::Party { .. } => "coordinator",
        _ => "other",
    }
    .to_owned()
}

async fn decrypt(
    (client, key): (Client, Key),
    args: &Bench,
    items: usize,
) -> Result<Report, Failure> {
    let context = EncryptionContext::default();
    let plaintext = vec![0x5a; args.size];
    let plaintexts = vec![plaintext; POOL.max(items)];
    let (pool, _) = client.encrypt_batch(&key, &plaintexts, &context).await?;
    let pool = Arc::new(pool);
    let one = move |at: usize| {
        let (client, pool) = (client.clone(), Arc::clone(&pool));
        async move {
            let context = EncryptionContext::default();
            if items == 1 {
                client.decrypt(&pool[at % pool.len()], &context).await.map(drop)
            } else {
                let results = client.decrypt_batch(&pool[..items], &context).await?;
                results.into_iter().try_for_each(|r| r.map(drop))
            }
        }
    };
    load(args, WARM_UP, one.clone()).await?;
    let measured = load(args, Duration::from_secs_f64(args.seconds), one).await?;
    if measured.latency.is_empty() {
        return Err(Failure::new(format!("nothing succeeded: {:?}", measured.failed)));
    }
    if key.public().purpose == Purpose::Wrap {
        let workload = if items == 1 { "unwrap" } else { "batch-unwrap" };
        return plain_report(workload, items, &key, args, &measured);
    }
    let threshold = key.public().committee.threshold().get();
    tokio::task::spawn_blocking(move || report(&measured, threshold, items))
        .await
        .map_err(Failure::new)?
}

/// Compares with the floor, measured now that the cluster is idle.
fn report(measured: &Measured, threshold: u16, items: usize) -> Result<Report, Failure> {
    let floor: Floor = floor::decrypt(threshold, items);
    let flush = floor::flush(&std::env::temp_dir())
        .map_err(|e| Failure::io("the temporary directory", &e))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let p50 = measured.quantile(0.5);
    // DESIGN's bar for one decrypt on an idle loopback cluster.
    let bar =
        2 * floor.total() / u32::try_from(cores).unwrap_or(1) + Duration::from_micros(1500) + flush;
    let least = floor.total() / u32::try_from(cores).unwrap_or(1);
    let of_floor = least.as_secs_f64() * measured.rate();
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    let mut lines = measured.lines();
    lines.push(format!(
        "floor     {:.2} ms of mathematics ({} x {:.2} ms at nodes, {:.2} ms at the client), {cores} cores",
        ms(floor.total()), threshold, ms(floor.node), ms(floor.client),
    ));
    lines.push(format!("flush     {:.2} ms", ms(flush)));
    lines.push(format!(
        "ratio     {:.0} % of the floor's throughput, p50 {:.2} times the floor's time",
        100.0 * of_floor,
        p50.as_secs_f64() / least.as_secs_f64(),
    ));
    if items == 1 {
        lines.push(format!("bar       {:.2} ms (2 x floor / cores + 1.5 ms + flush)", ms(bar)));
    } else {
        lines.push(format!("items     {:.0} per second", measured.rate() * items as f64));
    }
    let json = json!({
        "workload": if items == 1 { "decrypt" } else { "batch-decrypt" },
        "items": items,
        "measured": measured.json(),
        "floor": floor.json(),
        "flush_us": micros(flush),
        "cores": cores,
        "bar_us": micros(bar),
        "of_floor_throughput": of_floor,
    });
    Ok(Report::new(lines.join("\n"), json))
}

/// Runs `one` for a while: at random arrival times at the rate, or one after the other.
async fn load<F, Fut>(args: &Bench, span: Duration, one: F) -> Result<Measured, Failure>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    let mut measured = Measured::new()?;
    let mut progress = Progress::new();
    let begun = Instant::now();
    let mut at = 0;
    if args.rate <= 0.0 {
        while begun.elapsed() < span {
            let started = Instant::now();
            let result = one(at).await;
            measured.count(started.elapsed(), result);
            at += 1;
            show(&mut progress, &measured, begun, span);
        }
        measured.elapsed = begun.elapsed();
        return Ok(measured);
    }
    let mut due = begun;
    let mut calls = JoinSet::new();
    while due < begun + span {
        // Exponential gaps make Poisson arrivals.
        let uniform: f64 = rand::rng().random();
        due += Duration::from_secs_f64(-(1.0 - uniform).ln() / args.rate);
        tokio::time::sleep_until(due.into()).await;
        while calls.len() >= args.in_flight.max(1) {
            take(&mut calls, &mut measured).await;
        }
        let (call, meant) = (one(at), due);
        calls.spawn(async move {
            let result = call.await;
            (meant.elapsed(), result)
        });
        at += 1;
        show(&mut progress, &measured, begun, span);
    }
    while !calls.is_empty() {
        take(&mut calls, &mut measured).await;
    }
    measured.elapsed = begun.elapsed();
    Ok(measured)
}

async fn take(calls: &mut JoinSet<(Duration, Result<(), Error>)>, measured: &mut Measured) {
    if let Some(Ok((took, result))) = calls.join_next().await {
        measured.count(took, result);
    }
}

fn show(progress: &mut Progress, measured: &Measured, begun: Instant, span: Duration) {
    if measured.latency.len().is_multiple_of(64) {
        let (at, of) = (begun.elapsed().as_secs(), span.as_secs());
        progress.show(&format!("{at} of {of} s, {} served", measured.latency.len()));
    }
}

/// Signatures, verified; the nonces are drawn ahead, as they are for a key that signs often.
async fn sign((client, key): (Client, Key), args: &Bench) -> Result<Report, Failure> {
    let message = Arc::new(vec![0x5a; args.size]);
    let signing = key.clone();
    let one = move |_| {
        let (client, key, message) = (client.clone(), signing.clone(), Arc::clone(&message));
        async move {
            let none = EncryptionContext::default();
            client.sign_with_report(&key, &[&message[..]], &none).await.map(drop)
        }
    };
    load(args, WARM_UP, one.clone()).await?;
    let measured = load(args, Duration::from_secs_f64(args.seconds), one).await?;
    plain_report("sign", 1, &key, args, &measured)
}

/// Secrets from inputs that are all different.
async fn derive((client, key): (Client, Key), args: &Bench) -> Result<Report, Failure> {
    let (deriving, size) = (key.clone(), args.size);
    let one = move |at: usize| {
        let (client, key) = (client.clone(), deriving.clone());
        async move {
            let none = EncryptionContext::default();
            let mut input = vec![0x5a; size];
            input.extend(at.to_be_bytes());
            client.derive_with_report(&key, &[&input[..]], &none).await.map(drop)
        }
    };
    load(args, WARM_UP, one.clone()).await?;
    let measured = load(args, Duration::from_secs_f64(args.seconds), one).await?;
    plain_report("derive", 1, &key, args, &measured)
}

/// Without a floor.
fn plain_report(
    workload: &str,
    items: usize,
    key: &Key,
    args: &Bench,
    measured: &Measured,
) -> Result<Report, Failure> {
    if measured.latency.is_empty() {
        return Err(Failure::new(format!("nothing succeeded: {:?}", measured.failed)));
    }
    let flush = floor::flush(&std::env::temp_dir())
        .map_err(|e| Failure::io("the temporary directory", &e))?;
    let mut lines = measured.lines();
    lines.push(format!("flush     {:.2} ms", flush.as_secs_f64() * 1000.0));
    if items > 1 {
        lines.push(format!("items     {:.0} per second", measured.rate() * items as f64));
    }
    let json = json!({
        "workload": workload, "bytes": args.size, "items": items,
        "threshold": key.public().committee.threshold().get(),
        "measured": measured.json(), "flush_us": micros(flush),
    });
    Ok(Report::new(lines.join("\n"), json))
}

/// Refreshes one after the other: a key's shares move under one order at a time.
async fn refresh(global: &Global, args: &Bench) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    let name = KeyName::new(args.key.as_str()).map_err(Failure::usage)?;
    let (mut measured, mut progress) = (Measured::new()?, Progress::new());
    refresh_once(&operator, &name).await?; // connections, and the orders that nodes lack
    let (begun, span) = (Instant::now(), Duration::from_secs_f64(args.seconds));
    while begun.elapsed() < span {
        let started = Instant::now();
        refresh_once(&operator, &name).await?;
        measured.count(started.elapsed(), Ok(()));
        show(&mut progress, &measured, begun, span);
    }
    measured.elapsed = begun.elapsed();
    let flush = floor::flush(&std::env::temp_dir())
        .map_err(|e| Failure::io("the temporary directory", &e))?;
    let mut lines = measured.lines();
    lines.push(format!("flush     {:.2} ms", flush.as_secs_f64() * 1000.0));
    let json = json!({
        "workload": "refresh", "measured": measured.json(), "flush_us": micros(flush),
    });
    Ok(Report::new(lines.join("\n"), json))
}

/// Local encryption: asks nobody.
fn encrypt(key: &Key, args: &Bench) -> Result<Report, Failure> {
    let context = EncryptionContext::default();
    let plaintext = vec![0x5a; args.size];
    let mut measured = Measured::new()?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs_f64(args.seconds) {
        let started = Instant::now();
        let result = key.encrypt(&plaintext, &context).map(drop);
        measured.count(started.elapsed(), result);
    }
    measured.elapsed = begun.elapsed();
    let json = json!({ "workload": "encrypt", "measured": measured.json() });
    Ok(Report::new(measured.lines().join("\n"), json))
}

/// A stream of zeros through encryption, beside the raw cipher.
async fn stream(key: Key, args: &Bench) -> Result<Report, Failure> {
    let size = u64::try_from(args.size).map_err(Failure::usage)?.max(64 << 20);
    tokio::task::spawn_blocking(move || {
        let context = EncryptionContext::default();
        let begun = Instant::now();
        let zeros = io::Read::take(io::repeat(0), size);
        key.encrypt_stream(zeros, io::sink(), &context)?;
        let sealed = begun.elapsed();
        let raw = raw_cipher(size)?;
        let rate = |d: Duration| size as f64 / d.as_secs_f64() / 1e6;
        let lines = [
            format!("stream    {:.0} MB/s", rate(sealed)),
            format!(
                "raw       {:.0} MB/s (AES-256-GCM, one thread, 64 KiB chunks in cache)",
                rate(raw)
            ),
            format!("ratio     {:.2}", raw.as_secs_f64() / sealed.as_secs_f64()),
        ];
        let json = json!({
            "workload": "stream", "bytes": size,
            "stream_mb_per_s": rate(sealed), "raw_mb_per_s": rate(raw),
        });
        Ok(Report::new(lines.join("\n"), json))
    })
    .await
    .map_err(Failure::new)?
}

/// The cipher alone over one chunk in cache, again and again.
fn raw_cipher(size: u64) -> Result<Duration, Failure> {
    use quorate_crypto::{SecretBytes, stream::Sealer};
    const CHUNK: usize = 64 * 1024;
    let mut sealer = Sealer::new(&SecretBytes::new([7; 32]));
    let mut buffer = Vec::with_capacity(CHUNK + 64);
    let begun = Instant::now();
    for _ in 0..size / CHUNK as u64 {
        buffer.resize(CHUNK, 0);
        sealer.seal_chunk(&mut buffer, false).map_err(Failure::new)?;
    }
    Ok(begun.elapsed())
}
