//! Judges a model directory and prints what was found: `cargo run --release --example validate -- DIRECTORY`.

use std::path::Path;
use std::rc::Rc;

use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::platform::{block_on, open_directory};
use rootstock::validate::{Options, Verdict, validate};
use rootstock::{Error, Result};

async fn judge(directory: &str) -> Result<()> {
    // Without a device everything is judged but what the model computes.
    let gpu = Gpu::open(&DeviceChoice::default()).await.ok().map(Rc::new);
    let options = Options { gpu, ..Options::default() };
    let report = validate(Rc::new(open_directory(Path::new(directory))?), &options, &mut |_| {}).await?;
    for finding in &report.findings {
        println!("{finding}");
    }
    match report.verdict {
        Verdict::Ready => println!("{directory} is ready to be trained on"),
        Verdict::Repairable => println!("{directory} can be repaired: rootstock validate {directory} --fix NEW"),
        Verdict::Unusable => println!("{directory} cannot be used"),
    }
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [directory] => block_on(judge(directory)),
        _ => Err(Error::recipe("usage", "validate DIRECTORY")),
    }
}
