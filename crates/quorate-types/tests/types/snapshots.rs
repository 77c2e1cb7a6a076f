//! Every format's bytes, pinned. A format that changes needs a new version number, or breaks
//! whatever was signed and stored before.

use crate::fixtures::*;
use quorate_types::*;
use std::{fs, path::PathBuf};

const ACCEPT: &str = "QUORATE_ACCEPT_SNAPSHOTS";

/// Compares with `tests/snapshots/<name>.hex`: 32 bytes to a line.
fn pinned(name: &str, bytes: &[u8]) {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.hex"));
    let text: String = bytes.chunks(32).map(|line| hex::encode(line) + "\n").collect();
    if std::env::var_os(ACCEPT).is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == text,
        "the bytes of {name} are not those of {}.\nWhat is signed or stored under the old bytes \
         would no longer verify: give the format a new version. If that is meant, run the test \
         with {ACCEPT}=1 and commit the file.\nexpected:\n{stored}got:\n{text}",
        path.display()
    );
}

fn pinned_format<F: Format + PartialEq + std::fmt::Debug>(name: &str, value: &F) {
    let bytes = value.to_bytes();
    assert_eq!(&F::from_bytes(&bytes).unwrap(), value);
    pinned(name, &bytes);
}

#[test]
fn rosters() {
    let cluster = cluster();
    pinned_format("roster", &genesis());
    pinned_format("signed-roster", &cluster.chain()[0]);
    pinned_format("roster-chain", &RosterChain(cluster.chain().to_vec()));
    pinned_format("node-card", &NodeCard::sign(node(3), &key(3)));
    let coordinator = genesis().coordinators.remove(0);
    pinned_format("coordinator-card", &CoordinatorCard::sign(coordinator, &key(120)));
    pinned("fingerprint", cluster.fingerprint().as_bytes());
}

#[test]
fn orders() {
    let cluster = cluster();
    pinned_format("order-create-key", &order(&cluster, Action::CreateKey(create_key())));
    pinned_format("signed-order", &ordered(&cluster, create_key()));
    let derive =
        CreateKey { suite: Suite::VoprfRistretto255, purpose: Purpose::Derive, ..create_key() };
    pinned_format("order-create-key-derive", &order(&cluster, Action::CreateKey(derive)));
    let rights = Rights { exportable: true, quick_deletion: true };
    let with_rights = CreateKey { rights, ..create_key() };
    pinned_format("order-create-key-rights", &order(&cluster, Action::CreateKey(with_rights)));
    pinned_format("order-reshare", &order(&cluster, Action::Reshare(reshare())));
    pinned_format("order-import-key", &order(&cluster, Action::ImportKey(import_key())));
    let mut exportable = import_key();
    exportable.create.rights.exportable = true;
    pinned_format("order-import-key-rights", &order(&cluster, Action::ImportKey(exportable)));
    let close = ExportStep::Close { order: Hash([0xd1; 32]) };
    for (name, step) in [("export-key", export_key().step), ("close-export", close)] {
        let action = Action::ExportKey(ExportKey { step, ..export_key() });
        let order = Order { predecessor: Hash([0xd0; 32]), ..order(&cluster, action) };
        pinned_format(&format!("order-{name}"), &order);
    }
    let repeat = Some(Repeat { every: 86_400, times: 30, until: NOW.plus(90 * Millis::DAY) });
    let schedule = Reshare { repeat, ..reshare() };
    pinned_format("order-schedule", &order(&cluster, Action::Reshare(schedule)));
    pinned_format("order-rotate-key", &order(&cluster, Action::RotateKey(rotate_key())));
    let mut exportable = rotate_key();
    exportable.create.rights.exportable = true;
    pinned_format("order-rotate-key-rights", &order(&cluster, Action::RotateKey(exportable)));
    let end = RotateKey { times: 0, ..rotate_key() };
    pinned_format("order-end-rotation", &order(&cluster, Action::RotateKey(end)));
    let name: PartyName = "app".parse().unwrap();
    let add = Action::AddClient { name, client: public(50) };
    pinned_format("order-add-client", &order(&cluster, add));
    let revoke = Action::RevokeClient { client: public(50) };
    pinned_format("order-revoke-client", &order(&cluster, revoke));
    pinned_format("order-set-key-state", &order(&cluster, Action::SetKeyState(key_state())));
    let all = SetKeyState {
        disabled: Disabled::All,
        deletion: Some(NOW.plus(7 * Millis::DAY)),
        ..SetKeyState { revision: 9, ..SetKeyState::initial(create_key().name) }
    };
    pinned_format("order-delete-key", &order(&cluster, Action::SetKeyState(all)));
    pinned_format("destroyed-receipt", &destroyed());
    let of_key = ChainId::Key(create_key().name);
    let of_schedule = ChainId::Rotation(create_key().name);
    let chains = [("policy", ChainId::Policy), ("key", of_key), ("rotation", of_schedule)];
    for (name, chain) in chains {
        pinned_format(&format!("order-resolve-fork-{name}"), &resolve(&cluster, chain, 1, 2));
    }
}

#[test]
fn certificates() {
    let record = record(&cluster());
    pinned_format("epoch-public", &record.certificate.public);
    pinned_format("certificate", &record.certificate);
    pinned_format("key-record", &record);
    pinned("certificate-hash", record.certificate.hash().as_bytes());
}

#[test]
fn ceremony_contexts() {
    let create = create_key();
    let epoch = EpochName { number: 4, bundle: Hash([0xb1; 32]) };
    let mut context = CeremonyContext {
        fingerprint: *cluster().fingerprint(),
        key: create.name,
        version: create.version,
        suite: create.suite,
        purpose: create.purpose,
        parent: None,
        number: 5,
        committee: create.committee,
        order: Hash([0xd0; 32]),
        roster_version: 1,
        roster_hash: cluster().roster_hash(),
        prepare_list: Hash([0xd1; 32]),
    };
    pinned_format("ceremony-context-genesis", &context);
    context.parent = Some(Parent { epoch, certificate: Hash([0xd2; 32]) });
    pinned_format("ceremony-context-reshare", &context);
    pinned("ceremony-context-hash", context.hash().as_bytes());
}

#[test]
fn requests_and_answers() {
    let fingerprint = *cluster().fingerprint();
    pinned_format("request-head", &request_head());
    let derive = RequestHead { operation: Operation::Derive, ..request_head() };
    pinned_format("request-head-derive", &derive);
    let request = RequestHead::hash(&fingerprint, &request_head().to_bytes());
    pinned("request-hash", request.as_bytes());
    pinned("encryption-context", &context().label());

    let epoch = EpochName { number: 1, bundle: Hash([0xb0; 32]) };
    let card = AnswerKeyCard::sign(&fingerprint, index(2), [0x44; 32], NOW, &key(2));
    let sealed = SealedAnswer {
        key: card,
        request,
        epoch,
        encapsulated: [0x55; 32],
        counter: 9,
        sealed: vec![0x66; 100],
    };
    pinned_format("sealed-answer", &sealed);
    pinned("answer-aad", &SealedAnswer::associated_data(&request, index(2), &epoch));
    pinned("answer-session-info", &SealedAnswer::session_info(&fingerprint, index(2), &public(50)));
    pinned_format("answer", &Answer { partials: vec![[1; 32], [2; 32]], proof: Some([0x77; 64]) });
    let refusal = Refusal {
        node: index(2),
        request,
        at: NOW,
        reason: RefusalReason::InvalidItem,
        item: Some(1),
    };
    pinned_format("signed-refusal", &SignedRefusal::sign(refusal, &fingerprint, &key(2)));
    let record = record(&cluster());
    let proof = PartialContext { public: &record.certificate.public, node: index(2), request };
    pinned("partial-context", &proof.to_bytes());
}

#[test]
fn ciphertext_heads() {
    let header = CiphertextHeader::new(
        Suite::Tdh2Ristretto255,
        cluster().fingerprint(),
        "payroll/2026".parse().unwrap(),
        KeyVersion::FIRST,
    );
    pinned_format("ciphertext-header", &header);
    pinned("ciphertext-head", &CiphertextHead { header, kem: [0x88; 240] }.to_bytes());
}

#[test]
fn signing() {
    use quorate_types::signing::SignerCommitments;
    pinned_format("nonce-order", &nonce_order());
    pinned_format("sign-item", &sign_item());
    let signer = sign_item().signers[1];
    let words = SignerCommitments::words(&signer.handle, &signer.commitments);
    pinned("nonce-words", &words.concat());
    assert_eq!(SignerCommitments::from_words(signer.node, &words), Ok(vec![signer]));
    for operation in [Operation::Sign, Operation::SignCommit] {
        let head = RequestHead { operation, ..request_head() };
        pinned_format(&format!("request-head-{operation}"), &head);
    }
    let sign = CreateKey { suite: Suite::FrostEd25519, purpose: Purpose::Sign, ..create_key() };
    pinned_format("order-create-key-sign", &order(&cluster(), Action::CreateKey(sign)));
}

#[test]
fn checkpoints() {
    let sighting = sighting();
    pinned_format("checkpoint", &sighting.newest);
    pinned_format("sighting", &sighting);
    pinned_format("witness", &witness());
}

#[test]
fn audit_entries() {
    let (name, version) = (create_key().name, KeyVersion::FIRST);
    let request = |decision| Event::Request {
        head: request_head().to_bytes(),
        signature: key(50).sign(
            quorate_crypto::hash::Label::SIG_REQUEST,
            cluster().fingerprint().as_bytes(),
            &request_head().to_bytes(),
        ),
        decision,
    };
    let epoch = EpochName { number: 1, bundle: Hash([0xb0; 32]) };
    for (file, event) in [
        ("audit-started", Event::Started),
        ("audit-granted", request(Decision::Granted(epoch))),
        ("audit-refused", request(Decision::Refused(RefusalReason::NotGranted))),
        ("audit-order", Event::Order { order: Hash([0xd0; 32]) }),
        (
            "audit-ceremony",
            Event::Ceremony {
                step: CeremonyStep::Receive,
                key: name,
                version,
                number: 1,
                statement: Hash([0xe0; 32]),
            },
        ),
        ("audit-destroyed", Event::Destroyed { key: create_key().name, order: Hash([0xe2; 32]) }),
        (
            "audit-exported",
            Event::Exported {
                order: Hash([0xd0; 32]),
                key: create_key().name,
                version,
                epoch,
                statement: Hash([0xe2; 32]),
            },
        ),
        (
            "audit-split",
            Event::Split { node: index(2), split: Split::TwoProcesses, evidence: Hash([0xe1; 32]) },
        ),
    ] {
        pinned_format(file, &AuditEntry { at: NOW, event });
    }
}

#[test]
fn sealed_shares() {
    pinned_format("sealed-share", &sealed_share());
}

#[test]
fn identities() {
    pinned("identity", &quorate_types::keyfile::plain_bytes(&key(50)));
}
