//! Orders: what `m` operators sign. Nodes obey orders, not people.

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer, ascending},
    committee::Committee,
    export::ExportKey,
    fork::ResolveFork,
    ids::{Fingerprint, Hash, KeyName, KeyVersion, Millis, PartyName},
    import::ImportKey,
    key_state::SetKeyState,
    reshare::Reshare,
    rights::Rights,
    roster::{Cluster, Roster},
    rotate::RotateKey,
    signed::Signed,
    suite::{Purpose, Suite},
    terms::Terms,
};
use quorate_crypto::{
    PublicKey,
    hash::{Label, hash32},
};
use thiserror::Error;

/// The most clients that one order grants a key to.
pub const MAX_GRANTS: usize = 256;
/// The longest life of an order: until then it may be applied for the first time.
pub const MAX_ORDER_LIFE: u64 = 30 * Millis::DAY;
/// The longest life of a grant.
pub const MAX_GRANT_LIFE: u64 = 3660 * Millis::DAY;
/// The life of a grant where nobody says otherwise.
pub const DEFAULT_GRANT_LIFE: u64 = 90 * Millis::DAY;
/// How many epoch numbers one order allows.
pub const NUMBERS_PER_ORDER: u64 = 1024;
/// How far an order may be from the future, for clocks that differ.
pub const ORDER_CLOCK_SLACK: u64 = 5 * 60 * 1000;

/// The most versions of one key: a new one every week for almost twenty years.
pub const MAX_VERSIONS: u32 = 1024;

/// In [`OrderError::Expired`]: it came too late.
pub const LIFE_OVER: &str = "its life is over";

/// Why an order is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrderError {
    /// Its bytes are no order.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It is for another cluster.
    #[error("the order is for cluster {got}, this is {expected}")]
    Cluster {
        /// This cluster.
        expected: Fingerprint,
        /// The order's.
        got: Fingerprint,
    },
    /// It was signed under a roster that is not known here.
    #[error("the order was signed under roster version {0}, which is not known here; fetch it")]
    Roster(u32),
    /// Too few operators signed.
    #[error("{got} of the {needed} operators that an order needs have signed it validly")]
    Signatures {
        /// `m`.
        needed: u16,
        /// Valid signatures of operators.
        got: usize,
    },
    /// Its life is over, or has not begun.
    #[error("the order is not valid now ({0}); make a new one")]
    Expired(&'static str),
    /// What it asks for breaks a rule.
    #[error("the order breaks a rule: {0}")]
    Rule(String),
}

/// A chain of orders: each names its predecessor in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainId {
    /// Policy and clients.
    Policy,
    /// One key.
    Key(KeyName),
    /// The schedule of one key's versions. Beside the key's own chain, so that neither is in the
    /// way of the other.
    Rotation(KeyName),
}

impl ChainId {
    /// The key that it is about, if it is about one.
    #[must_use]
    pub fn key(&self) -> Option<&KeyName> {
        match self {
            Self::Policy => None,
            Self::Key(name) | Self::Rotation(name) => Some(name),
        }
    }

    /// The other chain about the same key.
    #[must_use]
    pub fn beside(&self) -> Option<Self> {
        match self {
            Self::Policy => None,
            Self::Key(name) => Some(Self::Rotation(name.clone())),
            Self::Rotation(name) => Some(Self::Key(name.clone())),
        }
    }
}

impl Part for ChainId {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Policy => w.u8(1),
            Self::Key(name) => {
                w.u8(2);
                name.write(w);
            }
            Self::Rotation(name) => {
                w.u8(3);
                name.write(w);
            }
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match r.u8("order chain")? {
            1 => Ok(Self::Policy),
            2 => Ok(Self::Key(Part::read(r)?)),
            3 => Ok(Self::Rotation(Part::read(r)?)),
            other => Err(CodecError::invalid("order chain", format!("{other} is not known here"))),
        }
    }
}

/// A client that may use a key until the grant expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The client's identity.
    pub client: PublicKey,
    /// For people.
    pub name: PartyName,
    /// When the grant ends, by each node's clock.
    pub expires_at: Millis,
}

impl Part for Grant {
    fn write(&self, w: &mut Writer) {
        self.client.write(w);
        self.name.write(w);
        self.expires_at.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { client: Part::read(r)?, name: Part::read(r)?, expires_at: Part::read(r)? })
    }
}

/// Makes a key, or a further version of it, without a dealer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateKey {
    /// The key's name, for ever.
    pub name: KeyName,
    /// 1; the next one rotates the key, or follows a version whose birth failed for good.
    pub version: KeyVersion,
    /// What the key does.
    pub suite: Suite,
    /// What it is for.
    pub purpose: Purpose,
    /// Who shares it, with `t`.
    pub committee: Committee,
    /// How many receipts and active signatures bear it.
    pub q: u16,
    /// The first of [`NUMBERS_PER_ORDER`] epoch numbers that attempts may take.
    pub first_number: u64,
    /// Who may use it, by ascending client key.
    pub grants: Vec<Grant>,
    /// Allows one provider or jurisdiction `t` shares or more. For development.
    pub danger_concentrated: bool,
    /// Says that losing one jurisdiction may put the key out of reach.
    pub acknowledge_fragile: bool,
    /// What later orders may do to it that they may not do to other keys. Not part of these
    /// bytes: an order that gives rights is an action of its own.
    pub rights: Rights,
}

impl CreateKey {
    /// The grant of a client.
    #[must_use]
    pub fn grant(&self, client: &PublicKey) -> Option<&Grant> {
        self.grants.binary_search_by_key(client, |g| g.client).ok().map(|at| &self.grants[at])
    }

    pub(crate) fn check_grants(&self, issued_at: Millis) -> Result<(), OrderError> {
        if self.grants.iter().any(|g| g.expires_at > issued_at.plus(MAX_GRANT_LIFE)) {
            return Err(OrderError::Rule("a grant lasts at most ten years".into()));
        }
        Ok(())
    }

    pub(crate) fn check(&self, issued_at: Millis) -> Result<(), OrderError> {
        self.check_grants(issued_at)?;
        if self.version.get() > MAX_VERSIONS {
            let text = format!("a key has at most {MAX_VERSIONS} versions; make another key");
            return Err(OrderError::Rule(text));
        }
        Ok(())
    }
}

impl Part for CreateKey {
    fn write(&self, w: &mut Writer) {
        self.name.write(w);
        self.version.write(w);
        self.suite.write(w);
        self.purpose.write(w);
        self.committee.write(w);
        w.u16(self.q);
        w.u64(self.first_number);
        w.list(&self.grants);
        w.bool(self.danger_concentrated);
        w.bool(self.acknowledge_fragile);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let order = Self {
            name: Part::read(r)?,
            version: Part::read(r)?,
            suite: Part::read(r)?,
            purpose: Part::read(r)?,
            committee: Part::read(r)?,
            q: r.u16("q")?,
            first_number: r.u64("first epoch number")?,
            grants: r.list(MAX_GRANTS, "grants")?,
            danger_concentrated: r.bool("danger_concentrated")?,
            acknowledge_fragile: r.bool("acknowledge_fragile")?,
            rights: Rights::NONE,
        };
        ascending(&order.grants, "grants", |g| g.client)?;
        Ok(order)
    }
}

/// What an order asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes a key.
    CreateKey(CreateKey),
    /// Makes a client known by name. It may use nothing until a key is granted to it.
    AddClient {
        /// The client's name, for people.
        name: PartyName,
        /// The client's identity.
        client: PublicKey,
    },
    /// Ends all that a client may do, at once and for ever. Unchained: it binds the
    /// head of the policy chain that its signers saw.
    RevokeClient {
        /// The client's identity.
        client: PublicKey,
    },
    /// Moves the shares of a key to a new epoch.
    Reshare(Reshare),
    /// Says how a key is. Unchained: the highest revision counts.
    SetKeyState(SetKeyState),
    /// Makes a key out of its owner's.
    ImportKey(ImportKey),
    /// Has the shares of a key sealed to a recipient. Unchained: it moves nothing; it binds the
    /// head of the key's chain that its signers saw.
    ExportKey(ExportKey),
    /// Has the next versions of a key born by themselves, on a calendar, or ends that.
    RotateKey(RotateKey),
    /// Ends a fork of a chain. Unchained: it follows the order that stays.
    ResolveFork(ResolveFork),
}

impl Action {
    /// The key that it makes, if it makes one, of its own or out of its owner's. A schedule makes
    /// many: [`Self::create_key_of`].
    #[must_use]
    pub fn create_key(&self) -> Option<&CreateKey> {
        match self {
            Self::CreateKey(create) | Self::ImportKey(ImportKey { create, .. }) => Some(create),
            _ => None,
        }
    }
}

impl Part for Action {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::CreateKey(create) if create.rights == Rights::NONE => {
                w.u8(1);
                create.write(w);
            }
            Self::CreateKey(create) => {
                w.u8(8);
                create.rights.write(w);
                create.write(w);
            }
            Self::AddClient { name, client } => {
                w.u8(2);
                name.write(w);
                client.write(w);
            }
            Self::RevokeClient { client } => {
                w.u8(3);
                client.write(w);
            }
            Self::Reshare(reshare) => {
                w.u8(4);
                reshare.write(w);
            }
            Self::SetKeyState(state) => {
                w.u8(5);
                state.write(w);
            }
            Self::ImportKey(import) => {
                w.u8(6);
                import.write(w);
            }
            Self::ExportKey(export) => {
                w.u8(7);
                export.write(w);
            }
            Self::RotateKey(rotate) => {
                w.u8(9);
                rotate.write(w);
            }
            Self::ResolveFork(fork) => {
                w.u8(16);
                fork.write(w);
            }
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match r.u8("action")? {
            1 => Ok(Self::CreateKey(Part::read(r)?)),
            2 => Ok(Self::AddClient { name: Part::read(r)?, client: Part::read(r)? }),
            3 => Ok(Self::RevokeClient { client: Part::read(r)? }),
            4 => Ok(Self::Reshare(Part::read(r)?)),
            5 => Ok(Self::SetKeyState(Part::read(r)?)),
            6 => Ok(Self::ImportKey(Part::read(r)?)),
            7 => Ok(Self::ExportKey(Part::read(r)?)),
            8 => {
                let rights = Part::read(r)?;
                Ok(Self::CreateKey(CreateKey { rights, ..Part::read(r)? }))
            }
            9 => Ok(Self::RotateKey(Part::read(r)?)),
            16 => Ok(Self::ResolveFork(Part::read(r)?)),
            other => Err(CodecError::invalid("action", format!("{other} is not known here"))),
        }
    }
}

/// An instruction to the nodes, exact in every parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The cluster it is for.
    pub fingerprint: Fingerprint,
    /// The roster under which it is signed.
    pub roster_version: u32,
    /// That roster's hash.
    pub roster_hash: Hash,
    /// By the operators' clock.
    pub issued_at: Millis,
    /// After this no node applies it for the first time.
    pub expires_at: Millis,
    /// Makes two orders with the same content two orders.
    pub nonce: [u8; 32],
    /// The newest order of the chain that this one continues; zeros begin a chain. For
    /// an unchained action the head that was seen.
    pub predecessor: Hash,
    /// What to do.
    pub action: Action,
}

impl Order {
    /// The chain that it stands in; `None` for an unchained action.
    #[must_use]
    pub fn chain(&self) -> Option<ChainId> {
        match &self.action {
            Action::CreateKey(create) | Action::ImportKey(ImportKey { create, .. }) => {
                Some(ChainId::Key(create.name.clone()))
            }
            Action::Reshare(reshare) => Some(ChainId::Key(reshare.name.clone())),
            Action::RotateKey(rotate) => Some(ChainId::Rotation(rotate.name().clone())),
            Action::AddClient { .. } => Some(ChainId::Policy),
            Action::RevokeClient { .. }
            | Action::SetKeyState(_)
            | Action::ExportKey(_)
            | Action::ResolveFork(_) => None,
        }
    }
}

impl Part for Order {
    fn write(&self, w: &mut Writer) {
        self.fingerprint.write(w);
        w.u32(self.roster_version);
        self.roster_hash.write(w);
        self.issued_at.write(w);
        self.expires_at.write(w);
        w.raw(&self.nonce);
        self.predecessor.write(w);
        self.action.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            fingerprint: Part::read(r)?,
            roster_version: r.u32("roster version")?,
            roster_hash: Part::read(r)?,
            issued_at: Part::read(r)?,
            expires_at: Part::read(r)?,
            nonce: r.array("order nonce")?,
            predecessor: Part::read(r)?,
            action: Part::read(r)?,
        })
    }
}

impl Format for Order {
    const KIND: &'static str = "QORD";
}

/// An order's bytes with operators' signatures; nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOrder(pub Signed);

impl Part for SignedOrder {
    fn write(&self, w: &mut Writer) {
        self.0.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Signed::read(r).map(Self)
    }
}

impl Format for SignedOrder {
    const KIND: &'static str = "QSOR";
}

/// An order that `m` operators of its roster have signed and whose parameters obey the
/// rules. Whether it is fresh and in sequence is for its reader to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedOrder {
    order: Order,
    hash: Hash,
    signed: SignedOrder,
}

impl VerifiedOrder {
    /// Verifies signatures and rules; not the time, since an old order still proves
    /// what was made under it.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn verify(cluster: &Cluster, signed: &SignedOrder) -> Result<Self, OrderError> {
        let order = Order::from_bytes(&signed.0.body)?;
        if order.fingerprint != *cluster.fingerprint() {
            return Err(OrderError::Cluster {
                expected: *cluster.fingerprint(),
                got: order.fingerprint,
            });
        }
        let roster = match cluster.at(order.roster_version) {
            Some((roster, hash)) if hash == order.roster_hash => roster,
            _ => return Err(OrderError::Roster(order.roster_version)),
        };
        let got = signed
            .0
            .valid(Label::SIG_ORDER, cluster.fingerprint(), |k| roster.is_operator(k))
            .count();
        if got < usize::from(roster.quorum) {
            return Err(OrderError::Signatures { needed: roster.quorum, got });
        }
        check_rules(&order, roster)?;
        let hash = order_hash(cluster.fingerprint(), &signed.0.body);
        Ok(Self { order, hash, signed: signed.clone() })
    }

    /// Refuses an order whose life is over or has not begun by this clock.
    ///
    /// # Errors
    /// [`OrderError::Expired`].
    pub fn check_fresh(&self, now: Millis) -> Result<(), OrderError> {
        if now > self.order.expires_at {
            return Err(OrderError::Expired(LIFE_OVER));
        }
        if self.order.issued_at > now.plus(ORDER_CLOCK_SLACK) {
            return Err(OrderError::Expired("it comes from the future: check the clocks"));
        }
        Ok(())
    }

    /// The order.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Names it, in chains and transcripts.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// As it came.
    #[must_use]
    pub fn signed(&self) -> &SignedOrder {
        &self.signed
    }

    /// The key that it makes, if it makes one, of its own or out of its owner's.
    #[must_use]
    pub fn create_key(&self) -> Option<&CreateKey> {
        self.order.action.create_key()
    }

    /// What it exports, or no longer exports, if it does.
    #[must_use]
    pub fn export(&self) -> Option<&ExportKey> {
        match &self.order.action {
            Action::ExportKey(export) => Some(export),
            _ => None,
        }
    }

    /// The key that it imports, if it imports one.
    #[must_use]
    pub fn import(&self) -> Option<&ImportKey> {
        match &self.order.action {
            Action::ImportKey(import) => Some(import),
            _ => None,
        }
    }
}

impl VerifiedOrder {
    /// How it moves shares, if it does.
    #[must_use]
    pub fn reshare(&self) -> Option<&Reshare> {
        match &self.order.action {
            Action::Reshare(reshare) => Some(reshare),
            _ => None,
        }
    }
}

/// Checks what an order asks for against the roster, before or after it is signed.
///
/// # Errors
/// [`OrderError::Rule`].
pub fn check_rules(order: &Order, roster: &Roster) -> Result<(), OrderError> {
    if order.expires_at <= order.issued_at
        || order.expires_at > order.issued_at.plus(MAX_ORDER_LIFE)
    {
        return Err(OrderError::Rule("an order lives longer than 0 and at most 30 days".into()));
    }
    if let Some(terms) = Terms::stated(&order.action) {
        terms.check(roster)?;
    }
    match &order.action {
        Action::CreateKey(create) => create.check(order.issued_at),
        Action::Reshare(reshare) => reshare.check(order.issued_at),
        Action::ImportKey(import) => import.check(order.issued_at, roster),
        Action::ExportKey(export) => export.check(&order.predecessor),
        Action::RotateKey(rotate) => rotate.check(order.issued_at),
        Action::AddClient { client, .. } if is_party(roster, client) => {
            Err(OrderError::Rule("this key belongs to a party of the roster".into()))
        }
        Action::SetKeyState(state) => state.check(order.issued_at),
        Action::ResolveFork(fork) => fork.check(&order.predecessor),
        Action::AddClient { .. } | Action::RevokeClient { .. } => Ok(()),
    }
}

/// Names an order.
#[must_use]
pub fn order_hash(fingerprint: &Fingerprint, body: &[u8]) -> Hash {
    Hash(hash32(Label::ORDER_HASH, &[fingerprint.as_bytes(), body]))
}

fn is_party(roster: &Roster, key: &PublicKey) -> bool {
    roster.node_by_identity(key).is_some() || roster.is_operator(key) || roster.is_coordinator(key)
}
