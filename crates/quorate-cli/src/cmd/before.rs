//! What a key is before an order moves its shares: for whoever is to sign the order.

use crate::render::Before;
use quorate_client::{Home, Operator};
use quorate_types::{Action, Hash, Order, Reshare};

/// Of an order that moves shares, as the nodes prove it; else as this home has seen it last.
pub(super) async fn read(
    operator: &Operator,
    home: &Home,
    order: &Order,
    hash: &Hash,
) -> Option<Before> {
    let Action::Reshare(to) = &order.action else { return None };
    Some(match operator.version_in_force(&to.name, to.version).await {
        Ok(key) if *key.public().public_key() != to.public_key => {
            another_key(key.public().public_key())
        }
        Ok(key) => Before::of(&key, hash),
        Err(error) => seen_last(home, to, hash, &error.to_string()),
    })
}

fn another_key(own: &[u8; 32]) -> Before {
    Before::Unknown(format!("IT NAMES ANOTHER PUBLIC KEY than the key's, {}", hex::encode(own)))
}

/// What the home has pinned, if nobody can be asked.
pub(super) fn seen_last(home: &Home, to: &Reshare, hash: &Hash, why: &str) -> Before {
    let Ok(Some(pin)) = home.pin(&to.name, to.version) else {
        return Before::Unknown(why.to_owned());
    };
    let newest = pin.newest.as_ref().unwrap_or(&pin.record);
    let Ok(epoch) = newest.verify_epoch(home.cluster()) else {
        return Before::Unknown(format!("{why}; what this home has seen last does not verify"));
    };
    if *epoch.public().public_key() != to.public_key {
        return another_key(epoch.public().public_key());
    }
    let number = epoch.public().epoch.number;
    if epoch.order().hash() == *hash {
        return Before::CarriedOut { epoch: number };
    }
    Before::InForce {
        epoch: number,
        committee: epoch.public().committee.clone(),
        repeat: epoch.terms().repeat,
        seen_last: Some(why.to_owned()),
    }
}
