//! `coordinator.toml`: its comments are the manual. Unknown keys are refused.

use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The file in a coordinator's home.
pub const FILE: &str = "coordinator.toml";

/// What `quorate-coordinator init` writes, but for its values.
pub const MANUAL: &str = r#"# Configuration of a Quorate coordinator. It holds no share and no client's key: whoever
# takes it over can stop it, and nothing else. Paths are relative to this file.

# Where it listens (gRPC over TLS 1.3). The address that clients and operators dial
# stands in the roster.
listen = "{listen}"

# The TLS key, made by `quorate-coordinator init`. Its public half stands in the roster.
tls_key = "tls.key"

# The cluster's roster chain, from `quorate cluster init`.
roster = "roster.json"

# Where Prometheus fetches metrics and a supervisor asks /healthz (HTTP, no secrets).
# Nobody, unless set.
# metrics = "127.0.0.1:9464"

# text for people, json for machines.
log = "text"

# Client requests under way at once; others are refused at once with RESOURCE_EXHAUSTED.
requests_in_flight = 512

# After SIGTERM: how long requests under way may take, in seconds.
drain_seconds = 10

# How long one step of a ceremony waits for a silent node, in seconds. Silence is never
# guilt: a step that waited this long goes on without the node if the order allows it.
step_seconds = 10
"#;

/// A coordinator's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The TLS key's file.
    #[serde(default = "default_key")]
    pub tls_key: PathBuf,
    /// The roster chain's file.
    #[serde(default = "default_roster")]
    pub roster: PathBuf,
    /// Where metrics are served.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// How to log.
    #[serde(default)]
    pub log: LogFormat,
    /// Client requests under way at once.
    #[serde(default = "default_in_flight")]
    pub requests_in_flight: usize,
    /// Seconds for requests under way after SIGTERM.
    #[serde(default = "default_drain")]
    pub drain_seconds: u64,
    /// Seconds that a ceremony's step waits for a silent node.
    #[serde(default = "default_step")]
    pub step_seconds: u64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}; `quorate-coordinator init` makes a home")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file says something unknown or impossible.
    #[error("{path}: {error}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        error: toml::de::Error,
    },
    /// A number is out of its range.
    #[error("{path}: {key} must be {rule}")]
    Range {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

impl Config {
    /// Reads a home's configuration; relative paths become paths below the home.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| ConfigError::Read { path: path.clone(), error })?;
        let mut config: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.clone(), error })?;
        config.tls_key = home.join(&config.tls_key);
        config.roster = home.join(&config.roster);
        let in_range = |ok: bool, key, rule| match ok {
            true => Ok(()),
            false => Err(ConfigError::Range { path: path.clone(), key, rule }),
        };
        let flight = config.requests_in_flight;
        in_range((1..=65_536).contains(&flight), "requests_in_flight", "1 to 65536")?;
        in_range(config.drain_seconds <= 300, "drain_seconds", "at most 300")?;
        in_range((1..=300).contains(&config.step_seconds), "step_seconds", "1 to 300")?;
        Ok(config)
    }
}

fn default_key() -> PathBuf {
    "tls.key".into()
}

fn default_roster() -> PathBuf {
    "roster.json".into()
}

const fn default_in_flight() -> usize {
    512
}

const fn default_drain() -> u64 {
    10
}

const fn default_step() -> u64 {
    10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(FILE), text).unwrap();
        Config::read(home.path())
    }

    #[test]
    fn the_manual_is_a_valid_configuration_and_states_the_defaults() {
        let manual = read(&MANUAL.replace("{listen}", "127.0.0.1:7500")).unwrap();
        let least = read("listen = \"127.0.0.1:7500\"").unwrap();
        assert_eq!(manual.requests_in_flight, least.requests_in_flight);
        assert_eq!(manual.drain_seconds, least.drain_seconds);
        assert_eq!(manual.step_seconds, least.step_seconds);
        assert_eq!(manual.log, least.log);
    }

    #[test]
    fn unknown_keys_and_numbers_out_of_range_are_refused() {
        assert!(read("listen = \"127.0.0.1:7500\"\nlisten_adress = 1").is_err());
        assert!(read("listen = \"127.0.0.1:7500\"\nstep_seconds = 0").is_err());
        assert!(read("").is_err());
    }
}
