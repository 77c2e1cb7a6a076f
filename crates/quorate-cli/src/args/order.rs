//! `quorate order`: what operators sign and nodes obey.

use super::OrderOut;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Order {
    /// Print exactly what an order says and changes, and who has signed it
    ///
    /// Of shares that move: who joins and leaves, and who could use the key before and after, by
    /// the epoch in force as the nodes prove it.
    Show {
        /// The order's file; or a directory of NAME.order files, for what all of them change
        file: PathBuf,
    },
    /// Add this operator's signature
    Sign {
        /// The order's file, changed in place; or a directory of NAME.order files, all signed after
        /// one question
        file: PathBuf,
        /// Sign without being asked
        #[arg(long)]
        yes: bool,
    },
    /// Bring a signed order to the cluster
    Submit {
        /// The order's file; or a directory of NAME.order files. What has been carried out is
        /// skipped, so the same command goes on where it was interrupted
        file: PathBuf,
        /// Of a directory: keys under way at once
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
        at_once: u16,
    },
    /// Order: of two orders that follow the same one, say which stays
    ///
    /// Nodes that have seen both take no further order of their chain until then.
    Resolve {
        /// The order that stays: its hash, the beginning of it, or its file
        stays: String,
        /// The order that falls, with all that was chained after it
        falls: String,
        #[command(flatten)]
        order: OrderOut,
    },
    /// Orders that the cluster knows
    List,
}
