//! A reward model's value head: where a run begins with it, and its way from a checkpoint to the engine.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use crate::checkpoint::{Checkpoint, ParamSource, VALUE_HEAD, ValueHead};
use crate::config::Recipe;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::plan::Part;
use crate::platform::Directory;
use crate::random::Random;

/// Keeps its random numbers apart from those of adapters and of the samples' order.
const STREAM: u64 = 0x7661_6c75 << 32;

/// The model of a run of stage rm: with the value head of the adapter that is trained on (the last), else that of its own directory, else with
/// a new one, as `torch.nn.Linear` begins (uniform within ±1/√hidden_size).
///
/// # Errors
/// [`Error::File`] where nothing is trained and there is no value head; what reading one fails with.
pub async fn with_value_head(checkpoint: Checkpoint, adapters: &[Rc<dyn Directory>], recipe: &Recipe) -> Result<Checkpoint> {
    let directory = adapters.last().unwrap_or(checkpoint.directory()).clone();
    let hidden_size = checkpoint.config().hidden_size;
    let head = match ValueHead::find(&directory, hidden_size).await? {
        Some(head) => head,
        None if recipe.do_train => new(hidden_size, recipe.seed).await?,
        None => {
            return Err(Error::file(
                directory.label(),
                format!(
                    "there is no {VALUE_HEAD} here, so this is no reward model and judges no answers; give the result of a run of stage: rm"
                ),
            ));
        }
    };
    checkpoint.with_value_head(&head)
}

async fn new(hidden_size: usize, seed: u64) -> Result<ValueHead> {
    let mut random = Random::new(seed ^ STREAM, 0);
    let bound = 1.0 / (hidden_size.max(1) as f64).sqrt();
    let mut number = || ((2.0 * random.unit() - 1.0) * bound) as f32;
    let weight: Vec<f32> = (0..hidden_size).map(|_| number()).collect();
    ValueHead::of(&weight, number()).await
}

/// Where the engine's value head is among its parameters, if it has one.
fn first(engine: &Engine) -> Option<usize> {
    engine.declarations[..engine.base_count].iter().position(|declaration| declaration.in_value_head())
}

/// The value head of a checkpoint of an engine that trains one.
///
/// # Errors
/// [`Error::File`] where it is missing; what reading it fails with.
pub(super) async fn of(engine: &Engine, directory: &Rc<dyn Directory>) -> Result<Option<ValueHead>> {
    if first(engine).is_none() {
        return Ok(None);
    }
    let head = ValueHead::find(directory, engine.config.hidden_size).await?;
    let missing = || Error::file(directory.label(), format!("there is no {VALUE_HEAD} here, which a checkpoint of stage rm has"));
    head.ok_or_else(missing).map(Some)
}

/// Brings the value head of a checkpoint to the engine, where it trains one.
///
/// # Errors
/// As [`of`].
pub(super) async fn load(engine: &Engine, directory: &Rc<dyn Directory>) -> Result<()> {
    let (Some(head), Some(first)) = (of(engine, directory).await?, first(engine)) else { return Ok(()) };
    let source = AtPlace { head: &head, first };
    for index in first..engine.base_count {
        engine.load_one(index, Part::Weights, &source).await?;
    }
    Ok(())
}

/// A value head, counted as the engine's declarations are.
struct AtPlace<'a> {
    head: &'a ValueHead,
    first: usize,
}

#[async_trait(?Send)]
impl ParamSource for AtPlace<'_> {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        self.head.read_rows(param - self.first, rows).await
    }
}
