//! Orders that end a fork: what they name, and what has fallen when several decide.

use crate::fixtures::*;
use quorate_types::{fork::fallen, *};

fn verified(order: &Order) -> Result<VerifiedOrder, OrderError> {
    VerifiedOrder::verify(&cluster(), &sign_order(order, &[101, 102]))
}

#[test]
fn it_names_both_orders_and_follows_the_one_that_stays() {
    let cluster = cluster();
    let good = resolve(&cluster, ChainId::Policy, 1, 2);
    let order = verified(&good).unwrap();
    assert_eq!(order.order().chain(), None, "the chain goes on from the order that stays");
    assert_eq!(order.resolves().unwrap().falls, Hash([2; 32]));
    let few = VerifiedOrder::verify(&cluster, &sign_order(&good, &[101]));
    assert_eq!(few, Err(OrderError::Signatures { needed: 2, got: 1 }));
    for (stays, falls) in [(1, 1), (0, 2), (1, 0)] {
        let error = verified(&resolve(&cluster, ChainId::Policy, stays, falls)).unwrap_err();
        assert!(error.to_string().contains("name both"), "{stays} {falls}: {error}");
    }
    for predecessor in [Hash([2; 32]), Hash::default()] {
        let error = verified(&Order { predecessor, ..good.clone() }).unwrap_err();
        assert!(error.to_string().contains("must follow"), "{error}");
    }
}

/// A chain of added clients, each after the one before; the first after `before`.
fn branch(before: Hash, clients: std::ops::Range<u8>) -> Vec<VerifiedOrder> {
    let mut predecessor = before;
    let mut orders = Vec::new();
    for client in clients {
        let name = "app".parse().unwrap();
        let add = Action::AddClient { name, client: public(client) };
        let order = verified(&Order { predecessor, ..order(&cluster(), add) }).unwrap();
        predecessor = order.hash();
        orders.push(order);
    }
    orders
}

fn decided(stays: Hash, falls: Hash, at: u64) -> VerifiedOrder {
    let fork = ResolveFork { chain: ChainId::Policy, stays, falls };
    let order = order(&cluster(), Action::ResolveFork(fork));
    verified(&Order { predecessor: stays, issued_at: NOW.plus(at), ..order }).unwrap()
}

#[test]
fn a_branch_falls_with_its_first_order_and_what_is_not_chained_does_not() {
    let (one, other) = (branch(Hash::default(), 50..53), branch(Hash::default(), 60..63));
    let revoke = Action::RevokeClient { client: public(70) };
    let revoke = Order { predecessor: other[1].hash(), ..order(&cluster(), revoke) };
    let mut orders = [one.clone(), other.clone(), vec![verified(&revoke).unwrap()]].concat();
    assert!(fallen(&orders).is_empty());
    orders.push(decided(one[0].hash(), other[0].hash(), 0));
    let expected = other.iter().map(VerifiedOrder::hash).collect();
    assert_eq!(fallen(&orders), expected);
}

#[test]
fn of_two_that_contradict_each_other_the_later_counts_in_whatever_order_they_come() {
    let (one, other) = (branch(Hash::default(), 50..51), branch(Hash::default(), 60..61));
    let (a, b) = (one[0].hash(), other[0].hash());
    let (first, second) = (decided(a, b, 0), decided(b, a, 1));
    assert!(second.overrules(&first) && !first.overrules(&second) && !first.overrules(&first));
    for orders in [[first.clone(), second.clone()], [second, first]] {
        assert_eq!(fallen(&orders), [a].into());
    }
    let (first, second) = (decided(a, b, 0), decided(b, a, 0));
    assert_ne!(first.overrules(&second), second.overrules(&first), "never both, never none");
}
