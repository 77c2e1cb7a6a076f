//! Encrypts a file and decrypts it again, in constant memory:
//! `cargo run --example encrypt_file -- HOME KEY FILE`

use quorate_client::{Client, EncryptionContext};
use std::{error::Error, fs::File};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [home, key, file] = &args[..] else {
        return Err("usage: encrypt_file HOME KEY FILE".into());
    };
    let (sealed, opened) = (format!("{file}.quorate"), format!("{file}.opened"));
    let client = Client::open(home)?;
    let context = EncryptionContext::default();

    let key = client.key(key).await?;
    let bytes = key.encrypt_stream(File::open(file)?, File::create(&sealed)?, &context)?;
    println!("{sealed}: {bytes} bytes sealed");

    // The file is whole only if this returns `Ok`.
    let output = File::create(&opened)?;
    let streamed = client.decrypt_stream(File::open(&sealed)?, output, &context).await?;
    let nodes: Vec<String> = streamed.report.nodes.iter().map(ToString::to_string).collect();
    println!("{opened}: opened with {}", nodes.join(", "));
    Ok(())
}
