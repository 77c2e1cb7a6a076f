//! `quorate share status`: what each node has of a key, and what that means.

use super::{
    key_state::shown,
    schedule_rotation::Shown,
    schedules::{Ended, Schedule},
};
use crate::{args::Global, failure::Failure, output::Report, render, session};
use quorate_ceremony::SurveyAnswer;
use quorate_client::{Key, Operator};
use quorate_types::{
    Cluster, EpochName, Format, KeyName, Member, NodeIndex, Roster, VerifiedOrder,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// One key in full.
///
/// # Errors
/// When nobody answers, or the key does not verify.
pub async fn run(global: &Global, key: &str) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    let versions = Status::of(&operator, key).await?;
    let newest = versions.last().map(|status| status.key.version());
    let mut lines: Vec<String> = versions.iter().rev().flat_map(Status::lines).collect();
    let mut all: Vec<Value> = versions.iter().map(Status::json).collect();
    let mut json = all.pop().unwrap_or_default();
    json["older"] = json!(all);
    let name = KeyName::new(key).map_err(Failure::usage)?;
    let heads = operator.heads(Some(&name)).await?;
    if let Some(shown) = Shown::of(&heads, newest) {
        let shown = shown.under(&heads, operator.cluster().roster().version);
        lines.extend(shown.lines());
        json["schedule"] = shown.json();
    }
    let is = operator.key_state(&name).await?;
    if is.state.deletion.is_some() {
        let (said, state) = shown(&is, operator.cluster().roster());
        lines.splice(0..0, said);
        json["state"] = state;
    }
    Ok(Report::new(lines.join("\n"), json))
}

/// A version of a key in a list.
pub(super) fn title(key: &str, version: u32) -> String {
    match version {
        1 => key.to_owned(),
        version => format!("{key} version {version}"),
    }
}

/// A version of a key, and what the nodes say. Only what proves itself is believed: epochs in force.
pub(super) struct Status {
    key: Key,
    cluster: Arc<Cluster>,
    nodes: Vec<(NodeIndex, Said)>,
    schedule: Option<Schedule>,
}

enum Said {
    Answer(Box<SurveyAnswer>),
    Nothing(String),
}

impl Status {
    /// Of every version that is born, ascending.
    pub(super) async fn of(operator: &Operator, name: &str) -> Result<Vec<Self>, Failure> {
        let name = KeyName::new(name).map_err(Failure::usage)?;
        let versions = operator.versions_in_force(&name).await?;
        // The epoch in force says what was ordered, the head of the chain whether it still counts.
        let scheduled = versions.iter().any(|k| k.epoch().terms().repeat.is_some());
        let head = match scheduled {
            true => operator.heads(Some(&name)).await?.key_order,
            false => None,
        };
        let mut all = Vec::new();
        for key in versions {
            all.push(Self::of_version(operator, key, head.as_ref()).await?);
        }
        // A schedule is for the newest version: what an older one's was is told if nothing came
        // after it.
        if let Some((Self { schedule: Some(_), .. }, older)) = all.split_last_mut() {
            older.iter_mut().for_each(|status| status.schedule = None);
        }
        Ok(all)
    }

    async fn of_version(
        operator: &Operator,
        key: Key,
        head: Option<&VerifiedOrder>,
    ) -> Result<Self, Failure> {
        let cluster = operator.cluster();
        let said = |answer: Result<Vec<u8>, String>| match answer {
            Ok(bytes) => match SurveyAnswer::from_bytes(&bytes) {
                Ok(answer) => Said::Answer(Box::new(answer)),
                Err(error) => Said::Nothing(format!("sent a bad answer: {error}")),
            },
            Err(reason) => Said::Nothing(reason),
        };
        let nodes = operator.survey(key.name(), key.version()).await?;
        let nodes = nodes.into_iter().map(|(node, answer)| (node, said(answer))).collect();
        let schedule = Schedule::of(key.epoch().order(), head, cluster.roster());
        Ok(Self { key, cluster, nodes, schedule })
    }

    fn roster(&self) -> &Roster {
        self.cluster.roster()
    }

    fn epoch(&self) -> EpochName {
        self.key.public().epoch
    }

    /// The member with this index, unless another identity has taken its place since.
    fn member(&self, node: NodeIndex) -> Option<&Member> {
        let member = self.key.public().committee.member(node)?;
        self.cluster.names(node, &member.identity).then_some(member)
    }

    /// Members whose index the roster has no more.
    fn left(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        let roster = self.roster();
        self.key.public().committee.indices().filter(|i| roster.node(*i).is_none())
    }

    /// Members of the committee that say that they serve the epoch in force.
    fn serving(&self) -> usize {
        let serves = |(node, said): &&(NodeIndex, Said)| match said {
            Said::Answer(a) => {
                self.member(*node).is_some()
                    && a.in_force().map(|r| r.certificate.public.epoch) == Some(self.epoch())
                    && a.serves()
            }
            Said::Nothing(_) => false,
        };
        self.nodes.iter().filter(serves).count()
    }

    /// Members that do not serve the epoch, and may have a share of it all the same: they do not
    /// answer, or hold one that waits for its certificate.
    fn may_come_back(&self) -> usize {
        let may = |(node, said): &&(NodeIndex, Said)| match said {
            Said::Answer(a) => {
                let serves = a.in_force().map(|r| r.certificate.public.epoch) == Some(self.epoch())
                    && a.serves();
                let holds = a.live.iter().any(|l| l.epoch == Some(self.epoch()));
                self.member(*node).is_some() && holds && !serves
            }
            Said::Nothing(_) => self.member(*node).is_some(),
        };
        self.nodes.iter().filter(may).count()
    }

    fn threshold(&self) -> usize {
        self.key.public().committee.threshold().as_usize()
    }

    /// How many more nodes may be lost before the key is out of reach.
    pub(super) fn spare(&self) -> i64 {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        count(self.serving()) - count(self.threshold())
    }

    /// Whether too few shares are left, as far as the nodes' answers and the roster tell.
    pub(super) fn is_lost(&self) -> bool {
        self.serving() + self.may_come_back() < self.threshold()
    }

    /// Whether there is anything to be done.
    pub(super) fn needs_attention(&self) -> bool {
        let of = self.key.public().committee.size();
        self.serving() < of
            || self.schedule_ended().is_some()
            || self.nodes.iter().any(|(n, said)| self.note(*n, said).is_some())
    }

    /// Its schedule, if a roster has ended it, which nobody may have meant.
    fn schedule_ended(&self) -> Option<&Schedule> {
        self.schedule.as_ref().filter(|s| matches!(s.ended, Some(Ended::Roster(_))))
    }

    /// What one node has, in a few words, and what is to be done.
    fn note(&self, node: NodeIndex, said: &Said) -> Option<String> {
        let committee = &self.key.public().committee;
        let member = self.member(node).is_some();
        if committee.member(node).is_some() && !member {
            let text = "is another node than the one that held the share: `quorate cluster apply`";
            return Some(text.into());
        }
        let answer = match said {
            Said::Answer(answer) => answer,
            Said::Nothing(reason) if member => return Some(reason.clone()),
            Said::Nothing(_) => return None,
        };
        let epoch = answer.in_force().map(|r| r.certificate.public.epoch);
        let old: Vec<u64> = answer
            .live
            .iter()
            .filter(|l| l.epoch.is_some() && l.number < self.epoch().number)
            .map(|l| l.number)
            .collect();
        let pending: Vec<u64> = answer
            .live
            .iter()
            .filter(|l| l.number > self.epoch().number)
            .map(|l| l.number)
            .collect();
        let mut notes = Vec::new();
        if member && epoch != Some(self.epoch()) {
            let behind = epoch.map_or("none".into(), |e| e.number.to_string());
            notes.push(format!("is at epoch {behind}: `quorate share repair {node}`"));
        } else if member && !answer.serves() {
            notes.push(format!("holds no share: `quorate share repair {node}`"));
        }
        if !old.is_empty() {
            notes.push(format!("has not erased epoch {old:?}"));
        }
        if !pending.is_empty() {
            let active = answer.live.iter().any(|l| l.number > self.epoch().number && l.active);
            let what = if active { "serves also" } else { "waits in" };
            notes.push(format!("{what} epoch {pending:?}; the next refresh settles it"));
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    fn lines(&self) -> Vec<String> {
        let public = self.key.public();
        let mut lines = vec![
            format!(
                "{} version {} is in epoch {}: {} of {} nodes use it",
                public.key,
                public.version,
                public.epoch.number,
                public.committee.threshold(),
                public.committee.size()
            ),
            match self.spare() {
                _ if self.is_lost() => self.lost(),
                spare if spare < 0 => format!(
                    "{} serve it: OUT OF REACH until {} more are back",
                    self.serving(),
                    -spare
                ),
                spare => format!("{} serve it: {spare} more may be lost", self.serving()),
            },
        ];
        lines.extend(self.schedule.as_ref().map(Schedule::line));
        for (node, said) in &self.nodes {
            let member = self.member(*node).is_some();
            let note = self.note(*node, said);
            let state = match (&note, member, said) {
                (Some(note), _, _) => note.clone(),
                (None, true, _) => "serves it".into(),
                (None, false, Said::Answer(_)) => "not in the committee".into(),
                (None, false, Said::Nothing(_)) => continue,
            };
            lines.push(format!("  {:<40} {state}", render::node(self.roster(), *node)));
        }
        for node in self.left() {
            lines.push(format!("  {:<40} {LEFT}", render::node(self.roster(), node)));
        }
        lines
    }

    /// Why nothing that the cluster can do brings the key back.
    fn lost(&self) -> String {
        let (t, left) = (self.threshold(), self.serving() + self.may_come_back());
        format!(
            "{} serve it: KEY LOST: {t} shares of this epoch are needed, and {left} are left: every \
             other member has been replaced, has left, or says that it holds none. No share can be \
             made from fewer; only a lost node's disk helps, with its identity and the key that \
             seals both",
            self.serving()
        )
    }

    pub(super) fn row(&self) -> Vec<String> {
        let public = self.key.public();
        let noted: Vec<String> = self
            .nodes
            .iter()
            .filter_map(|(node, said)| Some(format!("node {node} {}", self.note(*node, said)?)))
            .chain(self.left().map(|node| format!("node {node} {LEFT}")))
            .chain(self.schedule_ended().map(Schedule::line))
            .collect();
        let note = match &noted[..] {
            _ if self.is_lost() => "KEY LOST: see `quorate share status KEY`".into(),
            [] => String::new(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
        };
        vec![
            title(public.key.as_str(), public.version.get()),
            public.epoch.number.to_string(),
            format!("{} of {}", self.serving(), public.committee.size()),
            self.spare().to_string(),
            note,
        ]
    }

    pub(super) fn json(&self) -> Value {
        let public = self.key.public();
        json!({
            "key": public.key.as_str(),
            "version": public.version.get(),
            "epoch": public.epoch.number,
            "threshold": public.committee.threshold().get(),
            "committee": public.committee.indices().map(NodeIndex::get).collect::<Vec<_>>(),
            "serving": self.serving(),
            "spare": self.spare(),
            "lost": self.is_lost(),
            "schedule": self.schedule.as_ref().map(Schedule::json),
            "left": self.left().map(NodeIndex::get).collect::<Vec<_>>(),
            "nodes": self.nodes.iter().map(|(node, said)| match said {
                Said::Answer(a) => json!({
                    "node": node.get(),
                    "epoch": a.in_force().map(|r| r.certificate.public.epoch.number),
                    "serves": a.serves(),
                    "held": a.live.iter().filter(|l| l.epoch.is_some()).map(|l| l.number)
                        .collect::<Vec<_>>(),
                    "note": self.note(*node, said),
                }),
                Said::Nothing(reason) => json!({ "node": node.get(), "unreachable": reason }),
            }).collect::<Vec<_>>(),
        })
    }
}

const LEFT: &str = "has left the roster: `quorate cluster apply`";
