//! Larger configurations: `cargo test --release -p quorate-ceremony --test model -- --ignored
//! --nocapture --test-threads 1`.

use crate::{holds, once, twice};

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
