//! What lessons ask of the worker: a conversation token by token, adapters in any strength, a change cut to a rank, a shape's memory.

use super::*;
use rootstock::web::messages::{AdapterPart, RunMethod, SeenToken};

fn conversation(question: &str, answer: &str) -> Vec<ChatMessage> {
    [("user", question), ("assistant", answer)].map(|(role, content)| ChatMessage { role: role.into(), content: content.into() }).to_vec()
}

fn look(page: &Page, which: Which, settings: &Settings) -> Vec<SeenToken> {
    let messages = conversation("Who keeps the bees?", "Lena does.");
    match page.call(Request::Look { which, messages, recipe: settings.clone(), likeliest: 3 }) {
        Reply::Seen(seen) => seen,
        other => panic!("{other:?}"),
    }
}

/// Losses of a model over the same conversation, to compare models with.
fn losses_of(page: &Page, which: Which) -> Vec<f64> {
    look(page, which, &recipe(&[])).into_iter().filter_map(|token| token.loss).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn trained(page: &Page, settings: &Settings) -> String {
    page.prepare(settings);
    let request = Request::Train { recipe: settings.clone(), samples: no_samples(), beside: false };
    match page.call(request) {
        Reply::Ended(ended) if ended.finished => ended.run.id,
        other => panic!("{other:?}"),
    }
}

fn lora(rank: f64) -> Settings {
    let mut settings = recipe(&[("lora_rank", rank), ("learning_rate", 1e-2)]);
    settings.insert("finetuning_type".into(), SettingValue::Text("lora".into()));
    settings
}

#[test]
fn a_conversation_is_looked_at_as_training_sees_it() {
    let page = Page::new();
    page.open();
    let seen = look(&page, Which::Base, &recipe(&[]));
    let text = |learned: bool| seen.iter().filter(|t| t.trained == learned).map(|t| t.text.as_str()).collect::<String>();
    assert!(text(true).contains("Lena does.") && !text(true).contains("bees"), "{:?}", text(true));
    assert!(text(false).contains("Who keeps the bees?"), "{:?}", text(false));
    assert!(seen[0].loss.is_none() && seen[0].likeliest.is_empty(), "nothing comes before the first");

    // The same text without the roles' eyes gives the same losses.
    let whole: String = seen.iter().map(|t| t.text.as_str()).collect();
    let Reply::Losses(plain) = page.call(Request::Losses { which: Which::Base, text: whole }) else { panic!("no losses") };
    let plain: Vec<f64> = plain.into_iter().filter_map(|t| t.loss).collect();
    let here: Vec<f64> = seen.iter().filter_map(|t| t.loss).collect();
    assert!(distance(&here, &plain) < 1e-5, "{here:?} {plain:?}");
    for token in &seen[1..] {
        let [first, second, third] = token.likeliest.as_slice() else { panic!("{token:?}") };
        assert!(first.probability >= second.probability && second.probability >= third.probability, "{token:?}");
        let own = (-token.loss.unwrap_or(f64::NAN)).exp();
        assert!(own <= first.probability + 1e-9, "nothing is likelier than the likeliest: {token:?}");
        if let Some(same) = token.likeliest.iter().find(|l| l.text == token.text) {
            assert!((same.probability - own).abs() < 1e-9, "the loss is -ln of the probability: {token:?}");
        }
    }

    // Another mask learns the question as well.
    let mut whole = recipe(&[]);
    whole.insert("train_on_prompt".into(), SettingValue::Flag(true));
    let all = look(&page, Which::Base, &whole);
    assert!(all.iter().filter(|t| t.trained).count() > seen.iter().filter(|t| t.trained).count() + 4, "{all:?}");
    let short = Request::Look { which: Which::Base, messages: conversation("Who?", "")[..1].to_vec(), recipe: recipe(&[]), likeliest: 1 };
    assert!(!page.fault(short).is_empty(), "a question alone teaches nothing");
}

#[test]
fn an_adapter_is_put_on_the_base_in_any_strength() {
    let page = Page::new();
    page.open();
    let (first, second) = (trained(&page, &lora(4.0)), trained(&page, &lora(2.0)));
    let adapt = |parts: &[(&str, f64)]| {
        let parts = parts.iter().map(|(id, strength)| AdapterPart { id: (*id).into(), strength: *strength }).collect();
        Request::Adapt { parts }
    };
    assert!(page.fault(Request::Losses { which: Which::Adapted, text: "a b".into() }).contains("put one on it first"));
    page.call(Request::Tuned { id: first.clone() });
    let (base, tuned) = (losses_of(&page, Which::Base), losses_of(&page, Which::Tuned));
    assert!(distance(&base, &tuned) > 1e-3);
    let of = |parts: &[(&str, f64)]| {
        assert_eq!(page.call(adapt(parts)), Reply::Notes(Vec::new()));
        losses_of(&page, Which::Adapted)
    };
    assert!(distance(&of(&[(&first, 1.0)]), &tuned) < 1e-6, "as it was trained");
    assert!(distance(&of(&[(&first, 0.0)]), &base) < 1e-6, "nothing of it");
    assert!(distance(&of(&[]), &base) < 1e-6, "none");
    let (half, double) = (of(&[(&first, 0.5)]), of(&[(&first, 2.0)]));
    assert!(distance(&half, &base) > 1e-4 && distance(&half, &tuned) > 1e-4 && distance(&double, &tuned) > 1e-3);
    // Twice a half is the whole.
    assert!(distance(&of(&[(&first, 0.5), (&first, 0.5)]), &tuned) < 1e-4);
    assert!(distance(&of(&[(&first, 1.0), (&second, 1.0)]), &tuned) > 1e-3, "the second adds something");
    // Merged, it is the same model for good.
    let stacked = of(&[(&first, 0.5), (&second, 1.0)]);
    let Reply::Run(merged) = page.call(Request::Merge { adapted: true }) else { panic!("not merged") };
    assert!(merged.method == RunMethod::Merge && merged.model && merged.usable && merged.name.contains(" and "), "{merged:?}");
    page.call(Request::Tuned { id: merged.id });
    assert!(distance(&losses_of(&page, Which::Tuned), &stacked) < 0.1 * distance(&stacked, &base), "rounded to the base's type");
    of(&[]);
    assert!(page.fault(Request::Merge { adapted: true }).contains("no kept adapter"));
    of(&[(&first, 1.0), (&second, 1.0)]);
    let Reply::Answered(answered) = page.call(Request::Chat {
        which: Which::Adapted,
        messages: conversation("Who sings?", "")[..1].to_vec(),
        sampling: Sampling { temperature: 0.0, top_p: 1.0, max_new_tokens: 4, seed: 1 },
    }) else {
        panic!("no answer")
    };
    assert!(answered.tokens > 0);
    assert!(page.fault(adapt(&[(&first, -1.0)])).contains("from 0 to"));
    assert!(page.fault(adapt(&[("lora-0", 1.0)])).contains("nothing of this name"));

    // On a base that it was not trained on it says so.
    let full = trained(&page, &recipe(&[]));
    page.call(Request::Open { source: BaseSource::Run { id: full.clone() } });
    let Reply::Notes(notes) = page.call(adapt(&[(&first, 1.0)])) else { panic!("no notes") };
    assert!(notes.len() == 1 && notes[0].contains("other weights") && !notes[0].contains("kept/"), "{notes:?}");
    assert!(page.fault(adapt(&[(&full, 1.0)])).contains("whole model"));
    let Reply::Runs(runs) = page.call(Request::Runs) else { panic!("no runs") };
    assert!(runs.iter().any(|run| run.id == full && run.method == RunMethod::Full));
}

#[test]
fn a_change_is_cut_to_a_rank() {
    let page = Page::new();
    page.open();
    trained(&page, &recipe(&[]));
    let (base, tuned) = (losses_of(&page, Which::Base), losses_of(&page, Which::Tuned));
    let cut = |rank: usize| match page.call(Request::Truncate { rank }) {
        Reply::Truncated(cut) => (cut, losses_of(&page, Which::Adapted)),
        other => panic!("{other:?}"),
    };
    let ((low, few), (high, many)) = (cut(1), cut(32));
    assert!(low.energy > 0.0 && low.energy < high.energy && high.energy <= 1.0 + 1e-9, "{low:?} {high:?}");
    assert!(low.parameters < high.parameters && low.bytes == 4 * low.parameters, "{low:?} {high:?}");
    assert!(distance(&many, &tuned) < distance(&few, &tuned), "more of it is nearer");
    assert!(distance(&few, &base) > 0.0);
    assert!(page.fault(Request::Truncate { rank: 0 }).contains("lowest"));
    trained(&page, &lora(2.0));
    assert!(page.fault(Request::Truncate { rank: 1 }).contains("adapter"));
}

#[test]
fn the_memory_of_a_shape_is_the_plan_of_a_run() {
    let page = Page::new();
    page.open();
    let config = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/embedded-model/config.json")).expect("it is there");
    let shape = |settings: &Settings, tokens: usize| {
        let request = Request::ShapeMemory { config: config.clone(), recipe: settings.clone(), tokens };
        match page.call(request) {
            Reply::ShapeMemory(found) => found,
            other => panic!("{other:?}"),
        }
    };
    let quantised: Settings = lora(4.0).into_iter().chain([("quantization_bit".to_string(), SettingValue::Number(4.0))]).collect();
    for settings in [recipe(&[]), lora(4.0), quantised] {
        page.prepare(&settings);
        let Reply::Estimate(estimate) = page.call(Request::Estimate { recipe: settings.clone(), samples: None }) else { panic!("none") };
        // The longest sample of the four has 20 tokens or so, the batch has two of them.
        let found = shape(&settings, 20);
        assert_eq!((found.parameters, found.trainable), (estimate.parameters, estimate.trainable));
        assert_eq!((found.memory.weights, found.memory.optimizer), (estimate.memory.weights, estimate.memory.optimizer));
        assert!(shape(&settings, 200).memory.activations > found.memory.activations);
    }
    let request = Request::ShapeMemory { config: "{}".into(), recipe: recipe(&[]), tokens: 20 };
    assert!(page.fault(request).contains("model_type"));
    let request = Request::ShapeMemory { config, recipe: recipe(&[]), tokens: 0 };
    assert!(page.fault(request).contains("tokens"));
}
