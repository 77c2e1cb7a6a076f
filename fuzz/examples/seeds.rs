//! Writes what a fuzzer cannot guess into the corpora: every format that the tests have pinned, for
//! each decoder (the others' formats are hostile bytes to it), and recorded runs for the member.

use quorate_fuzz::ceremony;
use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut formats = Vec::new();
    for of in ["types", "ceremony"] {
        let snapshots = here.join(format!("../crates/quorate-{of}/tests/snapshots"));
        for entry in fs::read_dir(snapshots)? {
            formats.push(bytes(&fs::read_to_string(entry?.path())?)?);
        }
    }
    for entry in fs::read_dir(here.join("fuzz_targets"))? {
        let target = entry?.path();
        let target = target.file_stem().ok_or(io::ErrorKind::InvalidData)?;
        let corpus = here.join("corpus").join(target);
        if target == "ceremony" {
            write(&corpus, ceremony::runs())?;
        } else {
            write(&corpus, formats.iter().cloned())?;
        }
    }
    Ok(())
}

fn write(corpus: &Path, seeds: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    fs::create_dir_all(corpus)?;
    for (at, seed) in seeds.enumerate() {
        fs::write(corpus.join(format!("seed-{at}")), seed)?;
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
