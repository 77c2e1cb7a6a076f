//! Larger configurations, with their figures: `cargo test -p quorate-ceremony --test model --
//! --ignored --nocapture --test-threads 1`. The times are of 2 cores that other builds kept busy:
//! an idle machine needs a quarter.

use crate::{config::Config, holds, once, twice};

#[test]
#[ignore = "258,754 states, 707,260 transitions, 2 minutes"]
fn two_numbers_of_one_order() {
    holds("2 of 3, two numbers", twice(3, 2, 3, 2, 1));
}

#[test]
#[ignore = "1,115,375 states, 3,871,826 transitions, 7 minutes"]
fn a_member_may_be_away_under_two_orders() {
    holds("2 of 3, q = 2, two orders", twice(3, 2, 2, 1, 1));
}

#[test]
#[ignore = "1,086,323 states, 4,881,473 transitions, 9 minutes"]
fn a_member_may_be_away_at_two_numbers() {
    holds("2 of 3, q = 2, two numbers", once(3, 2, 2, 2));
}

#[test]
#[ignore = "206,174 states, 707,420 transitions, half a minute"]
fn more_liars_than_the_bound_under_two_orders() {
    holds("2 of 3, q = 2, a liar, two orders", twice(3, 2, 2, 1, 1).liars(&[3]));
}

#[test]
#[ignore = "731,548 states, 2,283,769 transitions, 5 minutes"]
fn a_committee_changes_at_two_numbers_with_a_liar() {
    let config = Config::born(3, 2, 3).order(&[2, 3, 4], 2, 3, 2).order(&[1, 2, 3], 2, 3, 1);
    holds("2 of 3, one replaced, and back, two numbers, a liar", config.liars(&[3]));
}
