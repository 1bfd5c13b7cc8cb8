//! Runs that change the model before their first step: more tokens, weights at random.

use super::*;

fn leaves() -> DataSource {
    let line = "{\"instruction\": \"What falls?\", \"output\": \"<leaf> and <|twig|>\"}\n";
    DataSource::Files { files: vec![typed("leaves.jsonl", &line.repeat(4))] }
}

fn with_tokens(method: &str, more: &[(&str, f64)]) -> Settings {
    let mut settings = recipe(more);
    let texts = [("finetuning_type", method), ("add_tokens", "<leaf>"), ("add_special_tokens", "<|twig|>")];
    settings.extend(texts.map(|(name, value)| (name.to_string(), SettingValue::Text(value.into()))));
    settings
}

fn prepare(page: &Page, settings: &Settings) -> rootstock::web::messages::Preview {
    let request = Request::Prepare { data: leaves(), evaluation: None, recipe: settings.clone(), first: 0, count: 1 };
    let Reply::Preview(preview) = page.call(request) else { panic!("no preview") };
    preview
}

fn train(page: &Page, settings: &Settings, stop_at: Option<u64>) -> (rootstock::web::messages::Ended, Vec<(u64, u64)>) {
    let session = page.session.clone();
    let on = move |event: &Event| {
        if matches!(event, Event::Step { line } if Some(line.current_steps) == stop_at) {
            let _ = block_on(session.handle(Request::Stop, Call::new(2, None, Rc::new(|_| {}))));
        }
    };
    let request = Request::Train { recipe: settings.clone(), samples: no_samples(), beside: false };
    let (reply, events) = page.try_call(request, on).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(ended) = reply else { panic!("{reply:?}") };
    (ended, losses(&events))
}

fn token_losses(page: &Page, which: Which) -> Vec<f64> {
    match page.call(Request::Losses { which, text: "<leaf> and <|twig|>".into() }) {
        Reply::Losses(losses) => losses.into_iter().filter_map(|token| token.loss).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn new_tokens_are_learned_and_the_result_knows_them() {
    let page = Page::new();
    page.open();
    let settings = with_tokens("full", &[("learning_rate", 1e-2)]);
    let preview = prepare(&page, &settings);
    let learned: Vec<&str> = preview.shown[0].tokens.iter().filter(|token| token.trained).map(|token| token.text.as_str()).collect();
    assert!(learned.contains(&"<leaf>") && learned.contains(&"<|twig|>"), "each is one token: {learned:?}");
    assert!(preview.notices.iter().any(|notice| notice.contains("2 of them new")), "{:?}", preview.notices);
    let Reply::Estimate(estimate) = page.call(Request::Estimate { recipe: settings.clone(), samples: None }) else { panic!("no estimate") };
    let plain = prepare(&page, &recipe(&[]));
    assert!(plain.shown[0].tokens.len() > preview.shown[0].tokens.len(), "without the keys they are several tokens");
    let Reply::Estimate(smaller) = page.call(Request::Estimate { recipe: recipe(&[]), samples: None }) else { panic!("no estimate") };
    assert!(estimate.parameters > smaller.parameters, "the embedding has more rows");
    prepare(&page, &settings);
    let (ended, steps) = train(&page, &settings, None);
    assert!(ended.finished && steps.len() == 6, "{ended:?}");
    let (before, after) = (token_losses(&page, Which::Base), token_losses(&page, Which::Tuned));
    assert!(before.len() == after.len() && after.iter().sum::<f64>() < before.iter().sum::<f64>(), "{before:?} {after:?}");
    let Reply::Deltas(deltas) = page.call(Request::Deltas) else { panic!("no deltas") };
    assert!(deltas.iter().any(|delta| delta.delta_norm > 0.0), "it is compared with the base that has the new rows");
    let Reply::Base(opened) = page.call(Request::Open { source: BaseSource::Run { id: ended.run.id } }) else { panic!("no base") };
    assert_eq!(opened.report.verdict, rootstock::validate::Verdict::Ready, "{:?}", opened.report);
}

/// The rows of new tokens are drawn by the seed, so that an adapter, stopped and gone on with after a reload, has the same base.
#[test]
fn an_adapter_with_new_tokens_goes_on_and_is_merged() {
    let settings = with_tokens("lora", &[("lora_rank", 4.0), ("learning_rate", 1e-2)]);
    let whole = Page::new();
    whole.open();
    prepare(&whole, &settings);
    let (_, steps) = train(&whole, &settings, None);

    let page = Page::new();
    page.open();
    prepare(&page, &settings);
    let (stopped, first) = train(&page, &settings, Some(3));
    assert!(!stopped.finished && stopped.run.step == 3, "{stopped:?}");
    let page = Page::over(page.store.clone());
    let (reply, rest) = page.try_call(Request::GoOn { run: stopped.run.id, beside: false }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(ended) = reply else { panic!("{reply:?}") };
    assert!(ended.finished, "{ended:?}");
    assert_eq!([first, losses(&rest)].concat(), steps, "to the same bits");
    let Reply::Files(files) = page.call(Request::Files { id: ended.run.id }) else { panic!("no files") };
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert!(names.contains(&"adapter_model.safetensors") && names.contains(&"base/model.safetensors"), "its base comes with it: {names:?}");
    let adapted = token_losses(&page, Which::Tuned);
    let Reply::Run(merged) = page.call(Request::Merge { adapted: false }) else { panic!("not merged") };
    page.call(Request::Tuned { id: merged.id });
    let after = token_losses(&page, Which::Tuned);
    let worst = adapted.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(adapted.len() == after.len() && worst < 0.05, "merged it says the same: {worst}");
}

/// An adapter that has new tokens is gone on from on the base that has them, also after the tab was closed; that base keeps the run.
#[test]
fn an_adapter_with_new_tokens_is_trained_further_on_its_base() {
    let page = Page::new();
    page.open();
    let settings = with_tokens("lora", &[("lora_rank", 4.0), ("learning_rate", 1e-2)]);
    prepare(&page, &settings);
    let (first, _) = train(&page, &settings, None);
    let grown = BaseSource::Grown { id: first.run.id.clone() };
    assert_eq!(first.run.source, grown, "what it belongs to has the tokens");

    let page = Page::over(page.store.clone());
    let Reply::Base(base) = page.call(Request::Open { source: grown.clone() }) else { panic!("no base") };
    assert_eq!(base.report.verdict, rootstock::validate::Verdict::Ready, "{:?}", base.report);
    assert!(base.name.starts_with("village model with the tokens of "), "{}", base.name);
    let mut further = recipe(&[("learning_rate", 1e-2), ("lora_rank", 4.0)]);
    further.insert("finetuning_type".into(), SettingValue::Text("lora".into()));
    further.insert("adapter_name_or_path".into(), SettingValue::Text(first.run.id.clone()));
    let preview = prepare(&page, &further);
    let learned: Vec<&str> = preview.shown[0].tokens.iter().filter(|token| token.trained).map(|token| token.text.as_str()).collect();
    assert!(learned.contains(&"<leaf>") && learned.contains(&"<|twig|>"), "each is one token: {learned:?}");
    let (second, steps) = train(&page, &further, None);
    assert!(second.finished && second.run.source == grown, "{second:?}");
    let (then, now) = (first.train_loss.expect("a loss"), f64::from_bits(steps[0].1));
    assert!(now < then, "it begins where the first ended: {then}, {now}");
    assert!(page.fault(Request::Remove { id: first.run.id }).contains("was trained on it"));
    assert!(!token_losses(&page, Which::Tuned).is_empty());
}

#[test]
fn weights_begin_at_random_where_the_settings_say_so() {
    let page = Page::new();
    page.open();
    let mut settings = recipe(&[("learning_rate", 1e-3)]);
    settings.insert("train_from_scratch".into(), SettingValue::Flag(true));
    page.prepare(&settings);
    let (ended, steps) = train(&page, &settings, Some(3));
    let first = f64::from_bits(steps[0].1);
    let page = Page::over(page.store.clone());
    let (reply, rest) = page.try_call(Request::GoOn { run: ended.run.id, beside: false }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&reply, Reply::Ended(ended) if ended.finished), "{reply:?}");
    let other = Page::new();
    let plain = whole_run(&other);
    let guessing = 512f64.ln(); // of the village model's vocabulary
    assert!((first - guessing).abs() < 0.5 && first != f64::from_bits(plain[0].1), "it knows nothing yet: {first}, {guessing}");
    other.prepare(&settings);
    let (_, whole) = train(&other, &settings, None);
    assert_eq!([steps, losses(&rest)].concat(), whole, "it goes on to the same bits");
    let read = page.call(Request::ReadRecipe { yaml: "finetuning_type: full\ntrain_from_scratch: true\n".into() });
    assert!(matches!(&read, Reply::ReadRecipe(read) if read.recipe["train_from_scratch"] == SettingValue::Flag(true)), "{read:?}");
}
