//! Decrypts many small ciphertexts in one request: `cargo run --example batch -- HOME KEY`

use quorate_client::{Client, EncryptionContext};
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [home, key] = &args[..] else {
        return Err("usage: batch HOME KEY".into());
    };
    let client = Client::open(home)?;
    let context = EncryptionContext::new([("table".into(), "salaries".into())].into())?;

    let key = client.key(key).await?;
    let rows: Vec<Vec<u8>> = (0..256)
        .map(|i| key.encrypt(format!("row {i}").as_bytes(), &context))
        .collect::<Result<_, _>>()?;

    let results = client.decrypt_batch(&rows, &context).await?;
    let opened = results.iter().filter(|r| r.is_ok()).count();
    println!("{opened} of {} rows opened", rows.len());
    for (i, error) in results.iter().enumerate().filter_map(|(i, r)| Some((i, r.as_ref().err()?))) {
        println!("row {i}: {error}");
    }
    Ok(())
}
