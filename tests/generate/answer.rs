//! Answers of the golden models: what they consist of, where they end, and whose weights they come from.

use std::collections::BTreeSet;

use rootstock::Error;
use rootstock::data::Batch;
use rootstock::engine::{Engine, EngineOptions, Method, Objective};
use rootstock::generate::{AnswerOptions, FinishReason, Generator, GeneratorOptions, SamplingOptions, estimate_sharing};
use rootstock::kernels::StepValues;
use rootstock::optim::Optimizer;
use rootstock::platform::block_on;

use super::likeliest;
use crate::golden::{difference, open};
use crate::kernels::gpu;

const PROMPT: [u32; 5] = [3, 11, 7, 40, 22];

fn greedy(max_new_tokens: usize) -> AnswerOptions {
    let sampling = SamplingOptions { greedy: true, ..SamplingOptions::default() };
    AnswerOptions { sampling, max_new_tokens, stop_ids: BTreeSet::new() }
}

async fn tokens(generator: &mut Generator, prompt: &[u32], options: AnswerOptions) -> (Vec<u32>, Option<FinishReason>) {
    let mut answer = generator.answer(prompt, options).await.expect("an answer");
    let mut tokens = Vec::new();
    while let Some(id) = answer.next_token().await.expect("a token") {
        tokens.push(id);
    }
    assert_eq!(answer.next_token().await, Ok(None), "an answer that has ended stays so");
    assert_eq!((answer.tokens(), answer.prompt_tokens()), (tokens.as_slice(), prompt.len()));
    (tokens, answer.finish_reason())
}

async fn load(name: &str, context: Option<usize>) -> Generator {
    let case = open(name).await;
    Generator::load(gpu(), &case.checkpoint, GeneratorOptions { context, chunk: Some(4) }).await.expect("a generator")
}

#[test]
fn greedy_answers_are_the_likeliest_tokens_of_the_whole_texts_logits() {
    for name in ["llama", "qwen3", "gemma3-softcap", "phi3-longrope-short", "mistral-sliding"] {
        block_on(async {
            let mut generator = load(name, None).await;
            let (answer, finish) = tokens(&mut generator, &PROMPT, greedy(14)).await;
            assert_eq!((answer.len(), finish), (14, Some(FinishReason::Length)));
            let text: Vec<u32> = PROMPT.iter().chain(&answer).copied().collect();
            let rows = generator.logits(&text).await.expect("logits");
            let want: Vec<u32> = rows[PROMPT.len() - 1..text.len() - 1].iter().map(|row| likeliest(row)).collect();
            assert_eq!(answer, want, "{name}");
        });
    }
}

#[test]
fn answers_end_where_they_should() {
    block_on(async {
        let mut generator = load("llama", Some(20)).await;
        let (all, finish) = tokens(&mut generator, &PROMPT, greedy(100)).await;
        assert_eq!((all.len(), finish), (15, Some(FinishReason::Context)));
        let (some, finish) = tokens(&mut generator, &PROMPT, greedy(3)).await;
        assert_eq!((some.as_slice(), finish), (&all[..3], Some(FinishReason::Length)));
        let stop = all[4];
        let until = all.iter().position(|id| *id == stop).expect("it is there");
        let options = AnswerOptions { stop_ids: BTreeSet::from([stop]), ..greedy(100) };
        let (some, finish) = tokens(&mut generator, &PROMPT, options).await;
        assert_eq!((some.as_slice(), finish), (&all[..until], Some(FinishReason::Stop)));
        assert_eq!(tokens(&mut generator, &PROMPT, greedy(0)).await, (vec![], Some(FinishReason::Length)));
    });
}

#[test]
fn the_seed_decides() {
    block_on(async {
        let mut generator = load("qwen2", None).await;
        let drawn =
            |seed| AnswerOptions { sampling: SamplingOptions { temperature: 1.5, seed, ..SamplingOptions::default() }, ..greedy(30) };
        let (first, _) = tokens(&mut generator, &PROMPT, drawn(7)).await;
        let (other, _) = tokens(&mut generator, &PROMPT, drawn(8)).await;
        assert_ne!(first, other);
        assert_eq!(tokens(&mut generator, &PROMPT, drawn(7)).await.0, first, "with warm caches");
        assert_eq!(tokens(&mut load("qwen2", None).await, &PROMPT, drawn(7)).await.0, first, "with cold ones");
    });
}

#[test]
fn prompts_that_cannot_be_are_refused() {
    block_on(async {
        let mut generator = load("llama", Some(20)).await;
        for (prompt, words) in [(vec![], "no token"), (vec![3; 20], "20 tokens"), (vec![3, 307], "token 307")] {
            match generator.answer(&prompt, greedy(5)).await.map(|_| ()) {
                Err(Error::Recipe { key, reason }) => assert!(key == "prompt" && reason.contains(words), "{reason}"),
                other => panic!("{prompt:?}: {other:?}"),
            }
        }
        let hot = AnswerOptions { sampling: SamplingOptions { temperature: -1.0, ..SamplingOptions::default() }, ..greedy(5) };
        assert!(matches!(generator.answer(&PROMPT, hot).await.map(|_| ()), Err(Error::Recipe { key, .. }) if key == "temperature"));
        let case = open("llama").await;
        for context in [0, 65] {
            let options = GeneratorOptions { context: Some(context), chunk: None };
            let refused = Generator::load(gpu(), &case.checkpoint, options).await.map(|_| ());
            assert!(matches!(refused, Err(Error::Recipe { key, .. }) if key == "context"), "{context}");
        }
    });
}

/// Samples in the middle of training: no second copy of the weights, and always the weights as they are now.
#[test]
fn a_generator_shares_the_weights_of_a_training_run() {
    block_on(async {
        let case = open("llama-tied-bias").await;
        let gpu = gpu();
        let options = EngineOptions {
            method: Method::Full,
            gradient_checkpointing: false,
            kept: None,
            sequence: 64,
            optimizer: Optimizer::default(),
            objective: Objective::default(),
        };
        let mut engine = Engine::load(gpu.clone(), &case.checkpoint, options).await.expect("an engine");
        let small = GeneratorOptions { context: Some(40), chunk: Some(4) };
        let before = gpu.allocated_bytes();
        let mut shared = Generator::sharing(&engine, small).await.expect("a generator");
        let own = gpu.allocated_bytes() - before;
        let row = 4 * engine.config.vocab_size.next_multiple_of(4) as u64; // read back, one at a time
        let params = &engine.runner.store.params;
        let planned = estimate_sharing(&engine.config, params, gpu.profile(), small).expect("a context that can be").peak_bytes() - row;
        assert!(planned.abs_diff(own) * 100 <= own, "{planned} bytes were planned and {own} allocated");
        let before = gpu.allocated_bytes();
        let mut alone = Generator::load(gpu.clone(), &case.checkpoint, small).await.expect("a generator");
        assert_eq!(own, gpu.allocated_bytes() - before - alone.weights_bytes(), "all but the weights is its own");
        let (a, b) = (shared.logits(&PROMPT).await.expect("logits"), alone.logits(&PROMPT).await.expect("logits"));
        assert_eq!(a, b, "the same weights, the same kernels, the same bits");

        let (untrained, _) = tokens(&mut shared, &PROMPT, greedy(20)).await;
        let batch = Batch::of(&case.samples.iter().collect::<Vec<_>>());
        let step = StepValues {
            loss_scale: 1.0 / batch.target_count() as f32,
            learning_rate: 0.05,
            bias_correction1: 10.0,
            bias_correction2: 1000.0,
            ..StepValues::default()
        };
        engine.micro_step(&batch, step).await.expect("a step");
        engine.update(&step).await.expect("an update");
        let (trained, _) = tokens(&mut shared, &PROMPT, greedy(20)).await;
        let text: Vec<u32> = PROMPT.iter().chain(&trained).copied().collect();
        let rows = shared.logits(&text).await.expect("logits");
        let want: Vec<u32> = rows[PROMPT.len() - 1..text.len() - 1].iter().map(|row| likeliest(row)).collect();
        assert_eq!(trained, want, "keys of the old weights were used");
        assert!(difference(&rows[0], &b[0]) > 0.1, "a step of that size changes the logits");
        assert_ne!(trained, untrained);
    });
}
