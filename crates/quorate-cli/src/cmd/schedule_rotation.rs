//! `quorate key schedule-rotation`: a standing order for new versions of a key, and its end.

use super::{
    key::warn_of_few_liars,
    order::{Fate, make},
    roster::up_to_date,
    rotate::{compose, grants},
    share::Chain,
};
use crate::{
    args::{Global, KeyScheduleRotation, When},
    compose::first_number,
    failure::Failure,
    output::Report,
    render, session,
    time::now,
};
use quorate_client::{CarriedOut, Heads, Key, Operator};
use quorate_types::{
    Action, CreateKey, Grant, KeyName, KeyVersion, Millis, RotateKey, VerifiedOrder,
    order::{MAX_GRANT_LIFE, MAX_VERSIONS},
};
use serde_json::{Value, json};

/// Orders a schedule, or its end.
///
/// # Errors
/// For parameters that do not fit, and when the order is refused.
pub async fn run(global: &Global, args: &KeyScheduleRotation) -> Result<Report, Failure> {
    let operator = up_to_date(global).await?;
    let name = KeyName::new(args.name.as_str()).map_err(Failure::usage)?;
    let heads = operator.heads(Some(&name)).await?;
    let Some(chain) = Chain::of(&heads)? else {
        return Err(Failure::usage(format!("no order has made a key {name}")));
    };
    let before = heads.rotation_order.as_ref().and_then(VerifiedOrder::rotation);
    let (rotate, newest) = match args.every {
        Some(every) => {
            let newest = operator.key_in_force(&name).await?;
            let times = Times::of(args, every, now());
            let rotate = order(&operator, &newest, &chain, &heads, &times, args).await?;
            (rotate, Some(newest.version()))
        }
        None => (end(&name, before, first_number(&heads))?, None),
    };
    let action = Action::RotateKey(rotate.clone());
    warn_of_few_liars(&action, args.new.yes)?;
    match make(&operator, action, heads.rotation, &args.order).await? {
        Fate::Written(text) => Ok(Report::new(text, json!({ "done": false }))),
        Fate::Done(CarriedOut::Applied) => {
            let shown = Shown { rotate, newest, waits: None };
            let mut json = shown.json();
            json["done"] = json!(true);
            Ok(Report::new(shown.lines().join("\n"), json))
        }
        Fate::Done(_) => Err(Failure::new("the order was applied, and something else came")),
    }
}

/// When versions are due.
struct Times {
    from: Millis,
    every: u32,
    until: Millis,
    most: u32,
}

impl Times {
    fn of(args: &KeyScheduleRotation, every: u32, now: Millis) -> Self {
        let seconds = |seconds: u32| now.plus(u64::from(seconds) * 1000);
        let from = match args.from {
            None => seconds(every),
            Some(When::In(wait)) => seconds(wait),
            Some(When::At(at)) => at,
        };
        let most = args.times.map_or(MAX_VERSIONS, u32::from);
        Self { from, every, until: now.plus(args.days * Millis::DAY), most }
    }
}

async fn order(
    operator: &Operator,
    newest: &Key,
    chain: &Chain,
    heads: &Heads,
    times: &Times,
    args: &KeyScheduleRotation,
) -> Result<RotateKey, Failure> {
    let next = newest.version().get() + 1;
    let Some(version) = KeyVersion::new(next).filter(|v| v.get() <= MAX_VERSIONS) else {
        let text = format!("a key has at most {MAX_VERSIONS} versions: make another key");
        return Err(Failure::usage(text));
    };
    if chain.newest >= version {
        let (name, begun) = (newest.name(), chain.newest);
        let text = format!(
            "version {begun} of {name} was ordered and is not born: finish it first with `quorate \
             key rotate {name}`"
        );
        return Err(Failure::usage(text));
    }
    let grants = grants(operator, newest, &args.new.client, args.new.grant_days).await?;
    let cluster = operator.cluster();
    let first = first_number(heads);
    let create = compose(cluster.roster(), newest, version, first, grants, &args.new)?;
    let before = heads.rotation_order.as_ref().and_then(VerifiedOrder::rotation);
    let mut rotate = schedule(create, times, before.map_or(0, RotateKey::last))?;
    if args.new.grant_days.is_none() {
        extend(&mut rotate, now());
    }
    Ok(rotate)
}

/// The order's versions may not end below those of the schedule before it, so that its time says
/// how many are born.
fn schedule(create: CreateKey, times: &Times, last_before: u32) -> Result<RotateKey, Failure> {
    let Times { from, every, until, most } = *times;
    let step = u64::from(every) * 1000;
    let first = create.version.get();
    let most = most.min(MAX_VERSIONS + 1 - first);
    // The last one's time is as long as that of those before it.
    let enough = from.plus(step.saturating_mul(u64::from(most))).0.saturating_sub(1000);
    let until = until.min(Millis(enough));
    let times = most.max(last_before.saturating_add(1).saturating_sub(first));
    let times = u16::try_from(times).map_err(Failure::usage)?;
    let mut rotate = RotateKey { create, from, every, times, until };
    let Some(last) = rotate.last_in_time() else {
        let text = format!(
            "no version would be due before it ends ({}): say --days, or --from",
            render::time(until)
        );
        return Err(Failure::usage(text));
    };
    let stated = last.get().max(last_before) + 1 - first;
    rotate.times = u16::try_from(stated).map_err(Failure::usage)?;
    Ok(rotate)
}

/// Grants last as long as a version that is born last is the newest, but ten years at most; and no
/// shorter than they did.
fn extend(rotate: &mut RotateKey, now: Millis) {
    let until = rotate.until.plus(u64::from(rotate.every) * 1000);
    let expires_at = until.min(now.plus(MAX_GRANT_LIFE));
    let of = |g: &Grant| Grant { expires_at: g.expires_at.max(expires_at), ..g.clone() };
    rotate.create.grants = rotate.create.grants.iter().map(of).collect();
}

/// An order that ends the schedule.
fn end(
    name: &KeyName,
    before: Option<&RotateKey>,
    first_number: u64,
) -> Result<RotateKey, Failure> {
    let Some(before) = before.filter(|before| before.times > 0) else {
        return Err(Failure::usage(format!("{name} has no schedule of versions")));
    };
    let version = KeyVersion::new(before.last().saturating_add(1));
    let version = version.ok_or_else(|| Failure::usage("versions begin at 1"))?;
    let create = CreateKey { version, first_number, grants: Vec::new(), ..before.create.clone() };
    Ok(RotateKey { create, times: 0, from: now(), until: now(), ..*before })
}

/// The schedule of a key's versions, for people and programs.
pub(super) struct Shown {
    rotate: RotateKey,
    newest: Option<KeyVersion>,
    /// The roster under which it was given, if that is not the newest any more.
    waits: Option<u32>,
}

impl Shown {
    /// None if there is none, or it has ended.
    pub(super) fn of(heads: &Heads, newest: Option<KeyVersion>) -> Option<Self> {
        let order = heads.rotation_order.as_ref()?;
        let rotate = order.rotation().filter(|rotate| rotate.times > 0)?;
        (now() <= rotate.until).then(|| Self { rotate: rotate.clone(), newest, waits: None })
    }

    /// With whether it still counts under this roster.
    pub(super) fn under(self, heads: &Heads, newest: u32) -> Self {
        let order = heads.rotation_order.as_ref();
        let given = order.map(|order| order.order().roster_version);
        Self { waits: given.filter(|given| *given != newest), ..self }
    }

    /// The version that is born next, and when it is due.
    fn next(&self) -> Option<(KeyVersion, Millis)> {
        let next = KeyVersion::new(self.newest?.get().saturating_add(1))?;
        let due = self.rotate.due(next).filter(|due| *due <= self.rotate.until)?;
        Some((next, due))
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let rotate = &self.rotate;
        if rotate.times == 0 {
            return vec![format!("the schedule of versions of {} has ended", rotate.name())];
        }
        let mut lines = Vec::new();
        match (self.next(), rotate.last_in_time()) {
            (Some((next, due)), Some(last)) => {
                lines.push(format!(
                    "schedule    version {next} is due {}, the next ones every {}",
                    render::time(due),
                    render::span(rotate.every)
                ));
                let due = rotate.due(last).map_or_else(String::new, render::time);
                lines.push(format!("            version {last} is the last one, due {due}"));
            }
            _ => lines.push("schedule    no further version is due under it".into()),
        }
        if let Some(given) = self.waits {
            lines.push(format!(
                "            IT WAITS: it was given under roster version {given}; give it again with \
                 `quorate key schedule-rotation {}`",
                rotate.name()
            ));
        }
        lines
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let rotate = &self.rotate;
        let next = self.next();
        json!({
            "every": rotate.every, "until": rotate.until.0, "times": rotate.times,
            "next_version": next.map(|(version, _)| version.get()),
            "next_due": next.map(|(_, due)| due.0),
            "last_version": rotate.last_in_time().map(|version| version.get()),
            "roster_version_of_old": self.waits,
        })
    }
}

/// The schedule of a key, where this home may ask for it: who gives no orders sees none.
pub(super) async fn of_key(global: &Global, key: &Key) -> Option<(Vec<String>, Value)> {
    let operator = session::operator(global).ok()?;
    let heads = operator.heads(Some(key.name())).await.ok()?;
    let roster = operator.cluster().roster().version;
    let shown = Shown::of(&heads, Some(key.version()))?.under(&heads, roster);
    Some((shown.lines(), shown.json()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crypto::IdentityKey;
    use quorate_types::{Committee, Member, NodeIndex, Purpose, Rights};

    const NOW: Millis = Millis(1_800_000_000_000);
    const DAYS: u32 = 86_400;

    fn create(version: u32) -> CreateKey {
        let public = |n: u8| IdentityKey::from_seed(&[n; 32]).public();
        let member =
            |n: u8| Member { index: NodeIndex::new(n.into()).unwrap(), identity: public(n) };
        CreateKey {
            name: "payroll".parse().unwrap(),
            version: KeyVersion::new(version).unwrap(),
            suite: Purpose::Decrypt.suite(),
            purpose: Purpose::Decrypt,
            committee: Committee::new((1..=3).map(member).collect(), 2).unwrap(),
            q: 3,
            first_number: 1025,
            grants: vec![Grant {
                client: public(50),
                name: "app".parse().unwrap(),
                expires_at: NOW.plus(90 * Millis::DAY),
            }],
            danger_concentrated: false,
            acknowledge_fragile: true,
            rights: Rights::NONE,
        }
    }

    fn times(every: u32, days: u64, most: u32) -> Times {
        let from = NOW.plus(u64::from(every) * 1000);
        Times { from, every, until: NOW.plus(days * Millis::DAY), most }
    }

    #[test]
    fn as_many_versions_are_stated_as_come_due_before_it_ends() {
        let of = |first, times: Times, before| {
            let rotate = schedule(create(first), &times, before).unwrap();
            (rotate.times, rotate.last_in_time().map(KeyVersion::get))
        };
        assert_eq!(of(2, times(90 * DAYS, 366, 1024), 0), (4, Some(5)));
        assert_eq!(of(2, times(90 * DAYS, 366, 2), 0), (2, Some(3)));
        assert_eq!(of(2, times(366 * DAYS, 366, 1024), 0), (1, Some(2)));
        // A key has only so many.
        assert_eq!(of(1023, times(10, 366, 1024), 0), (2, Some(1024)));
        assert_eq!(of(1024, times(10, 366, 1024), 0), (1, Some(1024)));
        // After a longer one the time says what the versions may not.
        assert_eq!(of(4, times(90 * DAYS, 366, 1), 9), (6, Some(4)));
        assert_eq!(of(4, times(90 * DAYS, 366, 1024), 5), (4, Some(7)));
        assert_eq!(of(10, times(90 * DAYS, 366, 1), 9), (1, Some(10)));
    }

    #[test]
    fn a_schedule_under_which_nothing_is_due_is_not_ordered() {
        let failure = schedule(create(2), &times(90 * DAYS, 89, 1024), 0).unwrap_err();
        assert!(failure.to_string().contains("no version would be due"), "{failure}");
    }

    #[test]
    fn grants_last_as_long_as_the_last_version_is_the_newest_and_ten_years_at_most() {
        let of = |days| {
            let mut rotate = schedule(create(2), &times(30 * DAYS, days, 1024), 0).unwrap();
            extend(&mut rotate, NOW);
            (rotate.create.grants[0].expires_at.0 - NOW.0) / Millis::DAY
        };
        assert_eq!(of(366), 366 + 30);
        assert_eq!(of(3660), 3660);
        // As long as they last already.
        assert_eq!(of(31), 90);
    }

    #[test]
    fn what_ends_a_schedule_begins_after_its_last_version_and_grants_nothing() {
        let name = create(2).name;
        assert!(end(&name, None, 5000).is_err());
        let before = schedule(create(2), &times(90 * DAYS, 366, 1024), 0).unwrap();
        let over = end(&name, Some(&before), 5000).unwrap();
        assert_eq!((over.create.version.get(), over.times, over.last()), (6, 0, before.last()));
        assert_eq!((over.create.first_number, over.create.grants.len()), (5000, 0));
        assert!(end(&name, Some(&over), 6000).is_err(), "it has ended");
    }

    #[test]
    fn what_comes_next_is_said_and_that_nothing_does() {
        let rotate = schedule(create(2), &times(90 * DAYS, 366, 1024), 0).unwrap();
        let shown =
            |newest| Shown { rotate: rotate.clone(), newest: KeyVersion::new(newest), waits: None };
        let lines = shown(3).lines();
        assert!(
            lines[0].contains("version 4 is due") && lines[0].contains("every 90 d"),
            "{lines:?}"
        );
        assert!(lines[1].contains("version 5 is the last one"), "{lines:?}");
        assert_eq!(shown(3).json()["next_version"], 4);
        assert!(shown(5).lines()[0].contains("no further version"));
        let waits = Shown { waits: Some(1), ..shown(3) };
        assert!(waits.lines()[2].contains("IT WAITS"), "{:?}", waits.lines());
    }
}
