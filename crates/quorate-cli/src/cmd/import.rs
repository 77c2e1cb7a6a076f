//! `quorate key import`: a key that its owner has already.

use super::{
    key::{self, warn_of_few_liars},
    order::{self, confirmed},
    roster::up_to_date,
};
use crate::{
    args::{Global, KeyImport},
    compose,
    failure::Failure,
    output::Report,
    render, session,
    time::now,
};
use quorate_client::{CarriedOut, Operator, OwnedKey};
use quorate_types::{Action, Format, ImportKey, KeyName, Order, Signed, SignedOrder};
use serde_json::json;
use std::path::Path;

/// Imports a key: makes the order, or carries out one that operators have signed.
///
/// # Errors
/// For a file without a key, parameters that do not fit, and when its birth fails.
pub async fn run(global: &Global, args: &KeyImport) -> Result<Report, Failure> {
    let owned = OwnedKey::read(&args.from)
        .map_err(|e| Failure::usage(format!("{}: {e}", args.from.display())))?;
    let operator = up_to_date(global).await?;
    if let Some(file) = &args.signed {
        let (signed, order) = order::read(file)?;
        may_deal(&operator, args, &order, file)?;
        return deal(&operator, &owned, &signed).await;
    }
    let order = compose(global, &operator, args, &owned).await?;
    warn_of_few_liars(&order.0.action, args.create.yes)?;
    let (cluster, own) = (operator.cluster(), operator.identity().public());
    let roster = cluster.roster();
    let alone = roster.quorum == 1 && roster.is_operator(&own);
    match (&args.create.order.order_out, alone) {
        (None, true) => deal(&operator, &owned, &order.1).await,
        (None, false) => Err(Failure::usage(format!(
            "{} operators must sign: say --order-out FILE, and pass it on; then deal the key with \
             --order FILE",
            roster.quorum
        ))),
        (Some(file), _) => {
            // The signature of somebody who is no operator would only confuse.
            let unsigned = SignedOrder(Signed::unsigned(order.0.to_bytes()));
            let signed = if roster.is_operator(&own) { order.1 } else { unsigned };
            order::write(file, &signed)?;
            let (lines, _) = render::order(&order.0, roster);
            let text = format!(
                "{}\nwritten to {file}; next: {m} operators sign it (quorate order sign {file}), then \
                 the key is dealt from here: quorate key import {name} --from {from} --order {file}",
                lines.join("\n"),
                file = file.display(),
                m = roster.quorum,
                name = args.create.name,
                from = args.from.display(),
            );
            Ok(Report::new(text, json!({ "done": false })))
        }
    }
}

async fn compose(
    global: &Global,
    operator: &Operator,
    args: &KeyImport,
    owned: &OwnedKey,
) -> Result<(Order, SignedOrder), Failure> {
    let cluster = operator.cluster();
    let known = key::known_clients(operator).await?;
    let default = session::home(global)?.config().threshold;
    let name = KeyName::new(args.create.name.as_str()).map_err(Failure::usage)?;
    let heads = operator.heads(Some(&name)).await?;
    let first = compose::first_number(&heads);
    let create =
        compose::create_key(cluster.roster(), &args.create, default, &known, first, now())?;
    let public_key = owned.public_key(create.suite).map_err(Failure::usage)?;
    let dealer = operator.identity().public();
    let action = Action::ImportKey(ImportKey { create, public_key, dealer });
    order::signed(operator, action, heads.key, args.create.order.order_days)
}

/// A person sees to whom the key is dealt: operators may have signed another order than was made
/// here.
fn may_deal(
    operator: &Operator,
    args: &KeyImport,
    order: &Order,
    file: &Path,
) -> Result<(), Failure> {
    let Action::ImportKey(import) = &order.action else {
        return Err(Failure::usage(format!("{}: the order imports no key", file.display())));
    };
    if import.create.name.as_str() != args.create.name {
        let (got, wanted) = (&import.create.name, &args.create.name);
        return Err(Failure::usage(format!("the order imports key {got}, not {wanted}")));
    }
    if !args.create.yes {
        eprintln!("{}", render::order(order, operator.cluster().roster()).0.join("\n"));
        if !confirmed("Deal the key to these nodes? [y/N] ")? {
            return Err(Failure::new("not dealt"));
        }
    }
    Ok(())
}

async fn deal(
    operator: &Operator,
    owned: &OwnedKey,
    signed: &SignedOrder,
) -> Result<Report, Failure> {
    match order::followed(operator, signed, Some(owned)).await? {
        CarriedOut::Born(born) => {
            let (_, json) = key::describe(&operator.cluster(), &born, born.epoch());
            let text = format!(
                "{}\nimported from {}: whoever else has it can use it without the nodes; shred what \
                 is not needed as a backup",
                key::born(&born),
                owned.form(),
            );
            Ok(Report::new(text, json))
        }
        _ => Err(Failure::new(
            "the order was applied and nothing was dealt: a coordinator must conduct the import",
        )),
    }
}
