//! Orders: made, shown, signed, submitted.

use super::{before, roster::up_to_date, share};
use crate::{
    args::{Global, OrderOut},
    compose,
    failure::Failure,
    output::{Progress, Report},
    render::{self, Before},
    session,
    time::now,
};
use quorate_client::{CarriedOut, Operator, OwnedKey};
use quorate_crypto::hash::Label;
use quorate_types::{
    Action, Cluster, Format, Hash, Order, Signed, SignedOrder,
    armor::{self, Title},
    fork::fallen,
    order::{check_rules, order_hash},
};
use serde_json::json;
use std::{
    io::{BufRead, IsTerminal, Read, Write},
    path::Path,
    sync::Arc,
};

/// What became of an order that a command made.
#[derive(Debug)]
pub enum Fate {
    /// More operators must sign: it is in this file.
    Written(String),
    /// It was carried out.
    Done(CarriedOut),
}

/// Signs an order for `action` with the operator's key; submits it if one operator is
/// enough, else writes it to a file.
///
/// # Errors
/// When its rules do not hold, or it is refused.
pub async fn make(
    operator: &Operator,
    action: Action,
    predecessor: Hash,
    out: &OrderOut,
) -> Result<Fate, Failure> {
    let (order, signed) = signed(operator, action, predecessor, out.order_days)?;
    carry_out(operator, &order, &signed, out, None).await
}

/// Submits an order if one operator is enough, else writes it to a file and says what it changes
/// of what is before.
///
/// # Errors
/// When it is refused.
pub(super) async fn carry_out(
    operator: &Operator,
    order: &Order,
    signed: &SignedOrder,
    out: &OrderOut,
    before: Option<&Before>,
) -> Result<Fate, Failure> {
    let cluster = operator.cluster();
    let file = match (&out.order_out, cluster.roster().quorum) {
        (Some(file), _) => file,
        (None, 1) => return submit(operator, signed).await.map(Fate::Done),
        (None, m) => {
            let text = format!("{m} operators must sign: say --order-out FILE, and pass it on");
            return Err(Failure::usage(text));
        }
    };
    write(file, signed)?;
    let (lines, _) = render::order_after(order, &cluster, before);
    Ok(Fate::Written(format!(
        "{}\nwritten to {}; next: quorate order sign, then quorate order submit",
        lines.join("\n"),
        file.display()
    )))
}

/// An order, signed by this operator.
///
/// # Errors
/// When its rules do not hold.
pub(super) fn signed(
    operator: &Operator,
    action: Action,
    predecessor: Hash,
    days: u64,
) -> Result<(Order, SignedOrder), Failure> {
    let cluster = operator.cluster();
    let rng = &mut rand::rng();
    let order = compose::order(&cluster, action, predecessor, now(), days, rng)?;
    let mut signed = SignedOrder(Signed::unsigned(order.to_bytes()));
    signed.0.sign(operator.identity(), Label::SIG_ORDER, cluster.fingerprint());
    Ok((order, signed))
}

async fn submit(operator: &Operator, order: &SignedOrder) -> Result<CarriedOut, Failure> {
    followed(operator, order, None).await
}

/// Submits an order and shows how far it is; with a key, as the owner who imports it.
///
/// # Errors
/// When it is refused or not carried out.
pub(super) async fn followed(
    operator: &Operator,
    order: &SignedOrder,
    owned: Option<&OwnedKey>,
) -> Result<CarriedOut, Failure> {
    let mut line = Progress::new();
    let mut note = String::new();
    let mut blames = Vec::new();
    let shown = |p: &quorate_client::Progress| {
        note.clone_from(&p.message);
        blames.clone_from(&p.blames);
        let waiting = match p.waiting_for.is_empty() || p.done == 0 {
            true => String::new(),
            false => {
                let nodes: Vec<String> = p.waiting_for.iter().map(ToString::to_string).collect();
                format!(", waiting for node {}", nodes.join(", "))
            }
        };
        line.show(&format!("{} {} of {}{waiting}", p.step, p.done, p.of));
    };
    let result = match owned {
        Some(key) => operator.import(order, key, shown).await,
        None => operator.submit(order, shown).await,
    };
    line.clear();
    warn_of_culprits(operator, &blames);
    let key = result?;
    if !note.is_empty() {
        // It holds where it was applied; who gave it must know where it does not.
        eprintln!("{note}");
    }
    Ok(key)
}

/// A ceremony goes on without a node that breaks its rules; its operator must hear of it.
pub(super) fn warn_of_culprits(operator: &Operator, blames: &[(quorate_types::NodeIndex, String)]) {
    for (node, what) in blames {
        let node = render::node(operator.cluster().roster(), *node);
        eprintln!("warning: the coordinator says that {node} broke the ceremony's rules: {what}");
    }
}

/// `order show`: of an order that moves shares also what that changes, as the nodes prove it. If
/// nobody can be asked, as this home has seen it last, and that is said.
///
/// # Errors
/// When the file is no order.
pub async fn show(global: &Global, file: &Path) -> Result<Report, Failure> {
    let (signed, order) = read(file)?;
    let home = session::home(global)?;
    let (cluster, before) = match &order.action {
        Action::Reshare(to) => {
            let hash = order_hash(&order.fingerprint, &signed.0.body);
            match up_to_date(global).await {
                Ok(operator) => {
                    let before = before::read(&operator, &home, &order, &hash).await;
                    (operator.cluster(), before)
                }
                Err(e) => {
                    let before = before::seen_last(&home, to, &hash, &e.to_string());
                    (Arc::new(home.cluster().clone()), Some(before))
                }
            }
        }
        _ => (Arc::new(home.cluster().clone()), None),
    };
    let roster = cluster.roster();
    let (mut lines, mut json) = render::order_after(&order, &cluster, before.as_ref());
    let valid: Vec<_> = signed
        .0
        .valid(Label::SIG_ORDER, cluster.fingerprint(), |k| roster.is_operator(k))
        .collect();
    let hash = order_hash(cluster.fingerprint(), &signed.0.body);
    lines.push(format!("  hash          {hash}"));
    for o in &roster.operators {
        let has = if valid.contains(&o.key) { "signed" } else { "-" };
        lines.push(format!("  {:<14}{has}", o.name.as_str()));
    }
    lines.push(format!("  {} of the {} signatures needed", valid.len(), roster.quorum));
    if order.fingerprint != *cluster.fingerprint() {
        lines.push("  NOT FOR THIS CLUSTER".into());
    }
    if let Err(broken) = check_rules(&order, roster) {
        lines.push(format!("  WILL BE REFUSED: {broken}"));
    }
    json["hash"] = json!(hash.to_string());
    json["signed_by"] = json!(
        roster
            .operators
            .iter()
            .filter(|o| valid.contains(&o.key))
            .map(|o| o.name.as_str())
            .collect::<Vec<_>>()
    );
    json["needed"] = json!(roster.quorum);
    Ok(Report::new(lines.join("\n"), json))
}

/// `order sign`.
///
/// # Errors
/// When the file is no order of this cluster, or the person says no.
pub async fn sign(global: &Global, file: &Path, yes: bool) -> Result<Report, Failure> {
    let operator = up_to_date(global).await?;
    let cluster: &Cluster = &operator.cluster();
    let (mut signed, order) = read(file)?;
    if !cluster.roster().is_operator(&operator.identity().public()) {
        return Err(Failure::usage("this home's key is no operator's of the cluster"));
    }
    if order.fingerprint != *cluster.fingerprint() {
        return Err(Failure::verification("the order is for another cluster"));
    }
    check_rules(&order, cluster.roster()).map_err(Failure::usage)?;
    let hash = order_hash(cluster.fingerprint(), &signed.0.body);
    let before = before::read(&operator, &session::home(global)?, &order, &hash).await;
    eprintln!("{}", render::order_after(&order, cluster, before.as_ref()).0.join("\n"));
    if !yes && !confirmed("Sign this order? [y/N] ")? {
        return Err(Failure::new("not signed"));
    }
    signed.0.sign(operator.identity(), Label::SIG_ORDER, cluster.fingerprint());
    write(file, &signed)?;
    let (got, needed) = (signed.0.signers().len(), cluster.roster().quorum);
    let json = json!({ "signatures": got, "needed": needed });
    Ok(Report::new(format!("signed: {got} of {needed}"), json))
}

/// `order submit`.
///
/// # Errors
/// When it is refused or not carried out.
pub async fn submit_file(global: &Global, file: &Path) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    let (signed, _) = read(file)?;
    let text = match submit(&operator, &signed).await? {
        CarriedOut::Born(key) => format!("done: {}", key.create().name),
        CarriedOut::Moved(moved) => share::told(&moved, operator.cluster().roster()),
        CarriedOut::Applied => "done".into(),
    };
    Ok(Report::new(text, json!({ "done": true })))
}

/// `order list`.
///
/// # Errors
/// When no party answers.
pub async fn list(global: &Global) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    let cluster = operator.cluster();
    let orders = operator.orders().await?;
    let fallen = fallen(&orders);
    let mut lines = Vec::new();
    let mut all = Vec::new();
    for order in &orders {
        let (text, mut json) = render::order(order.order(), cluster.roster());
        let headline = text.first().cloned().unwrap_or_default();
        let at = render::time(order.order().issued_at);
        let fell = fallen.contains(&order.hash());
        let note = if fell { "  (fell: see the RESOLVE FORK order)" } else { "" };
        lines.push(format!("{}  {at}  {headline}{note}", order.hash().short()));
        json["hash"] = json!(order.hash().to_string());
        json["fell"] = json!(fell);
        all.push(json);
    }
    Ok(Report::new(lines.join("\n"), json!(all)))
}

pub(super) fn read(file: &Path) -> Result<(SignedOrder, Order), Failure> {
    let failed = |e| Failure::io(file.display(), &e);
    let mut text = String::new();
    // Whatever is longer is no armor either.
    let limit = u64::try_from(armor::MAX_TEXT).unwrap_or(u64::MAX).saturating_add(1);
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(limit).read_to_string(&mut text).map_err(failed)?;
    let bad = |e| Failure::verification(format!("{}: {e}", file.display()));
    let signed: SignedOrder = armor::read(Title::ORDER, &text).map_err(bad)?;
    let order = Order::from_bytes(&signed.0.body).map_err(bad)?;
    Ok((signed, order))
}

pub(super) fn write(file: &Path, order: &SignedOrder) -> Result<(), Failure> {
    quorate_client::file::replace(file, armor::write(Title::ORDER, order).as_bytes(), 0o644)
        .map_err(Failure::new)
}

/// Asks on the terminal; without one the answer is no.
///
/// # Errors
/// When the terminal cannot be read.
pub fn confirmed(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("nobody is there to be asked: say --yes"));
    }
    eprint!("{question}");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| Failure::io("stdin", &e))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
