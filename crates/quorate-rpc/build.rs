//! Compiles `proto/` with protox, so that no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 6] = ["audit", "ceremony", "client", "node", "order", "types"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = FILES.map(|name| root.join(format!("quorate/v1/{name}.proto")));

    // For reflection: with comments, so that a person who lists the services can read them.
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("quorate.v1.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .codec_path("crate::codec::ProtoCodec")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
