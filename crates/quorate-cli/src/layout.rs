//! `quorate cluster init --local`: a whole cluster on one machine. Compose, tests and
//! people use the same path.

use crate::failure::Failure;
use std::net::TcpListener;

/// The cast of a local cluster: five jurisdictions, five providers, and ten more for
/// larger ones. The providers are invented.
const CAST: [(&str, &str); 15] = [
    ("Rheinland Rechenzentrum", "DE"),
    ("Helvetia Hosting", "CH"),
    ("Nordlys Cloud", "NO"),
    ("Maple Compute", "CA"),
    ("Straits Data", "SG"),
    ("Kansai Systems", "JP"),
    ("Aotearoa Online", "NZ"),
    ("Geysir Servers", "IS"),
    ("Pampa Cloud", "AR"),
    ("Tasman Racks", "AU"),
    ("Lowland Hosting", "NL"),
    ("Armor Serveurs", "FR"),
    ("Cape Compute", "ZA"),
    ("Baltic Bits", "EE"),
    ("Ganga Data", "IN"),
];

/// Provider and jurisdiction of the `i`th local node, counted from 0.
#[must_use]
pub fn cast(i: usize) -> (String, String) {
    let (provider, jurisdiction) = CAST[i % CAST.len()];
    let round = i / CAST.len();
    let provider =
        if round == 0 { provider.to_owned() } else { format!("{provider} {}", round + 1) };
    (provider, jurisdiction.to_owned())
}

/// `count` loopback ports that are free now. Held all at once, so that no two are one.
///
/// # Errors
/// When loopback has no free port.
pub fn free_ports(count: usize) -> Result<Vec<u16>, Failure> {
    let bind = || TcpListener::bind(("127.0.0.1", 0));
    let held: Vec<TcpListener> = (0..count)
        .map(|_| bind())
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::io("no free loopback port", &e))?;
    held.iter()
        .map(|l| l.local_addr().map(|a| a.port()))
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::io("no free loopback port", &e))
}
