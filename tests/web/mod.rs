//! What the page's worker does, without a browser: the session on this machine's device, keeping its runs in memory.

mod store;
mod tabs;

use std::cell::RefCell;
use std::rc::Rc;

use rootstock::checkpoint::Checkpoint;
use rootstock::gguf::{OutType, write_model};
use rootstock::gpu::DeviceChoice;
use rootstock::platform::{Directory, MemoryDirectory, OutputDirectory, block_on, open_directory};
use rootstock::web::messages::{
    BaseSource, ChatMessage, Columns, DataFile, DataSource, Event, Reply, Request, Samples, Sampling, SettingValue, Settings, Unit, Which,
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
        let heard: Rc<RefCell<Vec<Event>>> = Rc::default();
        let ears = heard.clone();
        let emit = Rc::new(move |event: Event| {
            on(&event);
            ears.borrow_mut().push(event);
        });
        let reply = block_on(self.session.handle(request, Call::new(1, None, emit))).map_err(|e| e.to_string())?;
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
    DataSource::Files { files: vec![DataFile { name: "talk.jsonl".into(), text: text.concat(), columns: None }] }
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
    let (_, events) =
        page.try_call(Request::Train { recipe: recipe(&[]), samples: no_samples() }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
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
    let (reply, events) = page.try_call(Request::Train { recipe: recipe(&[]), samples }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
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
    let (reply, first) =
        page.try_call(Request::Train { recipe: recipe(&[]), samples: no_samples() }, steering).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(ended) = reply else { panic!("{reply:?}") };
    assert!(!ended.finished && !ended.run.finished && ended.run.usable && ended.run.step == 4 && *held.borrow() == 1, "{ended:?}");

    let reloaded = Page::over(page.store.clone());
    let (reply, rest) = reloaded.try_call(Request::GoOn { run: ended.run.id }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
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
    let (reply, events) = page.try_call(Request::Train { recipe: settings, samples: no_samples() }, lose).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&reply, Reply::Ended(ended) if ended.finished), "{reply:?}");
    assert!(events.iter().any(|e| matches!(e, Event::DeviceLost { step: 2, cause } if !cause.is_empty())), "{events:?}");
    let mut all = losses(&events);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, expected, "the third step came twice, with the same bits");
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
    let train = Request::Train { recipe: settings, samples: no_samples() };
    let (reply, first) = page.try_call(train, stop).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(stopped) = reply else { panic!("{reply:?}") };
    assert!(!stopped.finished && !stopped.run.model && stopped.run.step == 3, "{stopped:?}");
    let page = Page::over(page.store.clone());
    let (reply, rest) = page.try_call(Request::GoOn { run: stopped.run.id }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
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
    let Reply::Run(merged) = page.call(Request::Merge) else { panic!("not merged") };
    assert!(merged.usable && merged.model && merged.finished, "{merged:?}");
    page.call(Request::Tuned { id: merged.id.clone() });
    let after = of(&page, Which::Tuned);
    let worst = adapted.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    // The merged weights are rounded to the base's bfloat16 or kept in f32; either is far below what the adapter changed.
    assert!(worst < 0.05, "merged it says the same: {worst}");
    assert!(page.fault(Request::Merge).contains("whole model"));
    let copy = match page.call(Request::Runs) {
        Reply::Runs(runs) => runs.into_iter().find(|run| run.name == "village").expect("the base's copy is kept"),
        other => panic!("{other:?}"),
    };
    assert!(page.fault(Request::Remove { id: copy.id }).contains("delete that one first"));
}

#[test]
fn a_gguf_file_is_a_base() {
    let page = Page::new();
    let village: Rc<dyn Directory> = Rc::new(open_directory(std::path::Path::new("assets/embedded-model")).expect("it is there"));
    let files = MemoryDirectory::new("chosen");
    block_on(async {
        let checkpoint = Checkpoint::open(village.clone()).await.expect("it opens");
        write_model(&checkpoint, &*village, OutType::Q8_0, &files, "village.gguf").await.expect("it can be written");
    });
    let open = Request::Open { source: BaseSource::Files { name: "village.gguf".into() } };
    let call = Call::new(1, Some(Rc::new(files)), Rc::new(|_| {}));
    let Ok(Reply::Base(base)) = block_on(page.session.handle(open, call)) else { panic!("it does not open") };
    assert_eq!(base.report.verdict, rootstock::validate::Verdict::Ready, "{:?}", base.report);
    assert!(base.chat_template, "the file has the model's chat template");
    let settings = recipe(&[("max_steps", 2.0), ("learning_rate", 1e-3)]);
    page.prepare(&settings);
    let Reply::Ended(ended) = page.call(Request::Train { recipe: settings, samples: no_samples() }) else { panic!("it does not train") };
    let Reply::Files(files) = page.call(Request::Files { id: ended.run.id.clone() }) else { panic!("no files") };
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(files.iter().any(|file| file.name == name), "{name} is taken home: {files:?}");
    }
}

#[test]
fn a_broken_folder_is_repaired() {
    let page = Page::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/validate/broken");
    let broken = std::fs::read_dir(folder).expect("there are cases").filter_map(|e| e.ok()).map(|e| e.path());
    let case = broken.filter(|path| path.ends_with("25-fsdp-wrapped-module")).min().expect("a case of prefixed names");
    let files: Rc<dyn Directory> = Rc::new(open_directory(&case).expect("it is there"));
    let call = || Call::new(1, Some(files.clone()), Rc::new(|_| {}));
    let open = Request::Open { source: BaseSource::Files { name: "broken".into() } };
    let Ok(Reply::Base(base)) = block_on(page.session.handle(open, call())) else { panic!("not even a report") };
    assert_eq!(base.report.verdict, rootstock::validate::Verdict::Repairable, "{:?}", base.report);
    let Reply::Repaired(repaired) = page.call(Request::Repair) else { panic!("not repaired") };
    assert_eq!(repaired.base.report.verdict, rootstock::validate::Verdict::Ready, "{:?}", repaired.base.report);
    assert!(!repaired.done.is_empty());
    let again = Page::over(page.store.clone());
    let Reply::Base(base) = again.call(Request::Open { source: BaseSource::Run { id: repaired.id } }) else { panic!("not kept") };
    assert_eq!(base.report.verdict, rootstock::validate::Verdict::Ready);
}

#[test]
fn what_is_wrong_is_said() {
    let page = Page::new();
    let prepare = |data: DataSource| Request::Prepare { data, evaluation: None, recipe: recipe(&[]), first: 0, count: 1 };
    assert!(page.fault(prepare(conversations())).contains("choose one first"));
    assert!(page.fault(Request::Pause).contains("no run goes on"));
    page.open();
    assert!(page.fault(Request::Estimate { recipe: recipe(&[]), samples: None }).contains("no data is chosen"));
    let broken =
        DataSource::Files { files: vec![DataFile { name: "a.jsonl".into(), text: "{\"text\": \"a\"}\n{\"text\"".into(), columns: None }] };
    let fault = page.fault(prepare(broken));
    assert!(fault.contains("a.jsonl, line 2"), "{fault}");
    assert!(page.fault(prepare(DataSource::Example { name: "../village".into() })).contains("no such example"));
    page.prepare(&recipe(&[]));
    let wrong = Request::Train { recipe: recipe(&[("learning_rate", -1.0)]), samples: no_samples() };
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

/// Sends a request while another is worked on.
fn press(session: &Rc<Session>, id: u32, request: Request) -> Reply {
    block_on(session.handle(request, Call::new(id, None, Rc::new(|_| {})))).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn answers_are_skipped_and_a_run_that_goes_on_asks_its_own_prompts() {
    let page = Page::new();
    page.open();
    page.prepare(&recipe(&[]));
    let session = page.session.clone();
    let hear = move |event: &Event| match event {
        Event::Writing { step: 0, text, .. } if !text.is_empty() => drop(press(&session, 2, Request::Skip)),
        Event::Step { line } if line.current_steps == 3 => drop(press(&session, 2, Request::Stop)),
        _ => {}
    };
    let samples = Samples { every: 2, prompts: vec!["Who sings?".into(), "Who bakes?".into()], max_new_tokens: 12 };
    let (reply, first) = page.try_call(Request::Train { recipe: recipe(&[]), samples }, hear).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(ended) = reply else { panic!("{reply:?}") };
    let answers = |events: &[Event]| -> Vec<(u64, String, String)> {
        let line = |event: &Event| match event {
            Event::Sample { line } => Some((line.step, line.prompt.clone(), line.finish.clone())),
            _ => None,
        };
        events.iter().filter_map(line).collect()
    };
    let said = answers(&first);
    assert_eq!(said[0], (0, "Who sings?".into(), "skipped".into()), "{said:?}");
    assert!(said.iter().filter(|(step, ..)| *step == 0).count() == 1, "the second prompt was skipped, too: {said:?}");
    assert!(said.iter().filter(|(step, ..)| *step == 2).count() == 2, "the next round is asked: {said:?}");

    let later = Page::over(page.store.clone());
    let (_, rest) = later.try_call(Request::GoOn { run: ended.run.id }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let Some(Event::Started { answers: known, .. }) = rest.iter().find(|e| matches!(e, Event::Started { .. })) else { panic!("{rest:?}") };
    assert_eq!(known.len(), 3, "the page gets the answers so far");
    let steps: Vec<u64> = answers(&rest).iter().map(|(step, ..)| *step).collect();
    assert_eq!(steps, [4, 4, 6, 6], "its own prompts in their rhythm");
    assert_eq!([losses(&first), losses(&rest)].concat(), whole_run(&Page::new()), "none of that changes what is learned");
}

#[test]
fn the_learning_model_answers_while_its_run_is_held() {
    let page = Page::new();
    page.open();
    page.prepare(&recipe(&[]));
    let ask = || Request::Chat {
        which: Which::Learning,
        messages: vec![ChatMessage { role: "user".into(), content: "Who sings?".into() }],
        sampling: Sampling { temperature: 0.0, top_p: 1.0, max_new_tokens: 6, seed: 1 },
    };
    assert!(page.fault(ask()).contains("no run goes on"));
    let session = page.session.clone();
    let asked = Rc::new(RefCell::new(None));
    let (heard, keep) = (Rc::new(RefCell::new(String::new())), asked.clone());
    let ears = heard.clone();
    let hear = move |event: &Event| match event {
        Event::Step { line } if line.current_steps == 2 => drop(press(&session, 2, Request::Pause)),
        Event::Paused { .. } => {
            // The question is handed over here and answered when the run is looked at again.
            let ears = ears.clone();
            let call = Call::new(
                3,
                None,
                Rc::new(move |event| {
                    if let Event::Text { text } = event {
                        ears.borrow_mut().push_str(&text);
                    }
                }),
            );
            let session = session.clone();
            let mut question = Box::pin(async move {
                let reply = session.handle(ask(), call).await;
                session.handle(Request::Resume, Call::new(4, None, Rc::new(|_| {}))).await.map(|_| reply)
            });
            // Polled once, it has handed the question to the run; the run's own loop wakes it.
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(question.as_mut().poll(&mut context).is_pending());
            *keep.borrow_mut() = Some(question);
        }
        _ => {}
    };
    let session = page.session.clone();
    let train = Request::Train { recipe: recipe(&[]), samples: no_samples() };
    let run = session.handle(train, Call::new(1, None, Rc::new(move |event| hear(&event))));
    let mut run = Box::pin(run);
    // Both are polled in turn, as a browser does.
    let ended = block_on(std::future::poll_fn(|context| {
        let ended = run.as_mut().poll(context);
        let mut slot = asked.borrow_mut();
        if let Some(question) = slot.as_mut()
            && let std::task::Poll::Ready(reply) = question.as_mut().poll(context)
        {
            *slot = None;
            let reply = reply.unwrap_or_else(|e| panic!("{e}")).unwrap_or_else(|e| panic!("{e}"));
            let Reply::Answered(answered) = reply else { panic!("{reply:?}") };
            assert_eq!(answered.text, *heard.borrow());
            assert!(answered.tokens > 0, "{answered:?}");
            context.waker().wake_by_ref();
        }
        ended
    }));
    let Reply::Ended(ended) = ended.unwrap_or_else(|e| panic!("{e}")) else { panic!("no end") };
    assert!(ended.finished && asked.borrow().is_none() && !heard.borrow().is_empty(), "{ended:?}");
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

#[test]
fn columns_with_names_of_their_own_are_mapped() {
    let page = Page::new();
    page.open();
    let table = |columns| DataFile { name: "t.csv".into(), text: "frage,antwort\nWho sings?,Mira does.\n".into(), columns };
    let Reply::Columns(names) = page.call(Request::Columns { file: table(None) }) else { panic!("no columns") };
    assert_eq!(names, ["frage", "antwort"]);
    let prepare = |columns| Request::Prepare {
        data: DataSource::Files { files: vec![table(columns)] },
        evaluation: None,
        recipe: recipe(&[]),
        first: 0,
        count: 1,
    };
    assert!(page.fault(prepare(None)).contains("frage"), "names of no meaning are told");
    let columns = Columns { prompt: "frage".into(), response: Some("antwort".into()) };
    let Reply::Preview(preview) = page.call(prepare(Some(columns))) else { panic!("no preview") };
    let learnt: String = preview.shown[0].tokens.iter().filter(|t| t.trained).map(|t| t.text.as_str()).collect();
    assert!(learnt.contains("Mira does.") && !learnt.contains("sings"), "{learnt}");
    let columns = Columns { prompt: "frage".into(), response: None };
    let Reply::Preview(preview) = page.call(prepare(Some(columns))) else { panic!("no preview") };
    assert!(preview.trained >= preview.tokens - 1, "a text is learned whole: {preview:?}");
    assert_eq!((preview.needs, preview.truncated), (preview.longest, 0));
}

#[test]
fn an_adapter_comes_back_beside_its_base_and_is_trained_further() {
    let page = Page::new();
    page.open();
    let mut settings = recipe(&[("lora_rank", 4.0), ("learning_rate", 1e-2), ("max_steps", 2.0)]);
    settings.insert("finetuning_type".into(), SettingValue::Text("lora".into()));
    page.prepare(&settings);
    let train = |settings: &Settings| Request::Train { recipe: settings.clone(), samples: no_samples() };
    let Reply::Ended(first) = page.call(train(&settings)) else { panic!("no end") };
    // What was taken home is given to another browser.
    let Reply::Files(files) = page.call(Request::Files { id: first.run.id }) else { panic!("no files") };
    let mut home = MemoryDirectory::new("pirate");
    for file in files {
        home = home.with(&file.name, block_on(page.store.read(&file.path.join("/"))).expect("it is read"));
    }
    let other = Page::new();
    let adopt = |page: &Page, files: MemoryDirectory| {
        let call = Call::new(1, Some(Rc::new(files)), Rc::new(|_| {}));
        block_on(page.session.handle(Request::Adopt { name: "pirate".into() }, call)).map_err(|e| e.to_string())
    };
    assert!(adopt(&other, home.clone()).is_err_and(|e| e.contains("choose one first")), "beside its base");
    other.open();
    assert!(adopt(&other, MemoryDirectory::new("x")).is_err_and(|e| e.contains("adapter_config.json")));
    let Ok(Reply::Run(kept)) = adopt(&other, home) else { panic!("not kept") };
    assert!(kept.finished && kept.usable && !kept.model && kept.source == BaseSource::Embedded, "{kept:?}");

    other.prepare(&settings);
    settings.insert("adapter_name_or_path".into(), SettingValue::Text(kept.id.clone()));
    let Reply::Estimate(estimate) = other.call(Request::Estimate { recipe: settings.clone(), samples: None }) else {
        panic!("no estimate")
    };
    assert!(estimate.fits, "{estimate:?}");
    let (reply, events) = other.try_call(train(&settings), |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(second) = reply else { panic!("{reply:?}") };
    assert!(second.finished && second.run.method == kept.method);
    let fresh = Page::new();
    fresh.open();
    fresh.prepare(&settings);
    settings.remove("adapter_name_or_path");
    let (_, anew) = fresh.try_call(train(&settings), |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let first_loss = |events: &[Event]| f64::from_bits(losses(events)[0].1);
    assert!(
        first_loss(&events) < first_loss(&anew) - 0.01,
        "it begins where the adapter is: {} {}",
        first_loss(&events),
        first_loss(&anew)
    );
}
