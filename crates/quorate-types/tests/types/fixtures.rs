//! One small cluster with fixed keys: the same bytes on every run.

use quorate_crypto::{IdentityKey, PublicKey, hash::Label};
use quorate_types::*;

/// The time at which everything here happens.
pub(crate) const NOW: Millis = Millis(1_760_000_000_000);

/// The `n`th key of the fixtures.
pub(crate) fn key(n: u8) -> IdentityKey {
    IdentityKey::from_seed(&[n; 32])
}

pub(crate) fn public(n: u8) -> PublicKey {
    key(n).public()
}

pub(crate) fn index(i: u16) -> NodeIndex {
    NodeIndex::new(i).unwrap()
}

/// Node `i` has key `i`; (provider, location, home) of each.
pub(crate) const PLACES: [(&str, &str, &str); 5] = [
    ("Alpenhost", "CH", "CH"),
    ("Nordic", "IS", "IS"),
    ("Hanse", "DE", "DE"),
    ("Maple", "CA", "CA"),
    ("Sakura", "JP", "JP"),
];

/// Operators have keys 101 to 103, the coordinator 120.
pub(crate) fn genesis() -> Roster {
    Roster {
        cluster: "test".parse().unwrap(),
        version: 1,
        previous: Hash::default(),
        nonce: [7; 32],
        written_at: NOW,
        nodes: (1..=5).map(node).collect(),
        coordinators: vec![CoordinatorEntry {
            name: "coordinator".parse().unwrap(),
            endpoint: "127.0.0.1:7400".parse().unwrap(),
            tls_key: public(120),
        }],
        operators: (1..=3).map(operator).collect(),
        quorum: 2,
    }
}

pub(crate) fn node(i: u16) -> NodeEntry {
    let (provider, location, home) = PLACES[usize::from(i - 1)];
    NodeEntry {
        index: index(i),
        name: format!("node-{i}").parse().unwrap(),
        endpoint: format!("127.0.0.1:{}", 7400 + i).parse().unwrap(),
        provider: provider.parse().unwrap(),
        location: location.parse().unwrap(),
        home: home.parse().unwrap(),
        identity: public(i as u8),
    }
}

pub(crate) fn operator(i: u8) -> OperatorEntry {
    OperatorEntry { name: format!("operator-{i}").parse().unwrap(), key: public(100 + i) }
}

/// A roster's bytes, signed for cluster `fingerprint` by the keys with these numbers.
pub(crate) fn sign_roster(
    roster: &Roster,
    fingerprint: &Fingerprint,
    signers: &[u8],
) -> SignedRoster {
    let mut signed = Signed::unsigned(roster.to_bytes());
    for n in signers {
        signed.sign(&key(*n), Label::SIG_ROSTER, fingerprint);
    }
    SignedRoster(signed)
}

pub(crate) fn cluster_of(roster: &Roster) -> Cluster {
    let fingerprint = quorate_types::roster::fingerprint(&roster.to_bytes());
    Cluster::verify(&fingerprint, &[sign_roster(roster, &fingerprint, &[101, 102])]).unwrap()
}

pub(crate) fn cluster() -> Cluster {
    cluster_of(&genesis())
}

pub(crate) fn committee(nodes: &[u16], t: u16) -> Committee {
    let members =
        nodes.iter().map(|i| Member { index: index(*i), identity: public(*i as u8) }).collect();
    Committee::new(members, t).unwrap()
}

/// 3 of 5, for the client with key 50.
pub(crate) fn create_key() -> CreateKey {
    CreateKey {
        name: "payroll/2026".parse().unwrap(),
        version: KeyVersion::FIRST,
        suite: Suite::Tdh2Ristretto255,
        purpose: Purpose::Decrypt,
        committee: committee(&[1, 2, 3, 4, 5], 3),
        q: 5,
        first_number: 1,
        grants: vec![Grant {
            client: public(50),
            name: "app".parse().unwrap(),
            expires_at: NOW.plus(quorate_types::order::DEFAULT_GRANT_LIFE),
        }],
        danger_concentrated: false,
        acknowledge_fragile: false,
        rights: Rights::NONE,
    }
}

/// From 3 of 5 to 2 of 3, under the public key of [`epoch`].
pub(crate) fn reshare() -> Reshare {
    let create = create_key();
    Reshare {
        name: create.name,
        version: create.version,
        newest: create.version,
        suite: create.suite,
        purpose: create.purpose,
        public_key: [1; 32],
        committee: committee(&[2, 3, 5], 2),
        q: 3,
        first_number: 1 + quorate_types::order::NUMBERS_PER_ORDER,
        grace: 60,
        repeat: None,
        danger_concentrated: false,
        acknowledge_fragile: false,
    }
}

/// Three further versions of [`create_key`].
pub(crate) fn rotate_key() -> RotateKey {
    let create =
        CreateKey { version: KeyVersion::new(2).unwrap(), first_number: 2049, ..create_key() };
    let (from, until) = (NOW.plus(90 * Millis::DAY), NOW.plus(366 * Millis::DAY));
    RotateKey { create, from, every: 90 * 86_400, times: 3, until }
}

pub(crate) fn order(cluster: &Cluster, action: Action) -> Order {
    Order {
        fingerprint: *cluster.fingerprint(),
        roster_version: cluster.roster().version,
        roster_hash: cluster.roster_hash(),
        issued_at: NOW,
        expires_at: NOW.plus(Millis::DAY),
        nonce: [9; 32],
        predecessor: Hash::default(),
        action,
    }
}

pub(crate) fn sign_order(order: &Order, signers: &[u8]) -> SignedOrder {
    let mut signed = Signed::unsigned(order.to_bytes());
    for n in signers {
        signed.sign(&key(*n), Label::SIG_ORDER, &order.fingerprint);
    }
    SignedOrder(signed)
}

/// An order that ends a fork between two orders named by a byte each.
pub(crate) fn resolve(cluster: &Cluster, chain: ChainId, stays: u8, falls: u8) -> Order {
    let (stays, falls) = (Hash([stays; 32]), Hash([falls; 32]));
    let action = Action::ResolveFork(ResolveFork { chain, stays, falls });
    Order { predecessor: stays, ..order(cluster, action) }
}

/// The order that makes `create`, signed by two of three operators.
pub(crate) fn ordered(cluster: &Cluster, create: CreateKey) -> SignedOrder {
    sign_order(&order(cluster, Action::CreateKey(create)), &[101, 103])
}

/// What a genesis under `order` would publish; the points are not the point here.
pub(crate) fn epoch(order: &VerifiedOrder) -> EpochPublic {
    let create = order.create_key().unwrap();
    EpochPublic {
        fingerprint: order.order().fingerprint,
        key: create.name.clone(),
        version: create.version,
        suite: create.suite,
        purpose: create.purpose,
        epoch: EpochName { number: 1, bundle: Hash([0xb0; 32]) },
        parent: None,
        context: Hash([0xc0; 32]),
        order: order.hash(),
        committee: create.committee.clone(),
        commitments: (1..=create.committee.threshold().get()).map(|k| [k as u8; 32]).collect(),
    }
}

pub(crate) fn record(cluster: &Cluster) -> KeyRecord {
    let signed = ordered(cluster, create_key());
    let verified = VerifiedOrder::verify(cluster, &signed).unwrap();
    record_of(signed, epoch(&verified))
}

/// `public` with receipts and active signatures of all five nodes.
pub(crate) fn record_of(order: SignedOrder, public: EpochPublic) -> KeyRecord {
    let receipts = (1..=5).map(|i| public.sign_receipt(index(i), &key(i as u8))).collect();
    let actives = (1..=5).map(|i| public.sign_active(index(i), &key(i as u8))).collect();
    KeyRecord { order, certificate: Certificate { public, receipts }, actives }
}

pub(crate) fn context() -> EncryptionContext {
    EncryptionContext::new([("app".into(), "payroll".into()), ("row".into(), "17".into())].into())
        .unwrap()
}

pub(crate) fn nonce_order() -> quorate_types::signing::NonceOrder {
    quorate_types::signing::NonceOrder {
        epoch: EpochName { number: 1025, bundle: Hash([0xb0; 32]) },
        count: 16,
    }
}

pub(crate) fn sign_item() -> quorate_types::signing::SignItem {
    use quorate_types::signing::{NonceHandle, SignItem, SignerCommitments};
    let signer = |i: u16| SignerCommitments {
        node: index(i),
        handle: NonceHandle { boot: BootId([i as u8; 16]), number: 70 + u64::from(i) },
        commitments: [0xc0 + i as u8; 64],
    };
    SignItem {
        epoch: nonce_order().epoch,
        signers: vec![signer(1), signer(3), signer(4)],
        message: b"v1.2.3 is good".to_vec(),
    }
}

pub(crate) fn request_head() -> RequestHead {
    RequestHead {
        id: RequestId([0x11; 16]),
        issued_at: NOW,
        ttl: 30_000,
        client: public(50),
        key: "payroll/2026".parse().unwrap(),
        version: KeyVersion::FIRST,
        operation: Operation::Decrypt,
        context: context(),
        reply_key: [0x22; 32],
        prove: true,
        item_count: 2,
        items_root: Hash([0x33; 32]),
    }
}

/// Two processes of node 2, one after the other, as node 3 has seen them.
pub(crate) fn sighting() -> Sighting {
    let cluster = *cluster().fingerprint();
    let extent = |sequence, length| Extent { sequence, length };
    let checkpoint = |boots: u8, began, extent: Extent| Checkpoint {
        node: index(2),
        boots: boots.into(),
        boot: BootId([boots; 16]),
        started: NOW,
        began,
        extent,
        head: Hash([0xa0; 32]),
        at: NOW.plus(1000),
    };
    let sign = |checkpoint| SignedCheckpoint::sign(checkpoint, &cluster, &key(2));
    Sighting {
        newest: sign(checkpoint(4, extent(120, 70), extent(512, 900))),
        other: Some(sign(checkpoint(3, extent(4, 1), extent(119, 70)))),
    }
}

/// What node 3 tells node 2.
pub(crate) fn witness() -> SignedWitness {
    let seen = Some(sighting());
    let witness = Witness { witness: index(3), about: index(2), boot: BootId([4; 16]), seen };
    SignedWitness::sign(witness, cluster().fingerprint(), &key(3))
}

/// How the key of [`create_key`] is.
pub(crate) fn key_state() -> SetKeyState {
    let tag = |name: &str, value: &str| Tag {
        name: name.parse().unwrap(),
        value: value.parse().unwrap(),
    };
    SetKeyState {
        revision: 3,
        description: "of the monthly runs".into(),
        tags: vec![tag("env", "live"), tag("team", "Lohnbüro")],
        aliases: vec!["salaries".parse().unwrap(), "team/pay".parse().unwrap()],
        disabled: Disabled::Versions(vec![KeyVersion::FIRST]),
        ..SetKeyState::initial(create_key().name)
    }
}

/// A node's receipt for it.
pub(crate) fn destroyed() -> DestroyedReceipt {
    let destroyed = Destroyed { key: create_key().name, order: Hash([0xd1; 32]), at: NOW };
    DestroyedReceipt::sign(destroyed, index(2), cluster().fingerprint(), &key(2))
}

/// The key of [`create_key`], which its owner has already.
pub(crate) fn import_key() -> ImportKey {
    let mut create = create_key();
    create.rights = Rights::NONE;
    let secret = quorate_crypto::SecretScalar::from_bytes(&[5; 32]).unwrap();
    let public_key = create.suite.group().mul_base(&secret).encode();
    ImportKey { create, public_key, dealer: public(60) }
}

pub(crate) fn export_key() -> ExportKey {
    let secret = quorate_crypto::RecipientKey::from_bytes(&[6; 32]).unwrap();
    let (recipient, danger_no_cooling_off) = (secret.public(), true);
    ExportKey {
        name: create_key().name,
        version: KeyVersion::FIRST,
        step: ExportStep::Open { recipient, danger_no_cooling_off },
    }
}

/// Not one that opens: what is sealed is random in others.
pub(crate) fn sealed_share() -> SealedShare {
    let cluster = cluster();
    let scope = ShareScope {
        fingerprint: *cluster.fingerprint(),
        key: create_key().name,
        version: KeyVersion::FIRST,
        epoch: EpochName { number: 1, bundle: Hash([0xb0; 32]) },
        node: index(2),
        order: Hash([0xd0; 32]),
        recipient: *export_key().recipient().unwrap(),
    };
    let signature = quorate_crypto::Signature([7; 64]);
    SealedShare { scope, encapsulated: [8; 32], sealed: [9; 48], signature }
}
