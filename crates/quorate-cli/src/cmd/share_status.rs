//! `quorate share status`: what each node has of a key, and what that means.

use crate::{
    args::Global,
    failure::Failure,
    output::{Report, table},
    render, session,
};
use quorate_ceremony::SurveyAnswer;
use quorate_client::{Key, Operator};
use quorate_types::{Cluster, EpochName, Format, KeyName, NodeIndex, Roster};
use serde_json::{Value, json};
use std::sync::Arc;

/// One key in full, or all keys in a line each.
///
/// # Errors
/// When nobody answers, or the key does not verify.
pub async fn run(global: &Global, key: Option<&str>) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    match key {
        Some(name) => {
            let status = Status::of(&operator, name).await?;
            Ok(Report::new(status.lines().join("\n"), status.json()))
        }
        None => all(operator).await,
    }
}

async fn all(operator: Operator) -> Result<Report, Failure> {
    let operator = Arc::new(operator);
    let keys = operator.keys().await?;
    let mut rows = vec![["KEY", "EPOCH", "SERVE", "SPARE", "NOTE"].map(String::from).to_vec()];
    let mut json = Vec::new();
    for chunk in keys.chunks(16) {
        let asked: Vec<_> = chunk
            .iter()
            .map(|k| {
                let (operator, name) = (Arc::clone(&operator), k.name.clone());
                tokio::spawn(async move { Status::of(&operator, &name).await })
            })
            .collect();
        for (key, asked) in chunk.iter().zip(asked) {
            match asked.await.map_err(Failure::new)? {
                Ok(status) => {
                    rows.push(status.row());
                    json.push(status.json());
                }
                Err(failure) => {
                    let name = key.name.clone();
                    json.push(json!({ "key": name, "error": failure.to_string() }));
                    rows.push(vec![name, "-".into(), "-".into(), "-".into(), failure.to_string()]);
                }
            }
        }
    }
    let text = if keys.is_empty() { "no keys".into() } else { table(&rows) };
    Ok(Report::new(text, json!(json)))
}

/// A key, and what the nodes say. Only what proves itself is believed: epochs in force.
struct Status {
    key: Key,
    cluster: Arc<Cluster>,
    nodes: Vec<(NodeIndex, Said)>,
}

enum Said {
    Answer(Box<SurveyAnswer>),
    Nothing(String),
}

impl Status {
    async fn of(operator: &Operator, name: &str) -> Result<Self, Failure> {
        let name = KeyName::new(name).map_err(Failure::usage)?;
        let key = operator.key_in_force(&name).await?;
        let cluster = operator.cluster();
        let said = |answer: Result<Vec<u8>, String>| match answer {
            Ok(bytes) => match SurveyAnswer::from_bytes(&bytes) {
                Ok(answer) => Said::Answer(Box::new(answer)),
                Err(error) => Said::Nothing(format!("sent a bad answer: {error}")),
            },
            Err(reason) => Said::Nothing(reason),
        };
        let nodes = operator.survey(&name).await?;
        let nodes = nodes.into_iter().map(|(node, answer)| (node, said(answer))).collect();
        Ok(Self { key, cluster, nodes })
    }

    fn roster(&self) -> &Roster {
        self.cluster.roster()
    }

    fn epoch(&self) -> EpochName {
        self.key.public().epoch
    }

    /// Members of the committee that say that they serve the epoch in force.
    fn serving(&self) -> usize {
        let serves = |(node, said): &&(NodeIndex, Said)| match said {
            Said::Answer(a) => {
                self.key.public().committee.member(*node).is_some()
                    && a.in_force().map(|r| r.certificate.public.epoch) == Some(self.epoch())
                    && a.serves()
            }
            Said::Nothing(_) => false,
        };
        self.nodes.iter().filter(serves).count()
    }

    /// How many more nodes may be lost before the key is out of reach.
    fn spare(&self) -> i64 {
        let t = self.key.public().committee.threshold().get();
        i64::try_from(self.serving()).unwrap_or(0) - i64::from(t)
    }

    /// What one node has, in a few words, and what is to be done.
    fn note(&self, node: NodeIndex, said: &Said) -> Option<String> {
        let member = self.key.public().committee.member(node).is_some();
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
                spare if spare < 0 => format!(
                    "{} serve it: OUT OF REACH until {} more are back",
                    self.serving(),
                    -spare
                ),
                spare => format!("{} serve it: {spare} more may be lost", self.serving()),
            },
        ];
        if let Some(repeat) = self.key.epoch().terms().repeat {
            lines.push(format!(
                "scheduled: every {} until {}",
                render::span(repeat.every),
                render::time(repeat.until)
            ));
        }
        for (node, said) in &self.nodes {
            let member = public.committee.member(*node).is_some();
            let note = self.note(*node, said);
            let state = match (&note, member, said) {
                (Some(note), _, _) => note.clone(),
                (None, true, _) => "serves it".into(),
                (None, false, Said::Answer(_)) => "not in the committee".into(),
                (None, false, Said::Nothing(_)) => continue,
            };
            lines.push(format!("  {:<40} {state}", render::node(self.roster(), *node)));
        }
        lines
    }

    fn row(&self) -> Vec<String> {
        let public = self.key.public();
        let noted: Vec<String> = self
            .nodes
            .iter()
            .filter_map(|(node, said)| Some(format!("node {node} {}", self.note(*node, said)?)))
            .collect();
        let note = match &noted[..] {
            [] => String::new(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first}; and {} more nodes", rest.len()),
        };
        vec![
            public.key.to_string(),
            public.epoch.number.to_string(),
            format!("{} of {}", self.serving(), public.committee.size()),
            self.spare().to_string(),
            note,
        ]
    }

    fn json(&self) -> Value {
        let public = self.key.public();
        json!({
            "key": public.key.as_str(),
            "version": public.version.get(),
            "epoch": public.epoch.number,
            "threshold": public.committee.threshold().get(),
            "committee": public.committee.indices().map(NodeIndex::get).collect::<Vec<_>>(),
            "serving": self.serving(),
            "spare": self.spare(),
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
