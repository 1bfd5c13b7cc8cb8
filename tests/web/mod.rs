//! What the page's worker does, without a browser: the session on this machine's device, keeping its runs in memory.

mod answers;
mod bases;
mod begun;
mod beside;
mod files;
mod lessons;
mod store;
mod tabs;

use std::cell::RefCell;
use std::rc::Rc;

use rootstock::checkpoint::Checkpoint;
use rootstock::gguf::{OutType, write_model};
use rootstock::gpu::DeviceChoice;
use rootstock::platform::{Directory, MemoryDirectory, OutputDirectory, block_on, open_directory};
use rootstock::validate::Verdict;
use rootstock::web::messages::{
    BaseSource, ChatMessage, Columns, DataFile, DataSource, Event, GgufType, Reply, Request, Samples, Sampling, SettingValue, Settings,
    Unit, Which,
};
use rootstock::web::session::{Call, Session};

/// A page with its worker.
struct Page {
    session: Rc<Session>,
    store: MemoryDirectory,
}

impl Page {
    fn new() -> Page {
        Page::over(MemoryDirectory::new("store"))
    }

    /// As after a reload: another worker, the same store.
    fn over(store: MemoryDirectory) -> Page {
        Page::with(store.clone(), Rc::new(store))
    }

    /// Another tab of the same browser.
    fn beside(&self) -> Page {
        Page::over(self.store.clone())
    }

    /// A page that writes through `output` what lies in `store`.
    fn with(store: MemoryDirectory, output: Rc<dyn OutputDirectory>) -> Page {
        let assets = open_directory(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets"))).expect("the assets are there");
        Page { session: Session::new(Rc::new(assets), output, DeviceChoice::default()), store }
    }

    fn try_call(&self, request: Request, on: impl Fn(&Event) + 'static) -> Result<(Reply, Vec<Event>), String> {
        self.try_call_with(request, None, on)
    }

    /// The same with files beside the request.
    fn try_call_with(
        &self,
        request: Request,
        files: Option<Rc<dyn Directory>>,
        on: impl Fn(&Event) + 'static,
    ) -> Result<(Reply, Vec<Event>), String> {
        let heard: Rc<RefCell<Vec<Event>>> = Rc::default();
        let ears = heard.clone();
        let emit = Rc::new(move |event: Event| {
            on(&event);
            ears.borrow_mut().push(event);
        });
        let reply = block_on(self.session.handle(request, Call::new(1, files, emit))).map_err(|e| e.to_string())?;
        Ok((reply, heard.borrow().clone()))
    }

    fn call(&self, request: Request) -> Reply {
        self.try_call(request, |_| {}).unwrap_or_else(|e| panic!("{e}")).0
    }

    fn fault(&self, request: Request) -> String {
        match self.try_call(request, |_| {}) {
            Ok((reply, _)) => panic!("{reply:?}"),
            Err(error) => error,
        }
    }

    fn open(&self) {
        let Reply::Base(base) = self.call(Request::Open { source: BaseSource::Embedded }) else { panic!("no base") };
        assert_eq!(base.report.findings, [], "the embedded model has no faults");
        assert!(base.chat_template && base.config["model_type"] == SettingValue::Text("llama".into()), "{base:?}");
    }

    fn prepare(&self, recipe: &Settings) {
        let request = Request::Prepare { data: conversations(), evaluation: None, recipe: recipe.clone(), first: 0, count: 2 };
        let Reply::Preview(preview) = self.call(request) else { panic!("no preview") };
        assert_eq!((preview.records, preview.samples, preview.shown.len()), (4, 4, 2));
        let first = &preview.shown[0];
        let text: String = first.tokens.iter().map(|t| t.text.as_str()).collect();
        assert!(text.contains("Who keeps the bees?") && text.contains("Lena does."), "{text}");
        let learnt: String = first.tokens.iter().filter(|t| t.trained).map(|t| t.text.as_str()).collect();
        assert!(learnt.contains("Lena does.") && !learnt.contains("bees"), "only the answer is learned: {learnt}");
    }
}

/// A data file whose text is in the request.
fn typed(name: &str, text: &str) -> DataFile {
    DataFile { name: name.into(), text: Some(text.into()), ..DataFile::default() }
}

fn conversations() -> DataSource {
    let line = |question: &str, answer: &str| {
        format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"{question}\"}}, {{\"role\": \"assistant\", \"content\": \"{answer}\"}}]}}\n"
        )
    };
    let text = [
        line("Who keeps the bees?", "Lena does."),
        line("Who bakes?", "Otto does."),
        line("Who sings?", "Mira does."),
        line("Who fishes?", "Paul does."),
    ];
    DataSource::Files { files: vec![typed("talk.jsonl", &text.concat())] }
}

fn recipe(more: &[(&str, f64)]) -> Settings {
    let mut settings: Settings =
        [("max_steps", 6.0), ("logging_steps", 1.0), ("per_device_train_batch_size", 2.0), ("cutoff_len", 32.0), ("learning_rate", 1e-3)]
            .into_iter()
            .chain(more.iter().copied())
            .map(|(name, value)| (name.to_string(), SettingValue::Number(value)))
            .collect();
    settings.insert("finetuning_type".into(), SettingValue::Text("full".into()));
    settings
}

fn no_samples() -> Samples {
    Samples { every: 0, prompts: Vec::new(), max_new_tokens: 1 }
}

fn losses(events: &[Event]) -> Vec<(u64, u64)> {
    let step = |event: &Event| match event {
        Event::Step { line } => Some((line.current_steps, line.loss.to_bits())),
        _ => None,
    };
    events.iter().filter_map(step).collect()
}

/// A run from its beginning to its end, to compare others with.
fn whole_run(page: &Page) -> Vec<(u64, u64)> {
    page.open();
    page.prepare(&recipe(&[]));
    let (_, events) = page
        .try_call(Request::Train { recipe: recipe(&[]), samples: no_samples(), beside: false }, |_| {})
        .unwrap_or_else(|e| panic!("{e}"));
    losses(&events)
}

#[test]
fn a_run_is_estimated_trained_sampled_kept_and_talked_with() {
    let page = Page::new();
    page.open();
    page.prepare(&recipe(&[]));
    let Reply::Estimate(unmeasured) = page.call(Request::Estimate { recipe: recipe(&[]), samples: None }) else { panic!("no estimate") };
    assert_eq!(unmeasured.seconds, None);
    assert_eq!(page.call(Request::Measure), Reply::Nothing);
    let Reply::Estimate(estimate) = page.call(Request::Estimate { recipe: recipe(&[]), samples: None }) else { panic!("no estimate") };
    assert!(estimate.fits && estimate.steps == 6 && estimate.trainable == estimate.parameters, "{estimate:?}");

    let samples = Samples { every: 3, prompts: vec!["Who keeps the bees?".into()], max_new_tokens: 8 };
    let (reply, events) =
        page.try_call(Request::Train { recipe: recipe(&[]), samples, beside: false }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(ended) = reply else { panic!("{reply:?}") };
    assert!(ended.finished && ended.run.finished && ended.run.step == 6 && ended.run.bytes > 1_000_000, "{ended:?}");
    assert_eq!(losses(&events).len(), 6);
    let sampled: Vec<u64> = events.iter().filter_map(|e| if let Event::Sample { line } = e { Some(line.step) } else { None }).collect();
    assert_eq!(sampled, [0, 3, 6], "before the first step, every three, after the last");
    let answering = |event: &&Event| matches!(event, Event::Progress { progress } if progress.unit == Unit::Prompts);
    assert_eq!(events.iter().filter(answering).count(), 3, "the page says what takes time");
    // Answers come as they are written, and are kept with the run and its log.
    let written = |at: u64| {
        let pieces = events.iter().filter_map(move |e| match e {
            Event::Writing { step, text, .. } if *step == at => Some(text.as_str()),
            _ => None,
        });
        pieces.collect::<String>()
    };
    let Reply::Log(log) = page.call(Request::Log { id: ended.run.id.clone() }) else { panic!("no log") };
    assert_eq!((log.lines.len(), log.answers.len()), (6, 3));
    assert!(
        log.answers.iter().all(|answer| answer.text == written(answer.step) && ["length", "stop"].contains(&answer.finish.as_str())),
        "{:?}",
        log.answers
    );
    assert_ne!(log.answers[0].text, log.answers[2].text, "what it learned is heard");
    assert!(ended.run.seconds.is_some_and(|s| s > 0.0) && ended.run.data.as_deref() == Some("talk.jsonl"), "{ended:?}");
    assert_eq!(ended.run.recipe, recipe(&[]));
    assert!(ended.run.result_bytes > 1_000_000 && ended.run.result_bytes < ended.run.bytes, "snapshots apart: {ended:?}");
    // What it reached is known to the next visit: its estimates say how long a run takes.
    let later = Page::over(page.store.clone());
    later.open();
    later.prepare(&recipe(&[]));
    let samples = Samples { every: 4, prompts: vec!["Who keeps the bees?".into(), " ".into()], max_new_tokens: 8 };
    let Reply::Estimate(next) = later.call(Request::Estimate { recipe: recipe(&[]), samples: Some(samples) }) else {
        panic!("no estimate")
    };
    assert!(next.answers == 3 && next.answer_seconds.is_some_and(|s| s.is_finite() && s > 0.0), "{next:?}");
    let positive = |seconds: Option<f64>| seconds.is_some_and(|s| s.is_finite() && s > 0.0);
    assert!(
        positive(estimate.seconds) && positive(next.seconds),
        "as measured, then as the run was: {:?} {:?}",
        estimate.seconds,
        next.seconds
    );
    assert_ne!(estimate.seconds, next.seconds);
    // Answering between steps changes nothing.
    assert_eq!(losses(&events), whole_run(&Page::new()));

    let message = |text: &str| vec![ChatMessage { role: "user".into(), content: text.into() }];
    let sampling = Sampling { temperature: 0.0, top_p: 1.0, max_new_tokens: 6, seed: 1 };
    let mut answers = Vec::new();
    for which in [Which::Base, Which::Tuned] {
        let request = Request::Chat { which, messages: message("Who sings?"), sampling: sampling.clone() };
        let (reply, events) = page.try_call(request, |_| {}).unwrap_or_else(|e| panic!("{e}"));
        let Reply::Answered(answered) = reply else { panic!("{reply:?}") };
        let streamed: String =
            events.iter().filter_map(|e| if let Event::Text { text } = e { Some(text.as_str()) } else { None }).collect();
        assert_eq!(streamed, answered.text);
        answers.push(answered.text);
    }
    assert_ne!(answers[0], answers[1], "training changed what it says");

    let Reply::Losses(losses) = page.call(Request::Losses { which: Which::Tuned, text: "Lena keeps the bees.".into() }) else { panic!() };
    assert_eq!(losses.iter().map(|t| t.text.as_str()).collect::<String>().trim(), "Lena keeps the bees.");
    assert!(losses[0].loss.is_none() && losses[1..].iter().all(|t| t.loss.is_some_and(|l| l.is_finite() && l >= 0.0)), "{losses:?}");

    let Reply::Deltas(deltas) = page.call(Request::Deltas) else { panic!("no deltas") };
    let query = deltas.iter().find(|d| d.layer == Some(0) && d.module == "self_attn.q_proj").expect("it is trained");
    let squares: f64 = query.singular_values.iter().map(|s| s * s).sum();
    assert!(
        squares.sqrt() / query.delta_norm > 0.9
            && squares.sqrt() / query.delta_norm < 1.0001
            && query.delta_norm > 0.0
            && query.delta_norm < query.weight_norm,
        "{query:?}"
    );

    let Reply::Files(files) = page.call(Request::Files { id: ended.run.id.clone() }) else { panic!("no files") };
    let names: Vec<&str> = files.iter().map(|f| f.name.as_str()).collect();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "trainer_log.jsonl"] {
        assert!(names.contains(&name), "{name} is among {names:?}");
    }
    assert!(!names.iter().any(|n| n.contains("optimizer")), "{names:?}");
    for file in &files {
        assert_eq!(block_on(page.store.size(&file.path.join("/"))), Ok(Some(file.bytes)), "{}", file.name);
    }

    // What came out is a base.
    let id = ended.run.id;
    let Reply::Base(base) = page.call(Request::Open { source: BaseSource::Run { id: id.clone() } }) else { panic!("no base") };
    assert_eq!(base.report.verdict, rootstock::validate::Verdict::Ready);
    page.call(Request::Remove { id });
    assert!(page.fault(Request::Validate).contains("choose one first"), "what is deleted is no base");
    assert_eq!(page.call(Request::Runs), Reply::Runs(Vec::new()));
    let left: Vec<String> = block_on(page.store.list()).expect("it is read").into_iter().map(|entry| entry.name).collect();
    assert_eq!(left, ["speeds.json"], "of the run nothing is left");
}

#[test]
fn a_held_run_and_one_that_goes_on_after_a_reload_compute_the_same() {
    let expected = whole_run(&Page::new());

    let page = Page::new();
    page.open();
    page.prepare(&recipe(&[]));
    let session = page.session.clone();
    let press = move |request: Request| {
        let call = Call::new(2, None, Rc::new(|_| {}));
        block_on(session.handle(request, call)).unwrap_or_else(|e| panic!("{e}"));
    };
    let (pressed, held) = (press.clone(), Rc::new(RefCell::new(0)));
    let count = held.clone();
    // Held after the second step and released at once; stopped after the fourth.
    let steering = move |event: &Event| match event {
        Event::Step { line } if line.current_steps == 2 => pressed(Request::Pause),
        Event::Paused { .. } => {
            *count.borrow_mut() += 1;
            pressed(Request::Resume);
        }
        Event::Step { line } if line.current_steps == 4 => pressed(Request::Stop),
        _ => {}
    };
    let (reply, first) = page
        .try_call(Request::Train { recipe: recipe(&[]), samples: no_samples(), beside: false }, steering)
        .unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(ended) = reply else { panic!("{reply:?}") };
    assert!(!ended.finished && !ended.run.finished && ended.run.usable && ended.run.step == 4 && *held.borrow() == 1, "{ended:?}");

    let reloaded = Page::over(page.store.clone());
    let (reply, rest) = reloaded.try_call(Request::GoOn { run: ended.run.id, beside: false }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&reply, Reply::Ended(ended) if ended.finished), "{reply:?}");
    let Some(Event::Started { step: 4, lines, .. }) = rest.iter().find(|e| matches!(e, Event::Started { .. })) else { panic!("{rest:?}") };
    assert_eq!(lines.len(), 4, "the page gets the curve so far");
    assert_eq!([losses(&first), losses(&rest)].concat(), expected);
}

#[test]
fn a_lost_device_is_said_and_the_run_goes_on_by_itself() {
    let expected = whole_run(&Page::new());
    let page = Page::new();
    page.open();
    page.prepare(&recipe(&[("save_steps", 2.0)]));
    let session = page.session.clone();
    let lose = move |event: &Event| {
        if matches!(event, Event::Step { line } if line.current_steps == 3) && !session.has_lost_a_device() {
            session.lose_device();
        }
    };
    let settings = recipe(&[("save_steps", 2.0)]);
    let (reply, events) =
        page.try_call(Request::Train { recipe: settings, samples: no_samples(), beside: false }, lose).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&reply, Reply::Ended(ended) if ended.finished), "{reply:?}");
    assert!(events.iter().any(|e| matches!(e, Event::DeviceLost { step: 2, cause } if !cause.is_empty())), "{events:?}");
    let mut all = losses(&events);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, expected, "the third step came twice, with the same bits");
}

/// Takes a kept result as GGUF files, which are models again, and leaves nothing behind.
fn takes_home_as_gguf(page: &Page, id: &str, adapter: bool) {
    for outtype in [GgufType::F16, GgufType::Q4_0] {
        let request = Request::Gguf { id: id.into(), outtype, alone: false };
        let (reply, events) = page.try_call(request, |_| {}).unwrap_or_else(|e| panic!("{e}"));
        let Reply::Gguf(made) = reply else { panic!("{reply:?}") };
        assert!(events.iter().any(|e| matches!(e, Event::Progress { progress } if progress.what == "Writing the GGUF file")), "{events:?}");
        let file = made.file;
        let bytes = block_on(page.session.read_stored(&file.path.join("/"))).unwrap_or_else(|e| panic!("{e}"));
        assert!(bytes.len() as u64 == file.bytes && bytes.starts_with(b"GGUF") && file.name.ends_with(".gguf"), "{file:?}");
        let given = MemoryDirectory::new("given").with(&file.name, bytes);
        let call = Call::new(1, Some(Rc::new(given)), Rc::new(|_| {}));
        let open = Request::Open { source: BaseSource::Files { name: "home".into() } };
        let other = Page::new();
        let opened = block_on(other.session.handle(open, call)).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(&opened, Reply::Base(base) if base.report.verdict == Verdict::Ready), "{opened:?}");
    }
    let alone = Request::Gguf { id: id.into(), outtype: GgufType::F32, alone: true };
    if adapter {
        let Reply::Gguf(made) = page.call(alone) else { panic!("no file") };
        let bytes = block_on(page.session.read_stored(&made.file.path.join("/"))).unwrap_or_else(|e| panic!("{e}"));
        assert!(bytes.windows(18).any(|words| words == b"adapter.lora.alpha"), "it is an adapter");
    } else {
        assert!(page.fault(alone).contains("this is a whole model"));
    }
    page.call(Request::DropGguf { id: id.into() });
    let left = block_on(page.store.list()).unwrap_or_else(|e| panic!("{e}"));
    assert!(!left.iter().any(|entry| entry.name.ends_with(".gguf")), "{left:?}");
}

#[test]
fn an_adapter_is_trained_goes_on_answers_and_is_merged() {
    let page = Page::new();
    // Given as files: the page keeps a copy, so that the adapter is of use after a reload.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/embedded-model");
    let files = open_directory(std::path::Path::new(folder)).expect("the model is there");
    let open = Request::Open { source: BaseSource::Files { name: "village".into() } };
    let call = Call::new(1, Some(Rc::new(files)), Rc::new(|_| {}));
    block_on(page.session.handle(open, call)).unwrap_or_else(|e| panic!("{e}"));
    let mut settings = recipe(&[("lora_rank", 4.0), ("learning_rate", 1e-2)]);
    settings.insert("finetuning_type".into(), SettingValue::Text("lora".into()));
    page.prepare(&settings);
    let Reply::Estimate(estimate) = page.call(Request::Estimate { recipe: settings.clone(), samples: None }) else { panic!("no estimate") };
    assert!(estimate.trainable < estimate.parameters / 10, "{estimate:?}");

    let session = page.session.clone();
    let stop = move |event: &Event| {
        if matches!(event, Event::Step { line } if line.current_steps == 3) {
            let call = Call::new(2, None, Rc::new(|_| {}));
            block_on(session.handle(Request::Stop, call)).unwrap_or_else(|e| panic!("{e}"));
        }
    };
    let train = Request::Train { recipe: settings, samples: no_samples(), beside: false };
    let (reply, first) = page.try_call(train, stop).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(stopped) = reply else { panic!("{reply:?}") };
    assert!(!stopped.finished && !stopped.run.model && stopped.run.step == 3, "{stopped:?}");
    let page = Page::over(page.store.clone());
    let (reply, rest) = page.try_call(Request::GoOn { run: stopped.run.id, beside: false }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(ended) = reply else { panic!("{reply:?}") };
    assert!(ended.finished && losses(&first).len() + losses(&rest).len() == 6, "{ended:?}");

    let Reply::Deltas(deltas) = page.call(Request::Deltas) else { panic!("no deltas") };
    let query = deltas.iter().find(|d| d.layer == Some(1) && d.module == "self_attn.q_proj").expect("it is adapted");
    assert!(query.delta_norm > 0.0 && (1..=4).contains(&query.singular_values.len()), "of rank 4: {query:?}");
    assert!(deltas.iter().filter(|d| d.module.ends_with("norm")).all(|d| d.delta_norm == 0.0 && d.singular_values.is_empty()));

    let text = "Lena keeps the bees.";
    let of = |page: &Page, which| match page.call(Request::Losses { which, text: text.into() }) {
        Reply::Losses(losses) => losses.into_iter().filter_map(|t| t.loss).collect::<Vec<f64>>(),
        other => panic!("{other:?}"),
    };
    let (base, adapted) = (of(&page, Which::Base), of(&page, Which::Tuned));
    assert!(base.iter().zip(&adapted).any(|(b, a)| (b - a).abs() > 1e-3), "the adapter changes something");
    // What a merge is judged by: the run's own samples, which it learned from where it held none out.
    let adapter = ended.run.id.clone();
    let score = |page: &Page, which| match page.call(Request::HeldOut { which, run: adapter.clone() }) {
        Reply::HeldOut(score) => score,
        other => panic!("{other:?}"),
    };
    let (alone, before) = (score(&page, Which::Base), score(&page, Which::Tuned));
    assert!(alone.samples == 4 && !alone.held_out && before.loss < alone.loss - 0.01, "{alone:?} {before:?}");
    takes_home_as_gguf(&page, &adapter, true);
    let Reply::Run(merged) = page.call(Request::Merge { adapted: false }) else { panic!("not merged") };
    assert!(merged.usable && merged.model && merged.finished, "{merged:?}");
    page.call(Request::Tuned { id: merged.id.clone() });
    let after = score(&page, Which::Tuned);
    assert!((after.loss - before.loss).abs() < 0.02, "{before:?} {after:?}");
    takes_home_as_gguf(&page, &merged.id, false);
    let after = of(&page, Which::Tuned);
    let worst = adapted.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    // The merged weights are rounded to the base's bfloat16 or kept in f32; either is far below what the adapter changed.
    assert!(worst < 0.05, "merged it says the same: {worst}");
    assert!(page.fault(Request::Merge { adapted: false }).contains("whole model"));
    let copy = match page.call(Request::Runs) {
        Reply::Runs(runs) => runs.into_iter().find(|run| run.name == "village").expect("the base's copy is kept"),
        other => panic!("{other:?}"),
    };
    assert!(page.fault(Request::Remove { id: copy.id }).contains("delete that one first"));
}

#[test]
fn what_is_wrong_is_said() {
    let page = Page::new();
    let prepare = |data: DataSource| Request::Prepare { data, evaluation: None, recipe: recipe(&[]), first: 0, count: 1 };
    assert!(page.fault(prepare(conversations())).contains("choose one first"));
    assert!(page.fault(Request::Pause).contains("no run goes on"));
    page.open();
    assert!(page.fault(Request::Estimate { recipe: recipe(&[]), samples: None }).contains("no data is chosen"));
    let broken = DataSource::Files { files: vec![typed("a.jsonl", "{\"text\": \"a\"}\n{\"text\"")] };
    let fault = page.fault(prepare(broken));
    assert!(fault.contains("a.jsonl, line 2"), "{fault}");
    assert!(page.fault(prepare(DataSource::Example { name: "../village".into() })).contains("no such example"));
    page.prepare(&recipe(&[]));
    let wrong = Request::Train { recipe: recipe(&[("learning_rate", -1.0)]), samples: no_samples(), beside: false };
    assert!(page.fault(wrong).starts_with("learning_rate"));
    assert!(page.fault(Request::Open { source: BaseSource::Run { id: "../x".into() } }).contains("nothing of this name"));
    assert!(
        page.fault(Request::Chat {
            which: Which::Tuned,
            messages: Vec::new(),
            sampling: Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: 1, seed: 0 }
        })
        .contains("nothing is tuned")
    );
    assert_eq!(page.call(Request::Runs), Reply::Runs(Vec::new()), "a run that did not begin is not kept");
}

#[test]
fn a_run_is_named_and_noted() {
    let page = Page::new();
    whole_run(&page);
    let Reply::Runs(runs) = page.call(Request::Runs) else { panic!("no runs") };
    let describe = |name: &str, notes: &str| Request::Describe { id: runs[0].id.clone(), name: name.into(), notes: notes.into() };
    let Reply::Run(run) = page.call(describe("  warm rate ", "too high?")) else { panic!("no run") };
    assert_eq!((run.name.as_str(), run.folder.as_str(), run.notes.as_str()), ("warm rate", "warm-rate", "too high?"));
    let Reply::Run(run) = page.call(describe(" ", "")) else { panic!("no run") };
    assert_eq!((run.name.as_str(), run.notes.as_str()), ("warm rate", ""), "a name is never empty");
    assert!(page.fault(describe(&"x".repeat(300), "")).contains("shorten"));
}
