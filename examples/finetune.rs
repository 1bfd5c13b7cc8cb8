//! Fine-tunes all parameters of a model directory: `cargo run --release --example finetune -- MODEL DATASET OUT [KEY=VALUE …]`.
//!
//! OUT becomes a complete model that transformers loads, and that can be the base of a LoRA run.

use std::rc::Rc;

use rootstock::config::Recipe;
use rootstock::gpu::{DeviceChoice, Gpu, human_bytes};
use rootstock::platform::{NativeDirectory, block_on};
use rootstock::train::Silent;
use rootstock::{Error, Paths, Result, Run};

async fn finetune(model: &str, dataset: &str, out: &str, settings: &[String]) -> Result<()> {
    let recipe = format!(
        "model_name_or_path: {model}\ndataset: {dataset}\noutput_dir: {out}\nfinetuning_type: full\nlearning_rate: 1.0e-4\n\
         num_train_epochs: 1\nper_device_train_batch_size: 4"
    );
    let recipe = Recipe::parse("finetune", &recipe, settings)?;
    let gpu = Rc::new(Gpu::open(&DeviceChoice::default()).await?);
    let run = Run::open(recipe, &Paths).await?;
    let planned = run.plan(gpu.profile()).await?;
    println!("{} steps, {} of GPU memory", planned.loader.total_steps(), human_bytes(planned.memory.peak_bytes()));
    let outcome = planned.train(&gpu, &NativeDirectory::create(out)?, &mut Silent).await?;
    println!("mean loss {:.4} over {} steps", outcome.train_loss, outcome.steps);
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [model, dataset, out, settings @ ..] => block_on(finetune(model, dataset, out, settings)),
        _ => Err(Error::recipe("usage", "finetune MODEL DATASET OUT [KEY=VALUE …]")),
    }
}
