//! `quorate order resolve`: ends a fork of a chain of orders.

use super::{
    client::told,
    order::{make, read},
};
use crate::{
    args::{Global, OrderOut},
    failure::Failure,
    output::Report,
    session,
};
use quorate_types::{Action, Hash, Order, ResolveFork, VerifiedOrder, order::order_hash};
use std::{collections::BTreeMap, path::Path};

/// Orders that of two orders after the same one `stays` holds, and `falls` does not.
///
/// # Errors
/// When they are no two orders after the same one, and when the order is refused.
pub async fn run(
    global: &Global,
    stays: &str,
    falls: &str,
    out: &OrderOut,
) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    let known = operator.orders().await?;
    let cluster = operator.cluster();
    let find = |said: &str| find(&known, said, |body| order_hash(cluster.fingerprint(), body));
    let ((stays, kept), (falls, other)) = (find(stays)?, find(falls)?);
    let kept = kept.ok_or_else(|| {
        Failure::usage(format!("no order {stays} is known here: name the file that it is in"))
    })?;
    let chain = kept.chain().ok_or_else(|| {
        Failure::usage(format!("order {} stands in no chain, so it cannot fork one", stays.short()))
    })?;
    match other {
        Some(other) if other.predecessor != kept.predecessor || kept.chain() != other.chain() => {
            let text =
                format!("{} and {} do not follow the same order", stays.short(), falls.short());
            return Err(Failure::usage(text));
        }
        Some(_) => {}
        None => eprintln!("order {falls} is not known here, and not checked"),
    }
    let action = Action::ResolveFork(ResolveFork { chain, stays, falls });
    let fate = make(&operator, action, stays, out).await?;
    Ok(told(fate, format!("order {} stays, {} falls", stays.short(), falls.short())))
}

/// An order by its hash, by the beginning of its hash, or in a file. One that was refused
/// everywhere is known by its whole hash only.
fn find(
    known: &[VerifiedOrder],
    said: &str,
    hash: impl Fn(&[u8]) -> Hash,
) -> Result<(Hash, Option<Order>), Failure> {
    if Path::new(said).is_file() {
        let (signed, order) = read(Path::new(said))?;
        return Ok((hash(&signed.0.body), Some(order)));
    }
    let word = said.to_lowercase();
    let found: BTreeMap<Hash, &VerifiedOrder> = (known.iter())
        .map(|order| (order.hash(), order))
        .filter(|(hash, _)| hash.to_string().starts_with(&word))
        .collect();
    match (found.first_key_value(), found.len()) {
        (Some((hash, order)), 1) => Ok((*hash, Some(order.order().clone()))),
        (Some(_), many) => Err(Failure::usage(format!("{many} orders begin with {said}"))),
        _ => match word.parse() {
            Ok(hash) => Ok((hash, None)),
            Err(_) => Err(Failure::usage(format!(
                "no order {said} is known, and no file; see `quorate order list`"
            ))),
        },
    }
}
