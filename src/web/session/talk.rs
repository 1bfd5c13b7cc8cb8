//! Chat with the base and the tuned model, and the loss of every token of a text.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_channel::oneshot;

use super::super::messages::{Answered, BaseSource, ChatMessage, Event, Run, Sampling, TokenLoss, Unit, Which};
use super::adapted::AdaptedModel;
use super::begun::began_with;
use super::steer::Question;
use super::{Call, Session};
use crate::adapter::is_adapter;
use crate::data::{Message, Tokenizer};
use crate::error::{Error, Result};
use crate::generate::{FinishReason, GeneratorOptions, SamplingOptions, context_limit, text_prompt};
use crate::platform::Directory;
use crate::workflow::{Fitted, Model, Responder};

/// Maximum length of a conversation in tokens, where the model's own limit is not lower.
const CONTEXT: usize = 2048;

/// The models loaded for chat, by key. A model that is answering is not in `idle`.
#[derive(Default)]
pub(super) struct Talkers {
    idle: RefCell<BTreeMap<Key, Responder>>,
    busy: RefCell<Vec<Key>>,
    /// Incremented whenever the loaded models become outdated.
    generation: std::cell::Cell<u64>,
}

/// Which model, and the stored run that it belongs to.
pub(super) type Key = (Which, Option<String>);

impl Session {
    /// Releases the models loaded for chat.
    pub(super) fn forget_talkers(&self) {
        self.talkers.idle.borrow_mut().clear();
        self.talkers.generation.set(self.talkers.generation.get() + 1);
    }

    /// Selects a stored run as the tuned model.
    pub(super) async fn choose_tuned(&self, id: &str) -> Result<Run> {
        let run = self.run(id).await?;
        self.kept_model(id).await?;
        self.forget_talkers();
        *self.tuned.borrow_mut() = Some(id.to_string());
        Ok(run)
    }

    /// The directory of the tuned model, or of the base that it was made from.
    pub(super) async fn directory_of(&self, which: Which, call: &Call) -> Result<Rc<dyn Directory>> {
        let tuned = self.tuned.borrow().clone();
        match (which, tuned) {
            (Which::Tuned, Some(id)) => self.kept_model(&id).await,
            (Which::Tuned, None) => Err(Error::out_of_turn("nothing is tuned yet; train, or choose a kept run")),
            (Which::Adapted, _) => Err(Error::out_of_turn("a base with adapters on it has no folder; merge the adapter for that")),
            (Which::Learning, _) => {
                Err(Error::out_of_turn("a model that is being trained can be asked questions; for more, end the run first"))
            }
            (Which::Base, None) => Ok(self.base()?.directory.clone()),
            (Which::Base, Some(id)) => {
                let about = self.about(&id).await?;
                let open = self.base.borrow().clone();
                let directory = match open.filter(|open| open.source == about.base) {
                    Some(open) => open.directory.clone(),
                    None if matches!(about.base, BaseSource::Files { .. }) => {
                        return Err(Error::file(
                            &about.base_name,
                            "the run was trained on this folder, which is not kept here: choose it again as the base",
                        ));
                    }
                    None => self.base_directory(&about.base, call).await?,
                };
                began_with(directory, &about.recipe).await
            }
        }
    }

    /// Opens a model, or adapters on top of their base without merging them.
    pub(super) async fn model_of(&self, which: Which, call: &Call) -> Result<Model> {
        let (base, adapters) = if which == Which::Adapted {
            let AdaptedModel { base, adapters, .. } = &*self.adapted()?;
            (base.clone(), adapters.clone())
        } else {
            let directory = self.directory_of(which, call).await?;
            if is_adapter(&*directory).await? {
                (self.directory_of(Which::Base, call).await?, vec![directory])
            } else {
                (directory, Vec::new())
            }
        };
        let mut model = Model::open(base).await?;
        // The adapter's own tokenizer files contain the chat template that it was trained with.
        if let Some(last) = adapters.last()
            && last.size("tokenizer.json").await?.is_some()
        {
            model.tokenizer = Rc::new(Tokenizer::load(&**last).await?);
        }
        model.with_adapters(adapters).await
    }

    /// Loads a model to answer with.
    async fn load_talker(&self, which: Which, call: &Call) -> Result<Responder> {
        let model = self.model_of(which, call).await?;
        let gpu = self.gpu().await?;
        call.progress("Loading the weights", 0, None, Unit::Bytes);
        let context = CONTEXT.min(context_limit(model.config(), gpu.profile()));
        model.responder(gpu, GeneratorOptions { context: Some(context), chunk: None }).await
    }

    /// Takes an idle model, or loads it.
    pub(super) async fn take_talker(&self, which: Which, call: &Call) -> Result<(Key, u64, Responder)> {
        let key = (which, self.tuned.borrow().clone());
        if self.talkers.busy.borrow().contains(&key) {
            return Err(Error::out_of_turn("this model is still answering; wait for it or stop it"));
        }
        let generation = self.talkers.generation.get();
        self.talkers.busy.borrow_mut().push(key.clone());
        let known = self.talkers.idle.borrow_mut().remove(&key);
        let talker = match known {
            Some(talker) => Ok(talker),
            None => self.load_talker(which, call).await,
        };
        if talker.is_err() {
            self.talkers.busy.borrow_mut().retain(|busy| *busy != key);
        }
        Ok((key, generation, talker?))
    }

    pub(super) fn put_back(&self, key: Key, generation: u64, talker: Responder) {
        self.talkers.busy.borrow_mut().retain(|busy| *busy != key);
        if generation == self.talkers.generation.get() {
            self.talkers.idle.borrow_mut().insert(key, talker);
        }
    }

    /// Generates an answer with a model.
    pub(super) async fn chat(&self, which: Which, messages: &[ChatMessage], sampling: &Sampling, call: &Call) -> Result<Answered> {
        if which == Which::Learning {
            return self.ask_learning(messages, sampling, call).await;
        }
        let (key, generation, mut talker) = self.take_talker(which, call).await?;
        let answered = answer(&mut talker, messages, sampling, call).await;
        self.put_back(key, generation, talker);
        answered
    }

    /// Has the run answer between two steps.
    async fn ask_learning(&self, messages: &[ChatMessage], sampling: &Sampling, call: &Call) -> Result<Answered> {
        let run = self.running.borrow().first().cloned().ok_or_else(|| Error::out_of_turn("no run goes on; ask the tuned model"))?;
        let (reply, answer) = oneshot::channel();
        run.ask(Question { messages: messages.to_vec(), sampling: sampling.clone(), call: call.clone(), reply });
        let ended = || Error::Interrupted { reason: "the run ended before the question was answered; ask the tuned model".into() };
        call.unless_cancelled("the question", async { answer.await.unwrap_or_else(|_| Err(ended())) }).await
    }

    /// Computes the loss of every token of a text.
    pub(super) async fn losses(&self, which: Which, text: &str, call: &Call) -> Result<Vec<TokenLoss>> {
        let (key, generation, mut talker) = self.take_talker(which, call).await?;
        let losses = call.unless_cancelled("the loss per token", losses(&mut talker, text, call)).await;
        // What was cancelled may have left the caches half written.
        talker.generator.clear();
        self.put_back(key, generation, talker);
        losses
    }
}

async fn answer(talker: &mut Responder, messages: &[ChatMessage], sampling: &Sampling, call: &Call) -> Result<Answered> {
    let Fitted { prompt, .. } = talker.fit(&messages_of(messages), sampling.max_new_tokens)?;
    let mut stream = talker.begin(&prompt, sampling_options(sampling), sampling.max_new_tokens).await?;
    let mut text = String::new();
    while !call.is_cancelled() {
        let Some(piece) = stream.next_text().await? else { break };
        if !piece.is_empty() {
            text.push_str(&piece);
            (call.emit)(Event::Text { text: piece });
        }
    }
    let rest = stream.rest()?;
    text.push_str(&rest);
    let finish = finish_word(stream.answer().finish_reason());
    let answer = stream.answer();
    Ok(Answered { text, tokens: answer.tokens().len(), tokens_per_second: answer.tokens_per_second(), finish: finish.into() })
}

pub(super) fn messages_of(messages: &[ChatMessage]) -> Vec<Message> {
    messages.iter().map(|m| Message::new(m.role.as_str(), m.content.as_str())).collect()
}

pub(super) fn sampling_options(sampling: &Sampling) -> SamplingOptions {
    SamplingOptions {
        greedy: sampling.temperature == 0.0,
        temperature: if sampling.temperature == 0.0 { 1.0 } else { sampling.temperature },
        top_p: sampling.top_p,
        seed: u64::from(sampling.seed),
        ..SamplingOptions::default()
    }
}

/// Why an answer ended, as messages say it; one that has not come to its end was cancelled.
pub(super) fn finish_word(reason: Option<FinishReason>) -> &'static str {
    match reason {
        Some(FinishReason::Stop) => "stop",
        Some(FinishReason::Length) => "length",
        Some(FinishReason::Context) => "context",
        None => "cancelled",
    }
}

async fn losses(talker: &mut Responder, text: &str, call: &Call) -> Result<Vec<TokenLoss>> {
    let mut ids = text_prompt(&talker.tokenizer, text)?;
    ids.truncate(talker.generator.context());
    let total = Some(ids.len() as u64);
    call.progress("Computing the loss of every token", 0, total, Unit::Tokens);
    let done = |done: usize| call.progress("Computing the loss of every token", done as u64, total, Unit::Tokens);
    let losses = talker.generator.losses_told(&ids, done).await?;
    let texts = talker.tokenizer.token_texts(&ids)?;
    let all = std::iter::once(None).chain(losses.into_iter().map(Some));
    Ok(texts.into_iter().zip(all).map(|(text, loss)| TokenLoss { text, loss }).collect())
}
