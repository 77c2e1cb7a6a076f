//! `quorate datakey`: data keys, in the clear and encrypted.

use super::{
    crypt::{Output, context, warn},
    jsonl::{bytes_field, write_line},
};
use crate::{
    args::{DataKey, Global},
    failure::Failure,
    session,
};

/// Made at a time: as many as one request takes.
const AT_A_TIME: u32 = 1024;

/// Makes data keys; a line for each.
///
/// # Errors
/// When the key does not verify, or output fails; for a key that wraps also by exit code:
/// refused, no quorum.
pub async fn run(global: &Global, args: &DataKey) -> Result<(), Failure> {
    let context = context(&args.context)?;
    let client = session::client(global)?;
    let key = client.key(&args.key).await?;
    let mut output = Output::open(args.out.as_deref())?;
    let mut left = args.count;
    while left > 0 {
        let count = left.min(AT_A_TIME);
        let (made, report) = client.data_keys(&key, count as usize, &context).await?;
        warn(&report);
        for one in &made {
            let mut line = bytes_field("wrapped", &one.wrapped);
            if !args.wrapped_only {
                line.extend(bytes_field("plaintext", one.plaintext.expose()));
            }
            write_line(&mut output, line)?;
        }
        left -= count;
    }
    output.keep()
}
