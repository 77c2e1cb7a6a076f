//! The committee rule: who could use a key together, whose loss would lock it.

use crate::fixtures::*;
use quorate_types::*;

/// A roster whose node `i` stands where `places[i - 1]` says.
fn roster(places: &[(&str, &str, &str)]) -> Roster {
    let mut roster = genesis();
    for (node, (provider, location, home)) in roster.nodes.iter_mut().zip(places) {
        node.provider = provider.parse().unwrap();
        node.location = location.parse().unwrap();
        node.home = home.parse().unwrap();
    }
    roster
}

fn names<'a>(holdings: impl Iterator<Item = &'a Holding>) -> Vec<String> {
    holdings.map(|h| format!("{} {:?}", h.holder, h.nodes)).collect()
}

#[test]
fn five_strangers_are_neither_concentrated_nor_fragile() {
    let owners = Ownership::of(&genesis(), &committee(&[1, 2, 3, 4, 5], 3));
    assert_eq!(names(owners.concentrated()), Vec::<String>::new());
    assert_eq!(names(owners.fragile()), Vec::<String>::new());
    // 5 choose 3 sets of providers, and as many of jurisdictions.
    let coalitions = owners.coalitions();
    assert_eq!(coalitions.len(), 20);
    assert!(coalitions.iter().all(|c| c.len() == 3));
}

/// A Frankfurt node of a US provider lies in DE and in US.
#[test]
fn a_node_counts_for_location_and_home() {
    let owners = Ownership::of(
        &roster(&[
            ("Big", "DE", "US"),
            ("Big", "FR", "US"),
            ("Other", "US", "US"),
            ("Nord", "IS", "IS"),
            ("Maple", "CA", "CA"),
        ]),
        &committee(&[1, 2, 3, 4, 5], 3),
    );
    assert_eq!(names(owners.concentrated()), ["jurisdiction US {1, 2, 3}"]);
    assert_eq!(names(owners.fragile()), ["jurisdiction US {1, 2, 3}"]);
    let coalitions = owners.coalitions();
    let texts: Vec<Vec<_>> =
        coalitions.iter().map(|c| c.iter().map(|h| h.holder.to_string()).collect()).collect();
    assert!(texts.contains(&vec!["jurisdiction US".into()]));
    assert!(texts.contains(&vec!["provider Big".into(), "provider Nord".into()]));
    let with_us = texts.iter().filter(|c| c.contains(&"jurisdiction US".to_owned())).count();
    assert_eq!(with_us, 1, "no coalition contains a smaller one: {texts:?}");
}

#[test]
fn two_nodes_of_one_country_in_four_of_five_are_fragile() {
    let owners = Ownership::of(
        &roster(&[
            ("A", "DE", "DE"),
            ("B", "DE", "DE"),
            ("C", "CH", "CH"),
            ("D", "IS", "IS"),
            ("E", "CA", "CA"),
        ]),
        &committee(&[1, 2, 3, 4, 5], 4),
    );
    assert_eq!(names(owners.concentrated()), Vec::<String>::new());
    assert_eq!(names(owners.fragile()), ["jurisdiction DE {1, 2}"]);
}

#[test]
fn members_outside_the_roster_belong_to_nobody() {
    let owners = Ownership::of(&genesis(), &committee(&[1, 2, 90], 2));
    assert_eq!(owners.holdings().map(|h| h.nodes.len()).sum::<usize>(), 4);
}

#[test]
fn the_list_of_coalitions_is_bounded() {
    let mut big = genesis();
    big.nodes = (1..=40)
        .map(|i| NodeEntry {
            index: index(i),
            provider: format!("P{i}").parse().unwrap(),
            identity: public(i as u8),
            ..node(1)
        })
        .collect();
    let owners = Ownership::of(&big, &committee(&(1..=40).collect::<Vec<_>>(), 20));
    assert!(owners.coalitions().len() <= 2 * quorate_types::coalition::MAX_COALITIONS);
}
