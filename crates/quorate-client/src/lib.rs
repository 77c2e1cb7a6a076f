//! The Rust SDK of Quorate: keys that only a quorum can use.
//!
//! Encryption is local. Decryption asks `t` of `n` nodes through a coordinator that can
//! neither read the result nor forge it; this crate verifies everything from the pinned
//! cluster fingerprint, combines the partial results itself and names nodes that lie.
//!
//! ```no_run
//! use quorate_client::{Client, EncryptionContext};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::open("/etc/quorate/client")?;
//! let context = EncryptionContext::new([("app".into(), "payroll".into())].into())?;
//!
//! let key = client.key("payroll").await?; // verified and pinned
//! let ciphertext = key.encrypt(b"a secret", &context)?; // asks nobody
//!
//! let (plaintext, report) = client.decrypt_with_report(&ciphertext, &context).await?;
//! assert_eq!(&plaintext[..], b"a secret");
//! for liar in &report.liars {
//!     eprintln!("{liar} answered wrongly and was left out");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Files of any size: [`Key::encrypt_stream`] and [`Client::decrypt_stream`]. Many small
//! ciphertexts: [`Client::decrypt_batch`]. Secrets derived from inputs that no node sees:
//! [`Client::derive`]. Ed25519 signatures: [`Client::sign`]. Data keys: [`Client::data_key`].
//! What has no room for a public-key ciphertext: [`Client::wrap`]. Operators: [`operator::Operator`].

mod answers;
mod api;
mod asking;
mod builder;
mod ciphertext;
mod client;
mod collect;
mod cores;
mod datakey;
mod decrypt;
mod derive;
mod error;
pub mod export;
pub mod file;
pub mod home;
pub mod import;
mod key;
mod known;
mod open;
pub mod operator;
mod payload;
mod pins;
mod report;
mod seal;
mod sign;
mod states;
mod stream;
pub mod transport;
mod wrap;

pub use api::{
    ClusterStatus, CoordinatorTransport, Heads, KeySummary, KeysPage, NodeStatus, NodesTransport,
    Progress, Surveyed, VersionSummary,
};
pub use builder::ClientBuilder;
pub use ciphertext::CiphertextError;
pub use client::Client;
pub use datakey::{CacheLimits, DATA_KEY_LEN, DataKey, DataKeyCache};
pub use derive::{Derived, MAX_DERIVE_INPUT};
pub use error::{Culprit, Error, Missing, NodeRef};
pub use export::{CombineFailure, Combined, SealedShares, combine};
pub use file::FileError;
pub use home::{Home, HomeConfig, HomeError, NewHome, Role};
pub use import::{ImportError, ImportFileError, KeyForm, OwnedKey};
pub use key::Key;
pub use open::{Plaintext, Streamed};
pub use operator::{CarriedOut, KeyFilter, Moved, Operator};
pub use pins::{Pin, PinError};
pub use quorate_types::EncryptionContext;
pub use report::Report;
pub use sign::{MAX_SIGN_MESSAGE, Signature};
pub use states::{KeyState, NodeKeyState};
pub use wrap::{MAX_WRAP, ToUnwrap, ToWrap, Wrapped};
