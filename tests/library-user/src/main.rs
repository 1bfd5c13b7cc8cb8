//! Trains a model directory on a data set: `library-user RECIPE OUTPUT_DIR`. The recipe names both.

use std::{path::Path, rc::Rc};

use rootstock::config::Recipe;
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::platform::{Directory, NativeDirectory, block_on, open_directory, parent_and_name};
use rootstock::train::{Job, Silent, carried_files, check_output, train};
use rootstock::{Error, Result, data, validate};

async fn run(recipe: &str, out: &str) -> Result<()> {
    let (folder, name) = parent_and_name(Path::new(recipe));
    let recipe = Recipe::load(&open_directory(&folder)?, &name, &[]).await?;
    std::fs::create_dir_all(out).map_err(|e| Error::file(out, e.to_string()))?;
    let out = NativeDirectory::new(out);
    check_output(&out, &recipe).await?;
    let model = validate::open(Rc::new(open_directory(Path::new(&recipe.model_name_or_path))?)).await?;
    let open = |path: &str| {
        let (folder, name) = parent_and_name(Path::new(path));
        Ok((Box::new(open_directory(&folder)?) as Box<dyn Directory>, name))
    };
    let data = data::prepare(&recipe, &model.tokenizer, model.checkpoint.config(), &open).await?;
    let carry = carried_files(&model.checkpoint, &model.tokenizer, recipe.stage).await?;
    let gpu = Rc::new(Gpu::open(&DeviceChoice::default()).await?);
    let (train_on, eval_on) = (&data.train.samples, &data.eval.samples);
    let job = Job { recipe: &recipe, gpu, checkpoint: &model.checkpoint, carry: &carry, train: train_on, eval: eval_on, out: &out };
    let outcome = train(&job, &mut Silent).await?;
    println!("{} steps, mean loss {:.3}", outcome.steps, outcome.train_loss);
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, recipe, out] = args.as_slice() else { panic!("usage: library-user RECIPE OUTPUT_DIR") };
    block_on(run(recipe, out))
}
