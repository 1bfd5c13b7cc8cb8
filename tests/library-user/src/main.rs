//! Trains a model directory on a data set: `library-user RECIPE`. The recipe names model, data and output directory.

use std::{path::Path, rc::Rc};

use rootstock::config::Recipe;
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::platform::{NativeDirectory, block_on, open_directory, parent_and_name};
use rootstock::{Paths, Result, Run, train::Silent};

async fn train(recipe: &str) -> Result<()> {
    let (folder, name) = parent_and_name(Path::new(recipe));
    let recipe = Recipe::load(&open_directory(&folder)?, &name, &[]).await?;
    let out = NativeDirectory::create(&recipe.output_dir)?;
    let gpu = Rc::new(Gpu::open(&DeviceChoice::default()).await?);
    let outcome = Run::open(recipe, &Paths).await?.train(&gpu, &out, &mut Silent).await?;
    println!("{} steps, mean loss {:.3}", outcome.steps, outcome.train_loss);
    Ok(())
}

fn main() -> Result<()> {
    block_on(train(&std::env::args().nth(1).expect("usage: library-user RECIPE")))
}
