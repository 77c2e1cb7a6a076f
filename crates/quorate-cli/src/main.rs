//! `quorate`: the operator's and user's tool.

use clap::Parser;
use quorate_cli::{args::Cli, failure::code, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { code::USAGE } else { 0 };
            // Nothing is left to do if even this cannot be printed.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    start_log(cli.global.verbose);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("quorate: no threads can be started: {error}");
            return ExitCode::from(code::FAILED);
        }
    };
    match runtime.block_on(run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("quorate: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

/// Nothing on stderr but errors, unless asked: -v for events, -vv for details.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::new(level);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
