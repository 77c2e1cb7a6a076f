//! Roster rules, and the chain from the pinned fingerprint.

use crate::fixtures::*;
use quorate_types::*;

fn broken(change: impl FnOnce(&mut Roster)) -> String {
    let mut roster = genesis();
    change(&mut roster);
    let rule = roster.check().unwrap_err().to_string();
    // What does not pass the check does not parse either.
    assert!(Roster::from_bytes(&roster.to_bytes()).is_err());
    rule
}

#[test]
fn nobody_stands_twice() {
    assert!(broken(|r| r.nodes[1].index = index(1)).contains("node index 1 stands twice"));
    assert!(broken(|r| r.nodes[1].name = r.nodes[0].name.clone()).contains("name node-1"));
    assert!(broken(|r| r.nodes[1].identity = public(1)).contains("key of node-2"));
    assert!(
        broken(|r| r.nodes[1].endpoint = r.nodes[0].endpoint.clone())
            .contains("endpoint of node-2")
    );
    assert!(broken(|r| r.operators[1].key = r.operators[0].key).contains("key of operator-2"));
}

/// One key in two parts would let a coordinator sign orders, or a node be its own postman.
#[test]
fn no_key_or_name_stands_for_two_parts() {
    assert!(broken(|r| r.coordinators[0].tls_key = public(1)).contains("key of coordinator"));
    assert!(broken(|r| r.operators[0].key = public(1)).contains("key of operator-1"));
    assert!(broken(|r| r.operators[0].key = public(120)).contains("key of operator-1"));
    assert!(broken(|r| r.operators[0].name = r.nodes[0].name.clone()).contains("name node-1"));
    assert!(
        broken(|r| r.coordinators[0].endpoint = r.nodes[0].endpoint.clone()).contains("endpoint")
    );
}

#[test]
fn operators_decide_by_majority() {
    for quorum in [0, 1, 4] {
        assert!(broken(|r| r.quorum = quorum).contains("more than half"), "{quorum}");
    }
    for quorum in [2, 3] {
        assert!(Roster { quorum, ..genesis() }.check().is_ok());
    }
    assert!(broken(|r| r.operators.truncate(0)).contains("1 operator"));
    let mut four = genesis();
    four.operators.push(OperatorEntry { name: "operator-4".parse().unwrap(), key: public(104) });
    assert!(four.check().is_err(), "2 of 4 is half");
    four.quorum = 3;
    assert!(four.check().is_ok());
}

#[test]
fn a_cluster_has_nodes_and_a_coordinator() {
    assert!(broken(|r| r.nodes.truncate(1)).contains("at least 2 nodes"));
    assert!(broken(|r| r.coordinators.clear()).contains("1 coordinator"));
    assert!(broken(|r| r.version = 0).contains("begin at 1"));
    assert!(broken(|r| r.version = 2).contains("names no roster before it"));
    assert!(broken(|r| r.previous = Hash([1; 32])).contains("names no roster before it"));
}

#[test]
fn nodes_stand_by_ascending_index() {
    let mut roster = genesis();
    roster.nodes.swap(0, 1);
    assert!(Roster::from_bytes(&roster.to_bytes()).is_err());
}

#[test]
fn the_fingerprint_is_the_sha256_of_the_genesis_bytes() {
    use sha2::{Digest, Sha256};
    let expected: [u8; 32] = Sha256::digest(genesis().to_bytes()).into();
    assert_eq!(cluster().fingerprint().as_bytes(), &expected);
}

/// Version 2 of the cluster: node 5 moved.
fn second() -> Roster {
    let mut roster = genesis();
    roster.version = 2;
    roster.previous = cluster().roster_hash();
    roster.nodes[4].endpoint = "127.0.0.1:9999".parse().unwrap();
    roster
}

fn extend(roster: &Roster, signers: &[u8]) -> Result<Cluster, RosterError> {
    let cluster = cluster();
    let next = sign_roster(roster, cluster.fingerprint(), signers);
    Cluster::verify(cluster.fingerprint(), &[cluster.chain()[0].clone(), next])
}

#[test]
fn a_chain_of_two_is_verified() {
    let cluster = extend(&second(), &[101, 102]).unwrap();
    assert_eq!(cluster.roster(), &second());
    assert_eq!(cluster.at(1).unwrap().0, &genesis());
    assert_eq!(cluster.at(3), None);
    let chain = RosterChain(cluster.chain().to_vec());
    let read = RosterChain::from_bytes(&chain.to_bytes()).unwrap();
    assert_eq!(Cluster::verify(cluster.fingerprint(), &read.0).unwrap().roster(), &second());
}

fn chain_rule(result: Result<Cluster, RosterError>) -> String {
    match result.unwrap_err() {
        RosterError::Chain { rule, .. } => rule,
        other => panic!("expected a broken chain, got {other}"),
    }
}

#[test]
fn another_cluster_is_refused() {
    let error = Cluster::verify(&Fingerprint([1; 32]), cluster().chain()).unwrap_err();
    assert!(error.to_string().contains("this is another cluster"), "{error}");
}

#[test]
fn a_roster_over_another_predecessor_is_refused() {
    let roster = Roster { previous: Hash([1; 32]), ..second() };
    assert!(chain_rule(extend(&roster, &[101, 102])).contains("names another roster before it"));
}

#[test]
fn a_version_gap_or_step_back_is_refused() {
    for version in [3, 7] {
        let roster = Roster { version, ..second() };
        assert!(chain_rule(extend(&roster, &[101, 102])).contains("version 1 comes before it"));
    }
    let genesis_again = extend(&genesis(), &[101, 102]);
    assert!(chain_rule(genesis_again).contains("version 1 comes before it"));
}

#[test]
fn too_few_operators_extend_nothing() {
    assert!(chain_rule(extend(&second(), &[])).contains("0 of 2 operators"));
    assert!(chain_rule(extend(&second(), &[101])).contains("1 of 2 operators"));
    assert!(chain_rule(extend(&second(), &[101, 1, 120])).contains("1 of 2 operators"));
}

/// Whoever the new version names has no say in whether it stands.
#[test]
fn new_operators_cannot_appoint_themselves() {
    let mut roster = second();
    roster.operators = (4..=6)
        .map(|i| OperatorEntry {
            name: format!("operator-{i}").parse().unwrap(),
            key: public(100 + i),
        })
        .collect();
    assert!(chain_rule(extend(&roster, &[104, 105, 106])).contains("0 of 2 operators"));
    assert!(extend(&roster, &[101, 102]).is_ok());
}

#[test]
fn signatures_for_another_cluster_extend_nothing() {
    let cluster = cluster();
    let foreign = sign_roster(&second(), &Fingerprint([1; 32]), &[101, 102]);
    let chain = [cluster.chain()[0].clone(), foreign];
    assert!(chain_rule(Cluster::verify(cluster.fingerprint(), &chain)).contains("0 of 2"));
}

#[test]
fn an_empty_or_headless_chain_is_refused() {
    assert!(Cluster::from_genesis(&[]).is_err());
    let late = sign_roster(&second(), cluster().fingerprint(), &[101, 102]);
    assert!(Cluster::from_genesis(&[late]).is_err());
}

#[test]
fn a_card_is_signed_by_the_key_in_it() {
    assert!(NodeCard::from_bytes(&NodeCard::sign(node(3), &key(3)).to_bytes()).is_ok());
    let forged = NodeCard::sign(node(3), &key(4));
    assert!(NodeCard::from_bytes(&forged.to_bytes()).is_err());
    let entry = genesis().coordinators.remove(0);
    let forged = CoordinatorCard::sign(entry, &key(4));
    assert!(CoordinatorCard::from_bytes(&forged.to_bytes()).is_err());
}

#[test]
fn a_known_chain_takes_what_follows_and_nothing_beside_it() {
    let known = cluster();
    let signed = sign_roster(&second(), known.fingerprint(), &[101, 102]);
    let longer = known.extended(std::slice::from_ref(&signed)).unwrap().unwrap();
    assert_eq!(longer.roster(), &second());
    // The same again, with other signatures under the same bytes, is nothing new.
    let again = sign_roster(&second(), known.fingerprint(), &[102, 103]);
    assert!(longer.extended(&[known.chain()[0].clone(), again]).unwrap().is_none());
    assert!(longer.extended(&[]).unwrap().is_none());
    let beside = Roster { written_at: Millis(77), ..second() };
    let beside = sign_roster(&beside, known.fingerprint(), &[101, 102]);
    let rule = chain_rule(longer.extended(&[beside]).map(Option::unwrap));
    assert!(rule.contains("another roster is known in this version"), "{rule}");
    let few = sign_roster(&second(), known.fingerprint(), &[101]);
    assert!(chain_rule(known.extended(&[few]).map(Option::unwrap)).contains("1 of 2"));
    let third = Roster { version: 3, previous: longer.roster_hash(), ..second() };
    let third = sign_roster(&third, known.fingerprint(), &[101, 102]);
    assert!(known.extended(std::slice::from_ref(&third)).is_err(), "a gap");
    assert_eq!(known.extended(&[signed, third]).unwrap().unwrap().roster().version, 3);
}
