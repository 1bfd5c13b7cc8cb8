//! How well a model predicts data that it did not learn from.

use super::super::messages::{DataSource, Unit, Which};
use super::{Call, Session};
use crate::data::{Encoding, LoadedRecords, check_fits_model, encode_records, load_datasets};
use crate::error::Result;
use crate::train::Score;
use crate::workflow::Places;

/// Samples that are computed at a time, where the memory allows it.
const BATCH: usize = 8;

impl Session {
    /// Scores a model on data; samples are cut at `cutoff_len` tokens, or at what the model was made for.
    pub(super) async fn evaluate(&self, which: Which, data: &DataSource, cutoff_len: Option<usize>, call: &Call) -> Result<Score> {
        let model = self.model_of(which, call).await?;
        let config = model.config();
        let files = self.data_files(data, None).await?;
        let name = files.names().join(", ");
        call.progress("Reading the data", 0, None, Unit::Samples);
        let LoadedRecords { records, .. } = load_datasets(files.names(), ".", None, &|path| files.dataset(path)).await?;
        let cutoff_len = cutoff_len.unwrap_or(config.max_position_embeddings).max(2);
        let encoded = encode_records(&name, &records, &model.tokenizer, &Encoding::scoring(cutoff_len))?;
        check_fits_model(&name, &encoded.samples, config)?;
        let gpu = self.gpu().await?;
        call.progress("Evaluating", 0, Some(encoded.samples.len() as u64), Unit::Samples);
        model.score(&gpu, &encoded.samples, BATCH).await
    }
}
