//! `node.toml`. The comments of [`Config`]'s fields are its manual; `quorate-node config`
//! prints them with the defaults.

use serde::Deserialize;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use thiserror::Error;

/// The name of the configuration in a home.
pub const FILE: &str = "node.toml";

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Not readable.
    #[error("cannot read {path}: {error}; `quorate-node init` makes a home")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: io::Error,
    },
    /// Not TOML, an unknown key, or a value of another kind.
    #[error("{path}: {error}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        error: Box<toml::de::Error>,
    },
    /// A value out of range.
    #[error("{path}: {key} must be {rule}, got {got}")]
    Range {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is allowed.
        rule: &'static str,
        /// What stands there.
        got: u64,
    },
}

/// Where the key-encryption key (KEK) comes from: it seals the identity and the shares.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum KekSource {
    /// A file with the key, best on another medium than the store.
    File(PathBuf),
    /// A file with a passphrase (Argon2id makes the key of it).
    PassphraseFile(PathBuf),
    /// A systemd credential with the key: its name below `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Declares the configuration: for each field its manual, its default, and how the default
/// is written in TOML.
macro_rules! settings {
    ($(#[$about:meta])* $name:ident {
        $($(#[doc = $doc:literal])* $field:ident: $ty:ty = $default:expr, $shown:literal;)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[doc = $doc])* pub $field: $ty,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            /// Every key with its manual and its default, as TOML.
            pub const MANUAL: &str = concat!(
                "# A Quorate node. Paths are relative to the directory of this file.\n",
                $("\n", $("#", $doc, "\n",)* $shown, "\n",)*
            );
        }
    };
}

settings! {
    /// A node's configuration.
    Config {
        /// Where the node listens, for coordinators, operators and clients: IP address and
        /// port. What others dial stands in the roster.
        listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 7400)), "listen = \"0.0.0.0:7400\"";
        /// The node's identity key, sealed under the KEK. A private key never leaves its
        /// machine.
        identity: PathBuf = "identity.key".into(), "identity = \"identity.key\"";
        /// What opens the identity and the store. One of
        ///   { file = "PATH" }             32 random bytes, best on another medium
        ///   { passphrase-file = "PATH" }  hardened with Argon2id
        ///   { credential = "NAME" }       32 random bytes from systemd (LoadCredentialEncrypted=)
        kek: KekSource = KekSource::File("kek".into()), "kek = { file = \"kek\" }";
        /// The roster chain, genesis first, as the operators gave it out.
        roster: PathBuf = "roster.json".into(), "roster = \"roster.json\"";
        /// Orders that are applied at each start. May be missing.
        orders: PathBuf = "orders".into(), "orders = \"orders\"";
        /// The store: sealed shares, records, audit log. Made once, when the node first sees
        /// its roster; a node whose store is gone never starts over by itself.
        store: PathBuf = "store".into(), "store = \"store\"";
        /// How far a request's time may be from this node's clock, in seconds, 1 to 300.
        clock_window_seconds: u64 = 30, "clock_window_seconds = 30";
        /// Requests remembered against replay, over all clients. When it is full, requests
        /// are refused; nothing is forgotten early. Some 150 bytes each.
        replay_entries: usize = 500_000, "replay_entries = 500000";
        /// Of these one client may take so many.
        replay_entries_per_client: usize = 250_000, "replay_entries_per_client = 250000";
        /// Keys kept ready in memory, each with its share.
        cached_keys: usize = 1024, "cached_keys = 1024";
        /// Open connections, all peers together.
        max_connections: usize = 1024, "max_connections = 1024";
        /// Uses of keys under way, those that wait for the disk included. Others are refused
        /// at once.
        requests_in_flight: usize = 64, "requests_in_flight = 64";
        /// Of these so many compute at the same time; 0 means twice the number of cores.
        computing_in_flight: usize = 0, "computing_in_flight = 0";
        /// Where metrics (GET /metrics, Prometheus text) and liveness (GET /healthz) are
        /// served over plain HTTP. Not served unless it is set; keep it off public networks.
        metrics_listen: Option<SocketAddr> = None, "# metrics_listen = \"127.0.0.1:9464\"";
        /// Log lines as "text" or "json", on stderr.
        log_format: LogFormat = LogFormat::Text, "log_format = \"text\"";
        /// What is logged: "info", or more finely "info,quorate_node=debug".
        log_filter: String = "info".into(), "log_filter = \"info\"";
        /// How long requests under way may take after SIGTERM, in seconds, 1 to 300.
        drain_seconds: u64 = 10, "drain_seconds = 10";
    }
}

impl Config {
    /// Reads `node.toml` in `home`; relative paths become paths below `home`.
    ///
    /// # Errors
    /// [`ConfigError`]; also for keys that do not exist.
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(FILE);
        let text = fs::read_to_string(&path)
            .map_err(|error| ConfigError::Read { path: path.clone(), error })?;
        Self::parse(&text, home)
    }

    /// As [`Config::load`], for text at hand.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(text: &str, home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(FILE);
        let mut config: Self = toml::from_str(text)
            .map_err(|error| ConfigError::Parse { path: path.clone(), error: Box::new(error) })?;
        config.check(&path)?;
        for file in
            [&mut config.identity, &mut config.roster, &mut config.orders, &mut config.store]
        {
            *file = home.join(&*file);
        }
        if let KekSource::File(file) | KekSource::PassphraseFile(file) = &mut config.kek {
            *file = home.join(&*file);
        }
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let bounds: [(&'static str, u64, std::ops::RangeInclusive<u64>, &'static str); 7] = [
            ("clock_window_seconds", self.clock_window_seconds, 1..=300, "1 to 300"),
            ("drain_seconds", self.drain_seconds, 1..=300, "1 to 300"),
            ("replay_entries", count(self.replay_entries), 1..=1 << 24, "1 to 16777216"),
            (
                "replay_entries_per_client",
                count(self.replay_entries_per_client),
                1..=count(self.replay_entries),
                "1 to replay_entries",
            ),
            ("cached_keys", count(self.cached_keys), 1..=1 << 20, "1 to 1048576"),
            ("max_connections", count(self.max_connections), 1..=1 << 16, "1 to 65536"),
            ("requests_in_flight", count(self.requests_in_flight), 1..=256, "1 to 256"),
        ];
        for (key, got, allowed, rule) in bounds {
            if !allowed.contains(&got) {
                return Err(ConfigError::Range { path: path.into(), key, rule, got });
            }
        }
        Ok(())
    }

    /// The clock window.
    #[must_use]
    pub fn clock_window(&self) -> Duration {
        Duration::from_secs(self.clock_window_seconds)
    }

    /// How long requests may take after the end has begun.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// How many requests compute at the same time.
    #[must_use]
    pub fn computing(&self) -> usize {
        match self.computing_in_flight {
            0 => 2 * std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_shows_every_key_with_its_default() {
        let config: Config = toml::from_str(Config::MANUAL).unwrap();
        assert_eq!(config, Config::default());
        let Config { .. } = config;
        let debug = format!("{:?}", Config::default());
        let keys = debug.split(": ").count() - 1;
        let shown = Config::MANUAL.lines().filter(|l| l.contains(" = ") && !l.starts_with("#  "));
        assert_eq!(shown.count(), keys, "{}", Config::MANUAL);
    }

    #[test]
    fn unknown_keys_and_values_out_of_range_are_refused() {
        let parse = |text: &str| Config::parse(text, Path::new("/home"));
        let text = parse("skip_checks = true").unwrap_err().to_string();
        assert!(text.contains("skip_checks") && text.contains("unknown field"), "{text}");
        for bad in [
            "clock_window_seconds = 0",
            "clock_window_seconds = 301",
            "replay_entries = 0",
            "replay_entries = 10",
            "kek = { file = \"a\", credential = \"b\" }",
            "kek = \"none\"",
            "log_format = \"xml\"",
            "listen = \"localhost\"",
            "requests_in_flight = 100000",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_home() {
        let config = Config::parse("kek = { file = \"/mnt/kek\" }", Path::new("/n")).unwrap();
        assert_eq!(config.kek, KekSource::File("/mnt/kek".into()));
        assert_eq!(config.store, Path::new("/n/store"));
    }
}
