//! Adds a LoRA adapter to its base: `cargo run --release --example merge -- BASE ADAPTER OUT`. OUT becomes a model of its own.

use rootstock::platform::{NativeDirectory, block_on};
use rootstock::{Error, Model, Paths, Places, Result, write_merged};

async fn merge(base: &str, adapter: &str, out: &str) -> Result<()> {
    let model = Model::open(Paths.directory(base).await?).await?;
    let adapted = model.with_adapters(vec![Paths.directory(adapter).await?]).await?;
    let dtype = write_merged(&adapted.checkpoint, &adapted.adapters, None, &NativeDirectory::create(out)?).await?;
    // Opened again, it is judged like any other model.
    let merged = Model::open(Paths.directory(out).await?).await?;
    println!("{out}: {} parameters in {dtype}", merged.parameters());
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [base, adapter, out] => block_on(merge(base, adapter, out)),
        _ => Err(Error::recipe("usage", "merge BASE ADAPTER OUT")),
    }
}
