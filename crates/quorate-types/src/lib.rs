//! The words of Quorate's domain, valid by construction, and their canonical bytes.
//!
//! Pure: no clock, no I/O, no async. What comes from the network or the disk is parsed
//! here into types that cannot be wrong; what is signed, hashed or stored is written
//! here, in one codec. Certificates, orders and rosters carry their verification.

pub mod answer;
pub mod armor;
pub mod audit_entry;
pub mod certificate;
pub mod checkpoint;
pub mod ciphertext;
pub mod coalition;
pub mod codec;
pub mod committee;
pub mod context;
pub mod dealing;
pub mod export;
pub mod fork;
pub mod ids;
pub mod import;
pub mod key_state;
pub mod keyfile;
pub mod order;
pub mod request;
pub mod reshare;
pub mod rights;
pub mod roster;
pub mod roster_chain;
pub mod rotate;
pub mod signed;
pub mod signing;
pub mod suite;
pub mod terms;

pub use answer::{Answer, AnswerKeyCard, Refusal, RefusalReason, SealedAnswer, SignedRefusal};
pub use audit_entry::{AuditEntry, CeremonyStep, Decision, Event};
pub use certificate::{
    Certificate, CertificateError, EpochPublic, KeyRecord, VerifiedEpoch, VerifiedKey,
};
pub use checkpoint::{
    BootId, Checkpoint, Extent, Seen, Sighting, SignedCheckpoint, SignedWitness, Split, Witness,
};
pub use ciphertext::{CiphertextHead, CiphertextHeader};
pub use coalition::{Holder, Holding, Ownership};
pub use codec::{CodecError, Format, Part, Reader, Writer};
pub use committee::{Committee, CommitteeError, Member};
pub use context::{CeremonyContext, Parent, PartialContext};
pub use dealing::{AttemptId, DealRequest, PrepareAnswer, SignedDealing, Subject};
pub use export::{ExportKey, ExportStep, SealedShare, ShareScope};
pub use fork::ResolveFork;
pub use ids::{
    Endpoint, EpochName, Fingerprint, Hash, Jurisdiction, KeyName, KeyVersion, Millis, NameError,
    NodeIndex, PartyName, ProviderName, TagName, TagValue,
};
pub use import::ImportKey;
pub use key_state::{Destroyed, DestroyedReceipt, Disabled, SetKeyState, Tag};
pub use keyfile::KeyFileError;
pub use order::{Action, ChainId, CreateKey, Grant, Order, OrderError, SignedOrder, VerifiedOrder};
pub use request::{EncryptionContext, RequestHead, RequestId};
pub use reshare::{Repeat, Reshare};
pub use rights::Rights;
pub use roster::{
    Cluster, CoordinatorCard, CoordinatorEntry, NodeCard, NodeEntry, OperatorEntry, Roster,
    RosterError, SignedRoster,
};
pub use roster_chain::RosterChain;
pub use rotate::RotateKey;
pub use signed::{NodeSignature, Signed, Signer};
pub use suite::{Operation, Purpose, Suite};
pub use terms::Terms;
