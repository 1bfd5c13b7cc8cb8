//! A conversation as training sees it, token by token, with what a model expected in each place.

use super::super::messages::{ChatMessage, Likely, SeenToken, Settings, Unit, Which};
use super::{Call, Session, settings};
use crate::config::Recipe;
use crate::data::{Encoding, IGNORE, encode_records, read_records};
use crate::error::{Error, Result};
use crate::workflow::Responder;

/// What messages about the conversation call it.
const NAME: &str = "conversation.jsonl";
/// The most likeliest tokens that are told for a place.
const MOST: usize = 20;

impl Session {
    /// Looks at a conversation with a model. The settings say which tokens are learned, and how many there may be.
    pub(super) async fn look(
        &self,
        which: Which,
        messages: &[ChatMessage],
        settings: &Settings,
        likeliest: usize,
        call: &Call,
    ) -> Result<Vec<SeenToken>> {
        let recipe = settings::resolve(settings, &settings::nowhere())?;
        let (key, generation, mut talker) = self.take_talker(which, call).await?;
        let work = seen(&mut talker, messages, &recipe, likeliest.min(MOST), call);
        let seen = call.unless_cancelled("the look at the tokens", work).await;
        // What was cancelled may have left the caches half written.
        talker.generator.clear();
        self.put_back(key, generation, talker);
        seen
    }
}

async fn seen(talker: &mut Responder, messages: &[ChatMessage], recipe: &Recipe, likeliest: usize, call: &Call) -> Result<Vec<SeenToken>> {
    let line = serde_json::json!({ "messages": messages }).to_string();
    let records = read_records(NAME, line.as_bytes(), None)?;
    let encoded = encode_records(NAME, &records, &talker.tokenizer, &Encoding::training(recipe))?;
    let sample = encoded.samples.first().ok_or_else(|| Error::dataset(NAME, "nothing of it is left to learn"))?;
    let total = Some(sample.ids.len() as u64);
    let texts = talker.tokenizer.token_texts(&sample.ids)?;
    let labelled = texts.into_iter().zip(&sample.labels);
    let mut tokens: Vec<SeenToken> =
        labelled.map(|(text, label)| SeenToken { text, trained: *label != IGNORE, loss: None, likeliest: Vec::new() }).collect();
    let mut expected: Vec<Vec<(u32, f64)>> = vec![Vec::new()];
    let ids = &sample.ids;
    talker
        .generator
        .each_logits(ids, |at, row| {
            call.progress("Looking at every token", at as u64 + 1, total, Unit::Tokens);
            let Some(&next) = ids.get(at + 1) else { return };
            let told = probabilities(&row);
            tokens[at + 1].loss = Some(-told[next as usize].max(f64::MIN_POSITIVE).ln());
            expected.push(highest(told, likeliest));
        })
        .await?;
    for (token, expected) in tokens.iter_mut().zip(expected) {
        for (id, probability) in expected {
            let text = talker.tokenizer.token_texts(&[id])?.concat();
            token.likeliest.push(Likely { text, probability });
        }
    }
    Ok(tokens)
}

fn probabilities(logits: &[f32]) -> Vec<f64> {
    let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let mut all: Vec<f64> = logits.iter().map(|x| (f64::from(*x) - highest).exp()).collect();
    let sum: f64 = all.iter().sum();
    all.iter_mut().for_each(|p| *p /= sum);
    all
}

/// The tokens with the highest probabilities, the highest first; of equal ones the lower id.
fn highest(probabilities: Vec<f64>, count: usize) -> Vec<(u32, f64)> {
    let mut all: Vec<(u32, f64)> = (0..).zip(probabilities).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(count);
    all
}
