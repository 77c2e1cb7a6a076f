//! Larger configurations: `cargo test --release -p quorate-ceremony --test model -- --ignored
//! --nocapture --test-threads 1`.

use crate::{config::Config, holds, once, twice};

#[test]
#[ignore = "FIGURES"]
fn two_numbers_of_one_order() {
    holds("2 of 3, two numbers", twice(3, 2, 3, 2, 1));
}

#[test]
#[ignore = "FIGURES"]
fn a_member_may_be_away_under_two_orders() {
    holds("2 of 3, q = 2, two orders", twice(3, 2, 2, 1, 1));
}

#[test]
#[ignore = "FIGURES"]
fn a_member_may_be_away_at_two_numbers() {
    holds("2 of 3, q = 2, two numbers", once(3, 2, 2, 2));
}

#[test]
#[ignore = "FIGURES"]
fn more_liars_than_the_bound_under_two_orders() {
    holds("2 of 3, q = 2, a liar, two orders", twice(3, 2, 2, 1, 1).liars(&[3]));
}

#[test]
#[ignore = "FIGURES"]
fn a_member_may_be_away_at_two_numbers_with_a_liar() {
    holds("2 of 4, q = 3, a liar, two numbers", once(4, 2, 3, 2).liars(&[4]));
}

#[test]
#[ignore = "FIGURES"]
fn three_of_four_at_two_numbers_with_a_liar() {
    holds("3 of 4, a liar, two numbers", twice(4, 3, 4, 2, 1).liars(&[4]));
}

#[test]
#[ignore = "FIGURES"]
fn a_committee_changes_at_two_numbers() {
    let config = Config::born(3, 2, 3).order(&[2, 3, 4], 2, 3, 2).order(&[1, 2, 3], 2, 3, 1);
    holds("2 of 3, one replaced, and back, two numbers", config.liars(&[3]));
}
