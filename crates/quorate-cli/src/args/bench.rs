//! `quorate bench`.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure
    #[arg(value_enum, default_value_t = Workload::Decrypt)]
    pub workload: Workload,
    /// The key
    #[arg(long)]
    pub key: String,
    /// Requests per second, arriving at random (open loop); 0: one after the other
    #[arg(long, default_value_t = 0.0)]
    pub rate: f64,
    /// Seconds to measure, after one of warm-up
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Items in a request (batch decrypt)
    #[arg(long, default_value_t = 256)]
    pub batch: usize,
    /// Bytes of plaintext
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// The most requests under way at once
    #[arg(long, default_value_t = 256)]
    pub in_flight: usize,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Local encryption.
    Encrypt,
    /// One ciphertext a request.
    Decrypt,
    /// Many ciphertexts a request.
    BatchDecrypt,
    /// One secret a request.
    Derive,
    /// One signature of --size bytes a request, with nonces drawn ahead.
    Sign,
    /// A stream of --size bytes, encrypted and decrypted chunk by chunk.
    Stream,
    /// New shares for the key, one order after the other (an operator's home). The key keeps
    /// its newest epoch, and its chain grows by as many orders.
    Refresh,
}
