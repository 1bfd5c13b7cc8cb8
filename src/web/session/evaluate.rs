//! How well a model predicts data that it did not learn from.

use super::super::messages::{DataSource, HeldOutScore, Unit, Which};
use super::given::GivenData;
use super::{Boxed, Call, Session, data};
use crate::data::{Encoding, check_fits_model, encode_datasets};
use crate::error::Error;
use crate::train::Score;
use crate::workflow::Places;

/// Samples that are computed at a time, where the memory allows it.
const BATCH: usize = 8;
/// Samples of a run that are looked at: they tell models apart, and a large evaluation set would take longer than the merge.
const LOOKED_AT: usize = 64;

impl Session {
    /// Scores a model on data; samples are cut at `cutoff_len` tokens, or at what the model was made for.
    pub(super) fn evaluate<'a>(
        &'a self,
        which: Which,
        data: &'a DataSource,
        cutoff_len: Option<usize>,
        call: &'a Call,
    ) -> Boxed<'a, Score> {
        Box::pin(async move {
            let model = self.model_of(which, call).await?;
            let config = model.config();
            let files = self.data_files(&GivenData { data: data.clone(), evaluation: None, files: call.files.clone() }).await?;
            let name = files.names().join(", ");
            let how = Encoding::scoring(cutoff_len.unwrap_or(config.max_position_embeddings).max(2));
            let (open, mut watch) = (|path: &str| files.dataset(path), |at| call.reading(&files, at));
            let encoded = encode_datasets(files.names(), ".", &model.tokenizer, &how, &open, &mut watch).await?;
            check_fits_model(&name, &encoded.samples, config)?;
            let gpu = self.gpu().await?;
            call.progress("Evaluating", 0, Some(encoded.samples.len() as u64), Unit::Samples);
            model.score(&gpu, &encoded.samples, BATCH).await
        })
    }

    /// Scores a model on what a stored run held out, by its own data and settings; on what it learned from where it held nothing out.
    pub(super) fn held_out<'a>(&'a self, which: Which, id: &'a str, call: &'a Call) -> Boxed<'a, HeldOutScore> {
        Box::pin(async move {
            let model = self.model_of(which, call).await?;
            let (about, kept) = (self.about(id).await?, self.kept_data(id).await?);
            let files = self.data_files(&kept).await?;
            let recipe = data::recipe_for(&about.recipe, "m", &files)?;
            let prepared = model.prepare_watched(&recipe, &files, &mut |at| call.reading(&files, at)).await?;
            let held_out = !prepared.eval.samples.is_empty();
            let mut samples = if held_out { prepared.eval.samples } else { prepared.train.samples };
            if samples.iter().any(|sample| sample.feedback.is_some()) {
                return Err(Error::dataset(about.name, "its data are preferences, which have no loss of their own"));
            }
            samples.truncate(LOOKED_AT);
            let gpu = self.gpu().await?;
            call.progress("Evaluating", 0, Some(samples.len() as u64), Unit::Samples);
            let score = call.unless_cancelled("the evaluation", model.score(&gpu, &samples, BATCH)).await?;
            Ok(HeldOutScore { loss: score.loss, samples: samples.len(), held_out })
        })
    }
}
