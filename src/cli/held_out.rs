//! Samples that a model is scored on.

use clap::Args;
use rootstock::data::{Encoding, LoadedRecords, Sample, check_fits_model, encode_records, load_datasets};
use rootstock::platform::open_beside;
use rootstock::{Model, Result};

use super::console::{Console, count};

/// The options that name them.
#[derive(Debug, Args)]
pub(super) struct HeldOutArgs {
    /// A .jsonl, .json or .txt file, or a name in the dataset_info.json of --dataset-dir
    #[arg(long, value_name = "FILE")]
    pub(super) dataset: Vec<String>,
    /// Where dataset_info.json lies
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(super) dataset_dir: String,
    /// Cut samples after so many tokens [default: as many as the model was made for]
    #[arg(long, value_name = "TOKENS")]
    pub(super) cutoff_len: Option<usize>,
}

impl HeldOutArgs {
    /// Reads and tokenises them for a model; says what they are.
    ///
    /// # Errors
    /// What is wrong with the data, with file and line.
    pub(super) async fn samples(&self, model: &Model, console: Console) -> Result<Vec<Sample>> {
        let config = model.config();
        let LoadedRecords { records, notices } = load_datasets(&self.dataset, &self.dataset_dir, None, &open_beside).await?;
        let name = self.dataset.join(", ");
        let cutoff_len = self.cutoff_len.unwrap_or(config.max_position_embeddings).max(2);
        let encoded = encode_records(&name, &records, &model.tokenizer, &Encoding::scoring(cutoff_len))?;
        check_fits_model(&name, &encoded.samples, config)?;
        console.say(&format!("dataset  {name} ({}, {})", count(encoded.samples.len(), "sample"), count(encoded.tokens(), "token")));
        console.notes(&notices);
        console.notes(&encoded.notices);
        Ok(encoded.samples)
    }
}
