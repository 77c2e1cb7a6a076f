//! Keys that somebody has, with real processes: imported from an owner, exported to a recipient.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside of `#[test]` functions")]

use quorate_crypto::{IdentityKey, frost};
use quorate_tests::Cluster;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

const MESSAGE: &[u8] = b"v1.2.3 is good";
/// Of the Ed25519 key that its owner has already.
const SEED: [u8; 32] = [0x5e; 32];

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}", said(out));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn json(out: &Output) -> serde_json::Value {
    serde_json::from_str(&ok(out)).unwrap()
}

fn file(cluster: &Cluster, home: &str, name: &str, bytes: &[u8]) -> String {
    let path = cluster.home(home).join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn path(cluster: &Cluster, home: &str, name: &str) -> String {
    cluster.home(home).join(name).to_str().unwrap().to_owned()
}

/// As `openssl genpkey -algorithm ed25519` writes it.
fn pkcs8(seed: &[u8; 32]) -> Vec<u8> {
    let mut der = hex("302e020100300506032b657004220420");
    der.extend_from_slice(seed);
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", base64(&der))
        .into_bytes()
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        let digit = |i: usize| char::from(DIGITS[(word >> (18 - 6 * i) & 63) as usize]);
        text.extend((0..4).map(|i| if i <= chunk.len() { digit(i) } else { '=' }));
    }
    text
}

fn signs(cluster: &Cluster, key: &str, public: &[u8; 32]) {
    let out = cluster.client(&["sign", "--key", key], MESSAGE);
    assert!(out.status.success(), "{}", said(&out));
    let signature: [u8; 64] = out.stdout.try_into().expect("64 bytes");
    frost::verify(public, MESSAGE, &signature).unwrap();
}

fn is_shown_as_imported(cluster: &Cluster, key: &str) {
    let shown = ok(&cluster.client(&["key", "show", key], b""));
    assert!(shown.contains("IMPORTED    its owner had it before"), "{shown}");
    let owns = ok(&cluster.client(&["who-owns", key], b""));
    assert!(owns.starts_with(&format!("Whoever has {key} outside of its nodes")), "{owns}");
    let list = json(&cluster.operator(&["--output", "json", "key", "list"]));
    let entry = list.as_array().unwrap().iter().find(|k| k["name"] == key).unwrap();
    assert_eq!(entry["imported"], true);
}

#[test]
fn an_imported_ed25519_key_signs_under_its_old_public_key() {
    let cluster = Cluster::of(5).threshold(3).start();
    let public = *IdentityKey::from_seed(&SEED).public().as_bytes();
    let from = file(&cluster, "operator-1", "old.pem", &pkcs8(&SEED));
    let import = ["key", "import", "legacy", "--from", &from];
    // It signs, and does nothing else.
    let out = cluster.operator(&import);
    assert_eq!(out.status.code(), Some(2));
    assert!(said(&out).contains("say --purpose sign"), "{}", said(&out));
    let text = ok(&cluster.operator(&[&import[..], &["--purpose", "sign"]].concat()));
    assert!(text.contains("legacy version 1 is born"), "{text}");
    assert!(text.contains("whoever else has it can use it without the nodes"), "{text}");
    let raw = cluster.client(&["key", "show", "legacy", "--raw"], b"").stdout;
    assert_eq!(raw, public, "the seed's public key");
    signs(&cluster, "legacy", &public);
    is_shown_as_imported(&cluster, "legacy");
    // Its shares move as those of any key, and it is imported for ever.
    ok(&cluster.operator(&["share", "refresh", "legacy"]));
    signs(&cluster, "legacy", &public);
    is_shown_as_imported(&cluster, "legacy");
    // A version of the nodes' own does not take it back: who has the first one signs as before.
    ok(&cluster.operator(&["key", "rotate", "legacy"]));
    is_shown_as_imported(&cluster, "legacy");
    let shown = ok(&cluster.client(&["key", "show", "legacy"], b""));
    assert!(shown.contains("have it still (version 1)"), "{shown}");

    // A scalar decrypts; the same file twice makes no second key.
    let mut scalar = [0x11; 32];
    scalar[31] = 1;
    let from = file(&cluster, "operator-1", "scalar", &scalar);
    let import = ["key", "import", "old", "--purpose", "decrypt", "--from", &from];
    ok(&cluster.operator(&import));
    let sealed = cluster.encrypt("old", b"a secret");
    assert_eq!(ok(&cluster.decrypt(&sealed)), "a secret");
    let out = cluster.operator(&import);
    assert!(!out.status.success(), "a version is born once");
    // A key that was born here is nobody's.
    cluster.key("ours");
    let shown = ok(&cluster.client(&["key", "show", "ours"], b""));
    assert!(!shown.contains("IMPORTED") && !shown.contains("EXPORTED"), "{shown}");
    // The secrets are in no log.
    for party in ["node-1", "node-5", "coordinator"] {
        let log = fs::read(cluster.log(party)).unwrap_or_default();
        let digits = "5e".repeat(32);
        assert!(!log.windows(64).any(|w| w == digits.as_bytes()));
    }
}

/// One dealer, its owner: what wraps is sealed to no public key, so that nothing but the shares opens it.
#[test]
fn an_imported_key_that_wraps_opens_what_it_sealed_before_and_after_a_refresh() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    let mut scalar = [0x23; 32];
    scalar[31] = 2;
    let from = file(&cluster, "operator-1", "scalar", &scalar);
    let import = |name, purpose| ["key", "import", name, "--purpose", purpose, "--from", &from];
    let text = ok(&cluster.operator(&import("vault", "wrap")));
    assert!(text.contains("vault version 1 is born"), "{text}");
    is_shown_as_imported(&cluster, "vault");
    // It is the scalar of the file, whatever it is used for.
    ok(&cluster.operator(&import("twin", "decrypt")));
    let public = |key| {
        let shown = json(&cluster.client(&["--output", "json", "key", "show", key], b""));
        shown["public_key"].as_str().unwrap().to_owned()
    };
    assert_eq!(public("vault"), public("twin"));
    let seal = |text: &[u8]| {
        let out = cluster.client(&["encrypt", "--symmetric", "--key", "vault"], text);
        assert!(out.status.success(), "{}", said(&out));
        out.stdout
    };
    let sealed = seal(b"before the refresh");
    assert_eq!(ok(&cluster.decrypt(&sealed)), "before the refresh");
    let out = cluster.operator(&["share", "refresh", "vault"]);
    assert!(ok(&out).contains("every old share is reported erased"), "{}", said(&out));
    let again = seal(b"after it");
    assert_eq!(public("vault"), public("twin"));
    is_shown_as_imported(&cluster, "vault");
    // An Ed25519 key signs, and does nothing else.
    let seed = file(&cluster, "operator-1", "seed.pem", &pkcs8(&SEED));
    let out = cluster.operator(&["key", "import", "no", "--purpose", "wrap", "--from", &seed]);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    // Any three of the new shares.
    cluster.kill(2);
    cluster.kill(4);
    assert_eq!(ok(&cluster.decrypt(&sealed)), "before the refresh");
    assert_eq!(ok(&cluster.decrypt(&again)), "after it");
    cluster.kill(5);
    assert_eq!(cluster.decrypt(&sealed).status.code(), Some(4));
}

/// The owner has a client's home; two operators sign.
#[test]
fn an_import_whose_owner_is_killed_is_finished_by_the_same_command() {
    let cluster = Cluster::of(5).threshold(3).operators(2).start();
    let public = *IdentityKey::from_seed(&SEED).public().as_bytes();
    let from = file(&cluster, "client", "old.pem", &pkcs8(&SEED));
    let order = path(&cluster, "client", "import.order");
    let draft =
        ["key", "import", "legacy", "--purpose", "sign", "--threshold", "3", "--from", &from];
    let out = cluster.client(&draft, b"");
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    let text = ok(&cluster.client(&[&draft[..], &["--order-out", &order]].concat(), b""));
    assert!(text.contains("IMPORT KEY legacy version 1"), "{text}");
    let carry_out = ["key", "import", "legacy", "--from", &from, "--order", &order, "--yes"];
    let out = cluster.client(&carry_out, b"");
    assert!(said(&out).contains("0 of the 2 operators"), "{}", said(&out));
    for operator in ["operator-1", "operator-2"] {
        ok(&cluster.quorate(operator, &["order", "sign", &order, "--yes"], b""));
    }
    // An operator can submit it; only the owner can deal.
    let out = cluster.operator(&["order", "submit", &order]);
    ok(&out);
    assert!(said(&out).contains("its owner imports the key with it"), "{}", said(&out));
    // Somebody else's home, or another key.
    let out = cluster.quorate("operator-1", &carry_out, b"");
    assert!(said(&out).contains("names another dealer"), "{}", said(&out));
    let other = file(&cluster, "client", "other.pem", &pkcs8(&[0x5f; 32]));
    let wrong = ["key", "import", "legacy", "--from", &other, "--order", &order, "--yes"];
    let out = cluster.client(&wrong, b"");
    assert!(said(&out).contains("imports another key than this file has"), "{}", said(&out));
    // A node hangs, so that the ceremony waits; the owner is killed.
    cluster.freeze(5);
    let mut owner = cluster.start_quorate("client", &carry_out);
    std::thread::sleep(Duration::from_secs(2));
    owner.kill().unwrap();
    owner.wait().unwrap();
    cluster.thaw(5);
    let begun = Instant::now();
    loop {
        let out = cluster.client(&carry_out, b"");
        if out.status.success() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", said(&out));
    }
    signs(&cluster, "legacy", &public);
    is_shown_as_imported(&cluster, "legacy");
}

#[test]
fn a_key_shows_with_which_rights_it_was_made_and_since_which_order() {
    let cluster = Cluster::of(5).threshold(3).start();
    let show = |args: &[&str]| json(&cluster.client(&[&["--output", "json"], args].concat(), b""));
    let text = |args: &[&str]| ok(&cluster.client(args, b""));
    // Without rights that is said, and which rights there are.
    cluster.key("plain");
    let shown = text(&["key", "show", "plain"]);
    assert!(shown.contains("rights      none: it is never exported"), "{shown}");
    let shown = show(&["key", "show", "plain"]);
    assert_eq!(shown["rights"], serde_json::json!({ "exportable": null, "quick_deletion": null }));

    let rights = ["--exportable", "--quick-deletion"];
    ok(&cluster.operator(&[&["key", "create", "vault"], &rights[..]].concat()));
    let born = show(&["key", "show", "vault"]);
    for right in ["exportable", "quick_deletion"] {
        assert_eq!(born["rights"][right]["order"], born["order"]);
        assert_eq!(born["rights"][right]["since_version"], 1);
    }
    // It has them since its first order, however many versions follow and wherever its shares go.
    ok(&cluster.operator(&["share", "refresh", "vault"]));
    ok(&cluster.operator(&["key", "rotate", "vault"]));
    let rotated = show(&["key", "show", "vault"]);
    assert_ne!(rotated["order"], born["order"]);
    assert_eq!(rotated["rights"], born["rights"]);
    for version in rotated["versions"].as_array().unwrap() {
        assert_eq!(
            (&version["exportable"], &version["quick_deletion"]),
            (&true.into(), &true.into())
        );
    }
    assert_eq!(show(&["key", "show", "vault", "--version", "2"])["rights"], born["rights"]);
    let order = &born["order"].as_str().unwrap()[..8];
    let shown = text(&["key", "show", "vault"]);
    for said in [
        format!("right       EXPORTABLE since version 1, by order {order}"),
        format!("right       quick deletion since version 1, by order {order}"),
        "older EXPORTABLE, quick deletion".to_owned(),
    ] {
        assert!(shown.contains(&said), "{said} in {shown}");
    }
}

#[test]
fn an_exported_key_is_put_together_by_its_recipient_and_shown_as_exported() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    cluster.key("ours");
    ok(&cluster.operator(&["key", "create", "vault", "--exportable", "--client", "client"]));
    let sealed = cluster.encrypt("vault", b"a secret");
    let key_file = path(&cluster, "client", "recipient.key");
    let keygen = ["--output", "json", "key", "export-keygen", "--out", &key_file];
    let recipient = json(&cluster.client(&keygen, b""))["recipient"].as_str().unwrap().to_owned();
    assert_eq!(fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);

    // Not without the right, not without saying that nothing delays it.
    let danger = "--danger-no-cooling-off";
    let export = |key| ["key", "export", key, "--recipient", &recipient];
    let out = cluster.operator(&[&export("ours")[..], &[danger]].concat());
    assert!(said(&out).contains("not made with --exportable"), "{}", said(&out));
    let out = cluster.operator(&export("vault"));
    assert!(said(&out).contains("danger_no_cooling_off"), "{}", said(&out));
    let scalar = path(&cluster, "client", "scalar");
    let combine = ["key", "combine", "vault", "--recipient-key", &key_file, "--out", &scalar];
    let out = cluster.client(&combine, b"");
    assert!(said(&out).contains("no order exports"), "{}", said(&out));

    ok(&cluster.operator(&[&export("vault")[..], &[danger]].concat()));
    // While it is open no share moves, and the key is used as ever.
    let out = cluster.operator(&["share", "refresh", "vault"]);
    assert!(said(&out).contains("an export of this key is open"), "{}", said(&out));
    assert_eq!(ok(&cluster.decrypt(&sealed)), "a secret");
    cluster.kill(1);
    cluster.kill(2);
    let text = ok(&cluster.client(&combine, b""));
    assert!(text.contains("put together from the shares of nodes 3, 4, 5"), "{text}");
    assert_eq!(fs::metadata(&scalar).unwrap().permissions().mode() & 0o777, 0o600);
    let out = cluster.client(&combine, b"");
    assert!(!out.status.success(), "what is there is not overwritten");
    // Another recipient gets nothing out of the same shares.
    let thief = path(&cluster, "client", "thief.key");
    ok(&cluster.client(&["key", "export-keygen", "--out", &thief], b""));
    let out = path(&cluster, "client", "stolen");
    let steal = ["key", "combine", "vault", "--recipient-key", &thief, "--out", &out];
    let out = cluster.client(&steal, b"");
    assert!(said(&out).contains("no order exports"), "{}", said(&out));

    // It is the key: imported again, it has the same public key.
    cluster.start_node(1);
    cluster.start_node(2);
    cluster.wait_until_serving();
    ok(&cluster.operator(&["key", "import", "copy", "--purpose", "decrypt", "--from", &scalar]));
    let show = |key| json(&cluster.client(&["--output", "json", "key", "show", key], b""));
    let (vault, copy) = (show("vault"), show("copy"));
    assert_eq!(vault["public_key"], copy["public_key"]);
    // Known for ever, by name, in lists, and in the nodes' logs.
    assert_eq!(vault["exports"][0]["recipient"], recipient);
    assert!(copy["exports"].as_array().unwrap().is_empty());
    let owns = ok(&cluster.client(&["who-owns", "vault"], b""));
    assert!(owns.contains(&format!("EXPORTED    to {recipient}")), "{owns}");
    let list = ok(&cluster.operator(&["key", "list"]));
    assert!(list.contains("active, EXPORTED"), "{list}");
    let tail = ok(&cluster.operator(&["audit", "tail", "4"]));
    assert!(tail.contains("EXPORTED the share of vault version 1"), "{tail}");
    // Closed, its shares move again, and it is exported all the same.
    let order = vault["exports"][0]["order"].as_str().unwrap().to_owned();
    ok(&cluster.operator(&["key", "export", "vault", "--close", &order]));
    ok(&cluster.operator(&["share", "refresh", "vault"]));
    assert_eq!(show("vault")["exports"].as_array().unwrap().len(), 1);
    // And after a rotation: what its first version has encrypted is open to whoever has that.
    ok(&cluster.operator(&["key", "rotate", "vault"]));
    let rotated = show("vault");
    assert_eq!(
        (rotated["version"].as_u64(), rotated["exports"][0]["version"].as_u64()),
        (Some(2), Some(1))
    );
    let owns = ok(&cluster.client(&["who-owns", "vault"], b""));
    assert!(owns.contains(&format!("EXPORTED    to {recipient}")), "{owns}");
    assert!(owns.contains("(version 1)"), "{owns}");
    let list = ok(&cluster.operator(&["key", "list"]));
    assert!(list.contains("active, EXPORTED"), "{list}");
}

/// Has nodes seal another share than theirs, from their next start on.
fn take_over(cluster: &mut Cluster, nodes: &[u16]) {
    for index in nodes {
        cluster.kill(*index);
        let liar = Command::new(env!("CARGO_BIN_EXE_quorate-node-liar"));
        cluster.start_node_as(*index, liar);
    }
    cluster.wait_until_serving();
}

#[test]
fn a_node_that_seals_a_wrong_share_is_named_and_enough_of_the_others_are_the_key() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    ok(&cluster.operator(&["key", "create", "vault", "--exportable", "--client", "client"]));
    take_over(&mut cluster, &[2]);
    let key_file = path(&cluster, "client", "recipient.key");
    let keygen = ["--output", "json", "key", "export-keygen", "--out", &key_file];
    let recipient = json(&cluster.client(&keygen, b""))["recipient"].as_str().unwrap().to_owned();
    let export = ["key", "export", "vault", "--recipient", &recipient, "--danger-no-cooling-off"];
    let combine = |cluster: &Cluster, file: &str| {
        let args = ["key", "combine", "vault", "--recipient-key", &key_file, "--out", file];
        cluster.client(&args, b"")
    };
    let show = |cluster: &Cluster, key| {
        json(&cluster.client(&["--output", "json", "key", "show", key], b""))
    };

    ok(&cluster.operator(&export));
    let scalar = path(&cluster, "client", "scalar");
    let out = combine(&cluster, &scalar);
    let text = ok(&out);
    assert!(text.contains("put together from the shares of nodes 1, 3, 4\n"), "{text}");
    assert!(text.contains("WRONG SHARE from node-2 ("), "{text}");
    assert_eq!(text.matches("WRONG SHARE").count(), 1, "{text}");
    assert!(said(&out).contains("WRONG SHARE, signed by the node"), "{}", said(&out));
    // It is the key all the same.
    ok(&cluster.operator(&["key", "import", "copy", "--purpose", "decrypt", "--from", &scalar]));
    let vault = show(&cluster, "vault");
    assert_eq!(vault["public_key"], show(&cluster, "copy")["public_key"]);

    // With three that lie too few are left: all are named, and nothing is written.
    let order = vault["exports"][0]["order"].as_str().unwrap().to_owned();
    ok(&cluster.operator(&["key", "export", "vault", "--close", &order]));
    take_over(&mut cluster, &[3, 5]);
    ok(&cluster.operator(&export));
    let none = path(&cluster, "client", "none");
    let out = combine(&cluster, &none);
    assert_eq!(out.status.code(), Some(5), "{}", said(&out));
    assert!(said(&out).contains("2 right shares of epoch"), "{}", said(&out));
    let said = said(&out);
    let (_, wrong) = said.split_once("wrong shares came from ").unwrap();
    for liar in ["node-2 (", "node-3 (", "node-5 ("] {
        assert!(wrong.contains(liar), "{wrong}");
    }
    assert!(!wrong.contains("node-1") && !wrong.contains("node-4"), "{wrong}");
    assert!(out.stdout.is_empty() && !Path::new(&none).exists());
}
