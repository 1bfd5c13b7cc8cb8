//! The model, which answers one request after the other.

use std::sync::Arc;
use std::time::Instant;

use rootstock::error::on_one_line;
use rootstock::generate::{CallReader, FinishReason, Stops, request_prompt, text_prompt};
use rootstock::workflow::Responder;
use rootstock::{Error, Result};

use super::fault::Fault;
use super::queue::{End, Event, Job, Queue};
use super::request::Prompt;
use crate::cli::console::{Console, count};

/// Tokens of a prompt that are computed between two looks at whether the client is still there.
const PIECE: usize = 512;

/// The loaded model and where its work comes from.
pub(super) struct Worker {
    pub(super) responder: Responder,
    pub(super) queue: Arc<Queue>,
    pub(super) console: Console,
}

/// Why an answer did not come to its end.
enum Stopped {
    /// The client is gone.
    Left,
    Refused(Fault),
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Stopped {
        Stopped::Failed(error)
    }
}

/// Tells the client and returns what is said of it here.
fn refuse(job: &Job, fault: Fault) -> String {
    let said = format!("refused: {}", on_one_line(&fault.sentence));
    job.tell(Event::Failed(fault));
    said
}

impl Worker {
    /// Answers for as long as the device works.
    ///
    /// # Errors
    /// [`Error::Gpu`] and [`Error::Device`]: the device failed, so that the program has to be started anew.
    pub(super) async fn run(mut self) -> Result<()> {
        loop {
            let job = self.queue.pop();
            let begun = Instant::now();
            let said = match self.answer(&job).await {
                Ok(end) => {
                    let said = format!(
                        "{} of prompt, {} of answer, {:.1} s, {}",
                        count(end.prompt_tokens, "token"),
                        count(end.completion_tokens, "token"),
                        begun.elapsed().as_secs_f64(),
                        end.reason
                    );
                    job.tell(Event::Done(end));
                    said
                }
                Err(Stopped::Left) => format!("the client left after {:.1} s", begun.elapsed().as_secs_f64()),
                Err(Stopped::Failed(error @ (Error::Gpu { .. } | Error::Device { .. }))) => {
                    job.tell(Event::Failed(Fault::of(&error)));
                    job.events.closed().await; // the client has its answer
                    return Err(error);
                }
                Err(Stopped::Failed(error)) => refuse(&job, Fault::of(&error)),
                Err(Stopped::Refused(fault)) => refuse(&job, fault),
            };
            self.console.say(&said);
        }
    }

    /// Writes an answer.
    async fn answer(&mut self, job: &Job) -> std::result::Result<End, Stopped> {
        let Worker { responder, .. } = self;
        let tokenizer = responder.tokenizer.clone();
        let ask = &job.ask;
        let prompt = match &ask.prompt {
            Prompt::Chat(conversation, variables) => request_prompt(&tokenizer, conversation, variables)?,
            Prompt::Text(text) => text_prompt(&tokenizer, text)?,
            Prompt::Tokens(ids) => ids.clone(),
        };
        let (length, context) = (prompt.len(), responder.generator.context());
        if length >= context {
            let sentence = format!(
                "the prompt has {length} tokens, which leaves no room for an answer in this server's context of {context}; shorten it, or \
                 start the server with a longer --context"
            );
            let param = if matches!(ask.prompt, Prompt::Chat(..)) { "messages" } else { "prompt" };
            return Err(Stopped::Refused(Fault::bad(param, sentence).coded("context_length_exceeded")));
        }
        for end in (PIECE..length).step_by(PIECE) {
            if job.is_left() {
                return Err(Stopped::Left);
            }
            responder.generator.next_logits(&prompt[..end]).await?;
        }
        let tools = if let Prompt::Chat(conversation, _) = &ask.prompt { conversation.tools.as_slice() } else { &[] };
        let (mut stops, mut calls) = (Stops::new(ask.stop.iter().cloned()), CallReader::new(tools));
        let tell = |text: String| {
            if !text.is_empty() {
                job.tell(Event::Text(text));
            }
        };
        let mut answer = responder.begin(&prompt, ask.sampling.clone(), ask.max_new_tokens).await?;
        job.tell(Event::Begun);
        if ask.echo {
            tell(if let Prompt::Text(text) = &ask.prompt { text.clone() } else { tokenizer.decode(&prompt, false)? });
        }
        while !stops.found() {
            if job.is_left() {
                return Err(Stopped::Left);
            }
            let Some(piece) = answer.next_text().await? else { break };
            tell(calls.push(&stops.push(&piece)));
        }
        tell(calls.push(&stops.finish()));
        let (rest, calls) = calls.finish();
        tell(rest);
        let answer = answer.answer();
        let reason = match answer.finish_reason() {
            _ if !calls.is_empty() => "tool_calls",
            Some(FinishReason::Length | FinishReason::Context) => "length",
            Some(FinishReason::Stop) | None => "stop",
        };
        Ok(End { reason, calls, prompt_tokens: length, completion_tokens: answer.tokens().len() })
    }
}
