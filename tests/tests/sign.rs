//! Signing with real processes: one public key for ever, which every verifier knows, whatever
//! happens to nodes and shares meanwhile.

#![allow(clippy::unwrap_used)] // clippy.toml spares test functions, not their fixtures

use quorate_client::{Client, EncryptionContext};
use quorate_crypto::frost;
use quorate_tests::Cluster;
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

const MESSAGE: &[u8] = b"v1.2.3 is good";

fn code(out: &Output) -> Option<i32> {
    out.status.code()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn ok(out: Output) -> Vec<u8> {
    assert!(out.status.success(), "{}", said(&out));
    out.stdout
}

fn key_that_signs(cluster: &Cluster) {
    let create = ["key", "create", "release", "--suite", "frost-ed25519", "--client", "client"];
    ok(cluster.operator(&create));
}

/// The 32 bytes of the public key.
fn public(cluster: &Cluster) -> [u8; 32] {
    let out = ok(cluster.client(&["key", "show", "release", "--raw"], b""));
    out.try_into().expect("32 bytes")
}

fn sign(cluster: &Cluster, args: &[&str], input: &[u8]) -> Vec<u8> {
    ok(cluster.client(&[&["sign", "--key", "release"], args].concat(), input))
}

/// Signs the message, and verifies with nothing of ours but the public key.
fn signs(cluster: &Cluster, public: &[u8; 32], args: &[&str]) {
    let signature: [u8; 64] = sign(cluster, args, MESSAGE).try_into().expect("64 bytes");
    frost::verify(public, MESSAGE, &signature).unwrap();
}

fn file(cluster: &Cluster, name: &str, bytes: &[u8]) -> String {
    let path = cluster.home("client").join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Another program, or a clear word that it is not here.
fn program(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        println!("SKIPPED: {name} is not installed, so nothing of it was tested");
        return None;
    }
    Some(Command::new(name))
}

#[test]
fn two_of_five_nodes_may_be_gone_and_three_may_not() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    key_that_signs(&cluster);
    let public = public(&cluster);
    signs(&cluster, &public, &[]);
    signs(&cluster, &public, &["--direct"]);
    cluster.kill(1);
    assert!(cluster.stop(4).success());
    signs(&cluster, &public, &[]);
    cluster.kill(2);
    let out = cluster.client(&["sign", "--key", "release"], MESSAGE);
    assert_eq!(code(&out), Some(4), "{}", said(&out));
    assert!(out.stdout.is_empty());
}

/// The shares move, to nodes of another number and threshold; the public key stays.
#[test]
fn the_public_key_is_the_same_after_a_refresh_and_a_reshare() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    key_that_signs(&cluster);
    let public = public(&cluster);
    let before: serde_json::Value =
        serde_json::from_slice(&sign(&cluster, &["--output", "json"], MESSAGE)).unwrap();
    ok(cluster.operator(&["share", "refresh", "release"]));
    let after: serde_json::Value =
        serde_json::from_slice(&sign(&cluster, &["--output", "json"], MESSAGE)).unwrap();
    assert_ne!(before["epoch"], after["epoch"]);
    assert_eq!(before["public_key"], after["public_key"]);
    assert_eq!(before["nodes"].as_array().map(Vec::len), Some(3));
    signs(&cluster, &public, &[]);

    let reshare = ["share", "reshare", "release", "--committee", "2,4,5", "--threshold", "2"];
    ok(cluster.operator(&[&reshare[..], &["--yes"]].concat()));
    signs(&cluster, &public, &[]);
    assert_eq!(self::public(&cluster), public);
    cluster.kill(1);
    cluster.kill(3);
    cluster.kill(4);
    signs(&cluster, &public, &[]);
}

/// Old versions verify only, whoever still asks for them; a client that has not heard of the newest
/// does, and signs with it.
#[test]
fn after_a_rotation_the_newest_version_signs_and_no_other() {
    let cluster = Cluster::of(5).threshold(3).start();
    key_that_signs(&cluster);
    let before = public(&cluster);
    let old = file(&cluster, "old.sig", &sign(&cluster, &[], MESSAGE));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (client, mut known) = runtime.block_on(async {
        let client = Client::open(cluster.home("client")).unwrap();
        let known = client.key("release").await.unwrap();
        client.prepare_signing(&known, 4).await.unwrap();
        (client, known)
    });
    ok(cluster.operator(&["key", "rotate", "release"]));
    let after = public(&cluster);
    assert_ne!(before, after);

    let exactly = |version: &'static str| {
        cluster.client(&["sign", "--key", "release", "--key-version", version], MESSAGE)
    };
    let out = exactly("1");
    assert_eq!(code(&out), Some(3), "{}", said(&out));
    assert!(said(&out).contains("a newer version of the key signs since"), "{}", said(&out));
    ok(exactly("2"));
    signs(&cluster, &after, &[]);
    runtime.block_on(async {
        let none = EncryptionContext::default();
        let refused = client.sign_with_report(&known, &[MESSAGE], &none).await.unwrap_err();
        assert_eq!(refused.exit_code(), 3, "{refused}");
        let (made, _) = client.sign_newest(&mut known, &[MESSAGE], &none).await.unwrap();
        assert_eq!(known.version().get(), 2);
        frost::verify(&after, MESSAGE, &made[0]).unwrap();
    });
    let verify = ["verify", "--key", "release", "--signature", &old];
    assert_eq!(code(&cluster.client(&verify, MESSAGE)), Some(5), "not under the newest");
    ok(cluster.client(&[&verify[..], &["--key-version", "1"]].concat(), MESSAGE));
}

/// Nodes are killed and started again while a client signs: no signature is wrong, and no nonce of
/// an earlier start is of use.
#[test]
fn signatures_go_on_while_nodes_start_again() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    key_that_signs(&cluster);
    let key = public(&cluster);
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (stopped, counted, home) = (Arc::clone(&stop), Arc::clone(&made), cluster.home("client"));
    let load = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let client = Client::open(home).expect("the client's home");
            let mut errors = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match client.sign("release", MESSAGE).await {
                    Ok(signature) => {
                        frost::verify(&key, MESSAGE, &signature).expect("a signature that holds");
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => errors.push(error.to_string()),
                }
            }
            errors
        })
    });
    let goes_on = || {
        let (from, begun) = (made.load(Ordering::Relaxed), std::time::Instant::now());
        while made.load(Ordering::Relaxed) < from + 5 {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is signed any more");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    goes_on();
    for index in [1, 2, 3, 4, 5, 1] {
        cluster.kill(index);
        goes_on();
        cluster.start_node(index);
        goes_on();
        cluster.wait_until_serving();
    }
    stop.store(true, Ordering::Relaxed);
    let errors = load.join().unwrap();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn signatures_are_verified_under_the_pinned_key_without_any_node() {
    let mut cluster = Cluster::of(3).threshold(2).start();
    key_that_signs(&cluster);
    let data = vec![7; 300_000];
    let input = file(&cluster, "data", &data);
    let raw = file(&cluster, "raw", &sign(&cluster, &[], MESSAGE));
    let ssh = file(&cluster, "ssh", &sign(&cluster, &["--format", "ssh", "--in", &input], b""));
    let minisign = file(
        &cluster,
        "minisign",
        &sign(&cluster, &["--format", "minisign", "--file", &input], b""),
    );
    let message = file(&cluster, "message", MESSAGE);
    (1..=3).for_each(|i| cluster.kill(i));
    assert!(cluster.stop_coordinator().success());

    let verify = |signature: &str, of: &str| {
        cluster.client(&["verify", "--key", "release", "--signature", signature, "--in", of], b"")
    };
    for (signature, of) in [(&raw, &message), (&ssh, &input), (&minisign, &input)] {
        let out = ok(verify(signature, of));
        assert!(String::from_utf8_lossy(&out).contains("signed by release version 1"));
        let other = if of == &message { &input } else { &message };
        let wrong = verify(signature, other);
        assert!(matches!(code(&wrong), Some(2 | 5)), "{}", said(&wrong));
        assert!(wrong.stdout.is_empty());
    }
    assert_eq!(code(&verify(&ssh, &message)), Some(5));
    let git = ["verify", "--key", "release", "--signature", &ssh, "--namespace", "git"];
    let wrong = cluster.client(&[&git[..], &["--in", &input]].concat(), b"");
    assert_eq!(code(&wrong), Some(5), "{}", said(&wrong));
    let comment = fs::read_to_string(&minisign).unwrap();
    let forged = file(&cluster, "forged", comment.replace("file:data", "file:good").as_bytes());
    assert_ne!(fs::read(&forged).unwrap(), comment.as_bytes());
    assert_eq!(code(&verify(&forged, &input)), Some(5), "the trusted comment is signed");
}

#[test]
fn other_programs_verify_what_a_quorum_has_signed() {
    let cluster = Cluster::of(3).threshold(2).start();
    key_that_signs(&cluster);
    let data = vec![9; 200_000];
    let input = file(&cluster, "data", &data);
    let home = cluster.home("client");
    openssl_verifies(&cluster, &home);
    ssh_keygen_verifies(&cluster, &home, &input, &data);

    // minisign: another implementation than ours, and the same files.
    let text = sign(&cluster, &["--format", "minisign", "--in", &input], b"");
    let text = String::from_utf8(text).unwrap();
    let signature = minisign_verify::Signature::decode(&text).unwrap();
    let shown = ok(cluster.client(&["key", "show", "release", "--minisign"], b""));
    let key = minisign_verify::PublicKey::decode(&String::from_utf8(shown).unwrap()).unwrap();
    key.verify(&data, &signature, false).unwrap();
    key.verify(b"other", &signature, false).unwrap_err();
    assert!(signature.trusted_comment().ends_with("\tfile:data\thashed"));
}

fn openssl_verifies(cluster: &Cluster, home: &Path) {
    let Some(mut openssl) = program("openssl") else { return };
    let pem =
        file(cluster, "key.pem", &ok(cluster.client(&["key", "show", "release", "--pem"], b"")));
    let out = openssl.args(["pkey", "-pubin", "-noout", "-text", "-in", &pem]).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("ED25519"), "{}", said(&out));
    let signature = file(cluster, "sig", &sign(cluster, &[], MESSAGE));
    let message = file(cluster, "message", MESSAGE);
    let verify = |message: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(["pkeyutl", "-verify", "-pubin", "-inkey", &pem, "-rawin", "-in", message]);
        openssl.args(["-sigfile", &signature]).current_dir(home).output().unwrap()
    };
    let out = verify(&message);
    assert!(out.status.success(), "{}", said(&out));
    assert!(!verify(&file(cluster, "other", b"other")).status.success());
}

fn ssh_keygen_verifies(cluster: &Cluster, home: &Path, input: &str, data: &[u8]) {
    if program("ssh-keygen").is_none() {
        return;
    }
    let line = ok(cluster.client(&["key", "show", "release", "--ssh"], b""));
    let line = String::from_utf8(line).unwrap();
    let keys = file(cluster, "key.pub", line.as_bytes());
    let shown = Command::new("ssh-keygen").args(["-l", "-f", &keys]).output().unwrap();
    assert!(shown.status.success(), "{}", said(&shown));
    let signers = file(cluster, "signers", format!("releases@example.org {line}").as_bytes());
    let args = ["--format", "ssh", "--namespace", "file", "--in", input];
    let signature = file(cluster, "data.sig", &sign(cluster, &args, b""));
    let verify = |namespace: &str, data: &[u8]| {
        let mut child = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-f", &signers, "-I", "releases@example.org"])
            .args(["-n", namespace, "-s", &signature])
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may refuse before it has read everything.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), data);
        child.wait_with_output().unwrap()
    };
    let out = verify("file", data);
    assert!(out.status.success(), "{}", said(&out));
    assert!(String::from_utf8_lossy(&out.stdout).contains("Good \"file\" signature"));
    assert!(!verify("file", b"other").status.success());
    assert!(!verify("git", data).status.success());
}

/// One signature is one round trip once nonces are there, and a thousand messages take few.
#[test]
fn nonces_are_drawn_ahead_and_batches_are_signed_whole() {
    let cluster = Cluster::of(3).threshold(2).start();
    key_that_signs(&cluster);
    let public = public(&cluster);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::open(cluster.home("client")).unwrap();
        let key = client.key("release").await.unwrap();
        client.prepare_signing(&key, 8).await.unwrap();
        let logged = || {
            let out = ok(cluster.operator(&["audit", "tail", "1", "-n", "200"]));
            let text = String::from_utf8_lossy(&out).into_owned();
            text.matches("sign-commit").count()
        };
        let before: usize = logged();
        for _ in 0..4 {
            let signature = client.sign("release", MESSAGE).await.unwrap();
            frost::verify(&public, MESSAGE, &signature).unwrap();
        }
        assert_eq!(logged(), before, "no nonces were drawn for these");
        let messages: Vec<String> = (0..1024).map(|i| format!("message {i}")).collect();
        let none = EncryptionContext::default();
        let (made, report) = client.sign_with_report(&key, &messages, &none).await.unwrap();
        assert!(report.liars.is_empty() && made.len() == messages.len());
        for (message, signature) in messages.iter().zip(&made) {
            frost::verify(&public, message.as_bytes(), signature).unwrap();
        }
    });
}

/// Many callers at once share what is drawn: no node is asked to keep more than it may.
#[test]
fn a_hundred_signatures_at_once_draw_no_more_than_nodes_keep() {
    let cluster = Cluster::of(3).threshold(2).start();
    key_that_signs(&cluster);
    let public = public(&cluster);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::open(cluster.home("client")).unwrap();
        for _ in 0..3 {
            let calls: Vec<_> = (0..100_u8)
                .map(|i| {
                    let client = client.clone();
                    tokio::spawn(async move { (i, client.sign("release", &[i]).await) })
                })
                .collect();
            for call in calls {
                let (i, signature) = call.await.unwrap();
                frost::verify(&public, &[i], &signature.unwrap()).unwrap();
            }
        }
    });
}

#[test]
fn a_key_does_one_thing_and_a_message_has_its_limit() {
    let cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    key_that_signs(&cluster);
    let refused = |args: &[&str], says: &str| {
        let out = cluster.client(args, MESSAGE);
        assert_eq!(code(&out), Some(3), "{}", said(&out));
        assert!(out.stdout.is_empty() && said(&out).contains(says), "{}", said(&out));
    };
    refused(&["sign", "--key", "demo"], "cannot sign");
    refused(&["encrypt", "--key", "release"], "cannot decrypt");
    refused(&["derive", "--key", "release"], "cannot derive");
    let out = cluster.client(&["key", "show", "demo", "--pem"], b"");
    assert_eq!(code(&out), Some(1), "{}", said(&out));
    let shown = ok(cluster.client(&["key", "show", "release"], b""));
    assert!(String::from_utf8_lossy(&shown).contains("frost-ed25519 (to sign)"));
    assert_eq!(sign(&cluster, &[], &[7; 1024]).len(), 64);
    let message = file(&cluster, "message", MESSAGE);
    let raw = file(&cluster, "raw", &sign(&cluster, &[&message], b"not this"));
    let verify = ["verify", "--key", "release", "--signature", &raw, &message];
    ok(cluster.client(&verify, b"nor this"));
    assert_eq!(sign(&cluster, &[], b"").len(), 64, "an empty message is one");
    let out = cluster.client(&["sign", "--key", "release"], &[7; 1025]);
    assert_eq!(code(&out), Some(2), "{}", said(&out));
    assert!(said(&out).contains("--format ssh"), "{}", said(&out));
}
