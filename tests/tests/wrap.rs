//! Wrapping, data keys, encryption under another key, and many items at once, with real processes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use quorate_tests::Cluster;
use serde_json::{Value, json};
use std::process::Output;

fn code(out: &Output) -> Option<i32> {
    out.status.code()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn key(cluster: &Cluster, name: &str, purpose: &str) {
    let create = ["key", "create", name, "--purpose", purpose, "--client", "client"];
    let out = cluster.operator(&create);
    assert!(out.status.success(), "{}", said(&out));
}

fn done(cluster: &Cluster, args: &[&str], input: &[u8]) -> Vec<u8> {
    let out = cluster.client(args, input);
    assert_eq!(code(&out), Some(0), "{args:?}: {}", said(&out));
    out.stdout
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn field(line: &Value, name: &str) -> Vec<u8> {
    STANDARD.decode(line[name].as_str().expect("a text")).expect("base64")
}

fn jsonl(items: &[Value]) -> Vec<u8> {
    items.iter().flat_map(|item| format!("{item}\n").into_bytes()).collect()
}

#[test]
fn what_is_sealed_under_a_key_that_wraps_opens_with_two_nodes_gone_and_after_a_refresh() {
    let mut cluster = Cluster::of(5).threshold(3).start();
    key(&cluster, "vault", "wrap");
    let plain: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
    let context = ["--context", "app=crm"];
    let seal = [&["encrypt", "--symmetric", "--key", "vault"][..], &context].concat();
    let sealed = done(&cluster, &seal, &plain);
    let open = [&["decrypt"][..], &context].concat();
    cluster.kill(1);
    cluster.kill(4);
    assert!(done(&cluster, &open, &sealed) == plain);
    let again = done(&cluster, &seal, b"with two nodes gone");
    cluster.kill(2);
    for (args, input) in [(&open, &sealed[..]), (&seal, b"no quorum")] {
        let out = cluster.client(args, input);
        assert_eq!(code(&out), Some(4), "{}", said(&out));
        assert!(out.stdout.is_empty());
    }
    [1, 2, 4].into_iter().for_each(|index| cluster.start_node(index));
    cluster.wait_until_serving();
    let out = cluster.operator(&["share", "refresh", "vault"]);
    assert!(out.status.success(), "{}", said(&out));
    cluster.kill(3);
    cluster.kill(5);
    assert_eq!(done(&cluster, &open, &again), b"with two nodes gone");
    let out = cluster.client(&["decrypt"], &again);
    assert_eq!(code(&out), Some(5), "without the context: {}", said(&out));
}

#[test]
fn data_keys_come_back_and_ciphertexts_move_between_keys() {
    let cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    key(&cluster, "vault", "wrap");
    for name in ["demo", "vault"] {
        let made = lines(&done(&cluster, &["datakey", "--key", name, "--count", "3"], b""));
        assert_eq!(made.len(), 3);
        for one in &made {
            let (plain, wrapped) = (field(one, "plaintext"), field(one, "wrapped"));
            assert_eq!(plain.len(), 32);
            assert_eq!(done(&cluster, &["decrypt"], &wrapped), plain);
        }
        assert_ne!(made[0], made[1]);
        // Its lines open as they are, and move under another key.
        let other = if name == "demo" { "vault" } else { "demo" };
        let moved = done(&cluster, &["reencrypt", "--jsonl", "--key", other], &jsonl(&made));
        for sealed in [jsonl(&made), moved] {
            let opened = lines(&done(&cluster, &["decrypt", "--jsonl"], &sealed));
            let plain =
                |all: &[Value]| all.iter().map(|l| l["plaintext"].clone()).collect::<Vec<_>>();
            assert_eq!(plain(&opened), plain(&made));
        }
        let hidden = lines(&done(&cluster, &["datakey", "--key", name, "--wrapped-only"], b""));
        assert_eq!(hidden[0].as_object().expect("an object").len(), 1);
        assert_eq!(done(&cluster, &["decrypt"], &field(&hidden[0], "wrapped")).len(), 32);
    }
    let sealed = cluster.encrypt("demo", b"to be moved");
    let args = ["reencrypt", "--key", "vault", "--to-context", "app=crm"];
    let moved = done(&cluster, &args, &sealed);
    assert_eq!(done(&cluster, &["decrypt", "--context", "app=crm"], &moved), b"to be moved");
    let back = done(&cluster, &["reencrypt", "--key", "demo", "--context", "app=crm"], &moved);
    assert_eq!(done(&cluster, &["decrypt", "--context", "app=crm"], &back), b"to be moved");
    // Nothing is written of what does not open to its end.
    let out = cluster.client(&["reencrypt", "--key", "vault"], &sealed[..sealed.len() - 1]);
    assert_eq!(code(&out), Some(5), "{}", said(&out));

    let refused = |args: &[&str], code_: i32, says: &str| {
        let out = cluster.client(args, b"text");
        assert_eq!(code(&out), Some(code_), "{}", said(&out));
        assert!(out.stdout.is_empty() && said(&out).contains(says), "{}", said(&out));
    };
    refused(&["encrypt", "--symmetric", "--key", "demo"], 2, "--purpose wrap");
    refused(&["derive", "--key", "vault"], 3, "cannot derive");
}

#[test]
fn many_items_travel_as_json_lines_through_every_operation() {
    let cluster = Cluster::of(3).threshold(2).start();
    cluster.key("demo");
    key(&cluster, "vault", "wrap");
    key(&cluster, "ids", "derive");
    key(&cluster, "release", "sign");
    let texts = ["alice", "bob", ""].map(|t| STANDARD.encode(t));
    let input = |name: &str| {
        let item = |(i, text): (usize, &String)| json!({"id": i, name: text});
        jsonl(&texts.iter().enumerate().map(item).collect::<Vec<_>>())
    };
    for name in ["demo", "vault"] {
        let args = ["encrypt", "--jsonl", "--key", name];
        let mut sealed = lines(&done(&cluster, &args, &input("plaintext")));
        assert_eq!(sealed.iter().map(|l| l["id"].clone()).collect::<Vec<_>>(), [0, 1, 2]);
        let other = if name == "demo" { "vault" } else { "demo" };
        let args = ["reencrypt", "--jsonl", "--key", other];
        let moved = lines(&done(&cluster, &args, &jsonl(&sealed)));
        for sealed in [&sealed, &moved] {
            let opened = lines(&done(&cluster, &["decrypt", "--jsonl"], &jsonl(sealed)));
            for (line, text) in opened.iter().zip(&texts) {
                assert_eq!(line["plaintext"], *text);
            }
        }
        // One that does not open fails alone, and says so in its place.
        sealed[1]["ciphertext"] = json!(STANDARD.encode("no ciphertext"));
        let out = cluster.client(&["decrypt", "--jsonl"], &jsonl(&sealed));
        assert_eq!(code(&out), Some(5), "{}", said(&out));
        assert!(said(&out).contains("1 of 3 lines failed"), "{}", said(&out));
        let opened = lines(&out.stdout);
        assert_eq!(
            (&opened[0]["plaintext"], &opened[1]["exit_code"]),
            (&json!(texts[0]), &json!(5))
        );
        assert_eq!(opened[2]["plaintext"], texts[2]);
        // In a file too: one bad line takes the others with it no more than on stdout.
        let file = cluster.home("client").join(format!("{name}.jsonl"));
        let to = file.to_str().unwrap();
        let failed = cluster.client(&["decrypt", "--jsonl", "--out", to], &jsonl(&sealed));
        assert_eq!((failed.status.code(), failed.stdout.len()), (out.status.code(), 0));
        assert_eq!(std::fs::read(&file).unwrap(), out.stdout);
    }

    let derived = lines(&done(&cluster, &["derive", "--jsonl", "--key", "ids"], &input("input")));
    let alone = done(&cluster, &["derive", "--key", "ids", "--encoding", "raw"], b"bob");
    assert_eq!(field(&derived[1], "secret"), alone);

    let mut signed =
        lines(&done(&cluster, &["sign", "--jsonl", "--key", "release"], &input("message")));
    for (line, text) in signed.iter_mut().zip(&texts) {
        line["message"] = json!(text);
    }
    let args = ["verify", "--jsonl", "--key", "release"];
    let good = lines(&done(&cluster, &args, &jsonl(&signed)));
    assert!(good.iter().all(|line| line["good"] == true));
    signed[2]["message"] = json!(texts[0]);
    let out = cluster.client(&args, &jsonl(&signed));
    assert_eq!(code(&out), Some(5), "{}", said(&out));
    assert_eq!(lines(&out.stdout)[2]["exit_code"], 5);

    // Lines that are wrong are no reason not to do the others.
    let bad = b"{\"plaintext\": \"aGk=\"}\nnonsense\n";
    let out = cluster.client(&["encrypt", "--jsonl", "--key", "vault"], bad);
    assert_eq!(code(&out), Some(2), "{}", said(&out));
    let made = lines(&out.stdout);
    assert!(made[0]["ciphertext"].is_string() && made[1]["error"].is_string());
}
