//! A LoRA run that is watched, and ended from outside: `cargo run --release --example observed_lora -- RECIPE [KEY=VALUE …]`.
//!
//! The observer prints every logged step and ends the run once the loss is below 0.5. What was trained until then is saved, and
//! `resume_from_checkpoint=true` goes on from there.

use std::path::Path;
use std::rc::Rc;

use async_trait::async_trait;
use rootstock::config::Recipe;
use rootstock::engine::Engine;
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::platform::{NativeDirectory, block_on, open_directory, parent_and_name};
use rootstock::train::{Event, Observer, Wish};
use rootstock::{Error, Paths, Result, Run};

/// The loss at which the run is good enough.
const ENOUGH: f64 = 0.5;

/// Prints the log, and remembers the newest loss.
struct Printer {
    loss: f64,
}

#[async_trait(?Send)]
impl Observer for Printer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(start) => println!("training {} of {} parameters", start.trainable, start.parameters),
            Event::Log(line) => {
                self.loss = line.loss;
                println!("step {:>4} of {}: loss {:.4}", line.current_steps, line.total_steps, line.loss);
            }
            Event::Saved(name) => println!("saved {name}"),
            _ => {}
        }
    }

    async fn between_steps(&mut self, _engine: &Engine, _done: u64) -> Result<Wish> {
        Ok(if self.loss < ENOUGH { Wish::Stop } else { Wish::GoOn })
    }
}

async fn train(recipe: &str, settings: &[String]) -> Result<()> {
    let (folder, name) = parent_and_name(Path::new(recipe));
    let recipe = Recipe::load(&open_directory(&folder)?, &name, settings).await?;
    let out = NativeDirectory::create(&recipe.output_dir)?;
    let gpu = Rc::new(Gpu::open(&DeviceChoice::default()).await?);
    let run = Run::open(recipe, &Paths).await?;
    match run.train(&gpu, &out, &mut Printer { loss: f64::INFINITY }).await {
        Ok(outcome) => println!("done: mean loss {:.4}", outcome.train_loss),
        Err(Error::Interrupted { reason }) => println!("good enough: {reason}"),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [recipe, settings @ ..] => block_on(train(recipe, settings)),
        [] => Err(Error::recipe("usage", "observed_lora RECIPE [KEY=VALUE …]")),
    }
}
