//! How a key is: what an order may say of it, and what a receipt proves.

use crate::fixtures::*;
use quorate_types::*;

fn rule(change: impl FnOnce(&mut SetKeyState)) -> String {
    let mut state = key_state();
    change(&mut state);
    let cluster = cluster();
    let order = order(&cluster, Action::SetKeyState(state));
    match quorate_types::order::check_rules(&order, cluster.roster()) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_state_counts_from_one_and_waits_for_thirty_days_at_most() {
    assert_eq!(rule(|_| {}), "");
    assert!(rule(|s| s.revision = 0).contains("begin at 1"));
    assert!(rule(|s| s.aliases.push(s.name.clone())).contains("another name"));
    let issued_at = order(&cluster(), Action::SetKeyState(key_state())).issued_at;
    let after = |wait: u64| rule(|s| s.deletion = Some(issued_at.plus(wait)));
    assert_eq!((after(0), after(30 * Millis::DAY)), (String::new(), String::new()));
    assert!(after(30 * Millis::DAY + 1).contains("30 days at most"));
    let before = Millis(issued_at.0 - 1);
    assert!(rule(|s| s.deletion = Some(before)).contains("not before its order"));
    let quick = |wait: u64| {
        let deletion = Some(issued_at.plus(wait));
        SetKeyState { deletion, ..key_state() }.is_quick(issued_at)
    };
    assert!(quick(7 * Millis::DAY - 1) && !quick(7 * Millis::DAY));
    assert!(!key_state().is_quick(issued_at));
}

/// Text that a terminal would obey, or that has two spellings, is no text.
#[test]
fn descriptions_tags_and_lists_have_one_spelling() {
    let parses = |change: &dyn Fn(&mut SetKeyState)| {
        let mut state = key_state();
        change(&mut state);
        let bytes = order(&cluster(), Action::SetKeyState(state)).to_bytes();
        Order::from_bytes(&bytes).is_ok()
    };
    assert!(parses(&|_| {}));
    assert!(parses(&|s| s.description = "a".repeat(1024)));
    assert!(!parses(&|s| s.description = "a".repeat(1025)));
    assert!(!parses(&|s| s.description = "\u{1b}[2J".into()));
    assert!(!parses(&|s| s.tags.reverse()));
    assert!(!parses(&|s| s.tags[0] = s.tags[1].clone()));
    assert!(!parses(&|s| s.aliases.reverse()));
    let version = |n| KeyVersion::new(n).unwrap();
    assert!(!parses(&|s| s.disabled = Disabled::Versions(vec![version(2), version(1)])));
    assert!(parses(&|s| s.disabled = Disabled::Versions((1..=1024).map(version).collect())));
    assert!(!parses(&|s| s.disabled = Disabled::Versions((1..=1025).map(version).collect())));
    assert!(TagName::new("aws:team/x").is_ok() && TagName::new("a b").is_err());
    assert!(TagValue::new("Lohnbüro").is_ok() && TagValue::new("a\nb").is_err());
}

#[test]
fn a_receipt_is_of_its_node_cluster_and_key_alone() {
    let receipt = destroyed();
    let cluster = cluster();
    receipt.verify(cluster.fingerprint(), &public(2)).unwrap();
    assert!(receipt.verify(cluster.fingerprint(), &public(3)).is_err());
    assert!(receipt.verify(&Fingerprint([9; 32]), &public(2)).is_err());
    let mut other = receipt.clone();
    other.node = index(3);
    assert!(other.verify(cluster.fingerprint(), &public(2)).is_err());
    let mut other = receipt;
    other.destroyed.key = "another".parse().unwrap();
    assert!(other.verify(cluster.fingerprint(), &public(2)).is_err());
}

#[test]
fn a_key_has_at_most_1024_versions() {
    let cluster = cluster();
    let of = |version: u32| {
        let create = CreateKey { version: KeyVersion::new(version).unwrap(), ..create_key() };
        let order = order(&cluster, Action::CreateKey(create));
        quorate_types::order::check_rules(&order, cluster.roster())
    };
    assert!(of(1024).is_ok());
    assert!(of(1025).unwrap_err().to_string().contains("at most 1024 versions"));
}
