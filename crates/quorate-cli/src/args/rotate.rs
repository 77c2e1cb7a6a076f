//! `quorate key rotate` and `quorate key schedule-rotation`.

use super::{OrderOut, seconds};
use crate::time::date;
use clap::Args;
use quorate_types::Millis;

#[derive(Debug, Args)]
pub struct KeyRotate {
    /// The key's name
    pub name: String,
    /// Begin another version after one whose birth failed for good, instead of finishing that
    #[arg(long)]
    pub past_failed: bool,
    #[command(flatten)]
    pub new: NewVersion,
    #[command(flatten)]
    pub order: OrderOut,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["every", "end"]))]
pub struct KeyScheduleRotation {
    /// The key's name
    pub name: String,
    /// Between two versions: a number with s, m, h or d
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub every: Option<u32>,
    /// When the first one is due: a date (2027-01-01, from midnight UTC on), or a time from now as
    /// a number with s, m, h or d (default: as long from now as between two)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub from: Option<When>,
    /// At most so many versions (default: as many as come due before it ends)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub times: Option<u16>,
    /// Days after which it ends
    #[arg(long, default_value_t = 366, value_parser = clap::value_parser!(u64).range(1..=3660))]
    pub days: u64,
    /// End the schedule; what is born stays
    #[arg(long, conflicts_with_all = [
        "from", "times", "days", "threshold", "committee", "allow_absent", "client", "grant_days",
    ])]
    pub end: bool,
    #[command(flatten)]
    pub new: NewVersion,
    #[command(flatten)]
    pub order: OrderOut,
}

/// What a new version is made with.
#[derive(Debug, Args)]
pub struct NewVersion {
    /// How many nodes use the new version (default: as the newest)
    #[arg(long)]
    pub threshold: Option<u16>,
    /// Node indices (default: as the newest)
    #[arg(long, value_delimiter = ',')]
    pub committee: Vec<u16>,
    /// How many nodes may be absent when it is born
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub allow_absent: u16,
    /// A client that may use it, by name (repeat; default: those of the newest version)
    #[arg(long, value_name = "NAME")]
    pub client: Vec<String>,
    /// Days until the grants expire (default: when those of the newest version do; under a
    /// schedule one interval after it ends, where that is later)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3660))]
    pub grant_days: Option<u64>,
    /// Let one provider or jurisdiction hold enough shares to use the key. Development only
    #[arg(long)]
    pub danger_concentrated: bool,
    /// Accept that losing one jurisdiction may put the key out of reach
    #[arg(long)]
    pub acknowledge_fragile: bool,
    /// Go on although the order tolerates fewer liars than t - 1
    #[arg(long)]
    pub yes: bool,
}

/// A point in time, as a command line says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So many seconds from now.
    In(u32),
    /// Then.
    At(Millis),
}

/// `30d`, or `2027-01-01`.
fn when(text: &str) -> Result<When, String> {
    match date(text) {
        Some(at) => Ok(When::At(at)),
        None => seconds(text).map(When::In).map_err(|_| {
            "say a date such as 2027-01-01, or a number with s, m, h or d, such as 30d".into()
        }),
    }
}
