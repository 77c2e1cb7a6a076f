//! Writes what a fuzzer cannot guess into `corpus/seeds`: every format that the tests have pinned,
//! and ceremonies that succeed. Each target reads all of them; the others' are hostile bytes to it.

use quorate_fuzz::ceremony;
use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let seeds = here.join("corpus/seeds");
    fs::create_dir_all(&seeds)?;
    for of in ["types", "ceremony"] {
        let snapshots = here.join(format!("../crates/quorate-{of}/tests/snapshots"));
        for entry in fs::read_dir(snapshots)? {
            let path = entry?.path();
            let name = path.file_stem().ok_or(io::ErrorKind::InvalidData)?;
            fs::write(seeds.join(name), bytes(&fs::read_to_string(&path)?)?)?;
        }
    }
    for (at, run) in ceremony::runs().enumerate() {
        fs::write(seeds.join(format!("ceremony-{at}")), run)?;
    }
    Ok(())
}

fn bytes(text: &str) -> io::Result<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let pair = str::from_utf8(pair).map_err(io::Error::other)?;
        u8::from_str_radix(pair, 16).map_err(io::Error::other)
    };
    digits.chunks(2).map(byte).collect()
}
