//! What a command opens: the home that it was told to use, as a client or an operator.

use crate::{args::Global, failure::Failure};
use quorate_client::{Client, Home, Operator, operator::Via};
use quorate_types::Endpoint;
use std::{io::IsTerminal, path::PathBuf};
use zeroize::Zeroizing;

/// Names a file whose first line is the passphrase of sealed identity keys.
const PASSPHRASE_FILE: &str = "QUORATE_PASSPHRASE_FILE";

/// The home directory of a command.
///
/// # Errors
/// When none was named.
pub fn home_dir(global: &Global) -> Result<PathBuf, Failure> {
    global
        .home
        .clone()
        .ok_or_else(|| Failure::usage("say which home to use: --home DIR, or set QUORATE_HOME"))
}

/// Opens the home.
///
/// # Errors
/// When it is none, or damaged.
pub fn home(global: &Global) -> Result<Home, Failure> {
    Home::open(home_dir(global)?).map_err(|e| Failure::from(quorate_client::Error::from(e)))
}

/// The client of the home.
///
/// # Errors
/// As [`home`]; also for a passphrase that is missing or wrong.
pub fn client(global: &Global) -> Result<Client, Failure> {
    let home = home(global)?;
    let mut builder = Client::builder().home(home.dir());
    if let Some(passphrase) = passphrase(&home)? {
        builder = builder.passphrase(passphrase.to_vec());
    }
    if let Some(endpoint) = coordinator(global)? {
        builder = builder.coordinator(endpoint);
    }
    if global.direct {
        builder = builder.direct();
    }
    Ok(builder.build()?)
}

/// The operator of the home.
///
/// # Errors
/// As [`client`].
pub fn operator(global: &Global) -> Result<Operator, Failure> {
    let home = home(global)?;
    let via = match (&global.node, coordinator(global)?) {
        (Some(node), _) => Via::Node(parse_endpoint(node)?),
        (None, Some(endpoint)) => Via::Coordinator(endpoint),
        (None, None) => Via::Coordinators,
    };
    let passphrase = passphrase(&home)?;
    Ok(Operator::open(home.dir(), passphrase.as_ref().map(|p| p.as_slice()), &via)?)
}

fn coordinator(global: &Global) -> Result<Option<Endpoint>, Failure> {
    global.coordinator.as_deref().map(parse_endpoint).transpose()
}

fn parse_endpoint(text: &str) -> Result<Endpoint, Failure> {
    let text = text.strip_prefix("https://").unwrap_or(text);
    Endpoint::new(text.trim_end_matches('/')).map_err(Failure::usage)
}

/// The passphrase of a home whose key is sealed: from a file, else asked for.
fn passphrase(home: &Home) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let sealed = home.is_sealed().map_err(|e| Failure::from(quorate_client::Error::from(e)))?;
    if sealed { ask_passphrase("Passphrase: ").map(Some) } else { Ok(None) }
}

/// A passphrase, from the file that the environment names, else from the terminal.
///
/// # Errors
/// When there is neither.
pub fn ask_passphrase(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if let Some(path) = std::env::var_os(PASSPHRASE_FILE) {
        let path = PathBuf::from(path);
        let text = std::fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(|e| Failure::io(path.display(), &e))?;
        let line = text.lines().next().unwrap_or_default();
        return Ok(Zeroizing::new(line.as_bytes().to_vec()));
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "the identity key is sealed: set {PASSPHRASE_FILE}, or run on a terminal"
        )));
    }
    let typed = rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|e| Failure::io("the terminal", &e))?;
    Ok(Zeroizing::new(typed.as_bytes().to_vec()))
}
