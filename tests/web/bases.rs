//! What a visitor brings: files in GGUF, folders with faults, data with other columns, an adapter beside its base.

use super::*;

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
    let Reply::Ended(ended) = page.call(Request::Train { recipe: settings, samples: no_samples(), beside: false }) else {
        panic!("it does not train")
    };
    let Reply::Files(files) = page.call(Request::Files { id: ended.run.id.clone() }) else { panic!("no files") };
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(files.iter().any(|file| file.name == name), "{name} is taken home: {files:?}");
    }
}

#[test]
fn a_gguf_file_that_is_given_alone_is_named_once() {
    let page = Page::new();
    let files = Rc::new(MemoryDirectory::new("model.gguf").with("model.gguf", b"GGUF\x03\0\0\0".to_vec()));
    let open = Request::Open { source: BaseSource::Files { name: "model.gguf".into() } };
    let fault = block_on(page.session.handle(open, Call::new(1, Some(files), Rc::new(|_| {})))).expect_err("it is cut short").to_string();
    assert!(fault.starts_with("model.gguf: "), "{fault}");
}

#[test]
fn a_model_is_evaluated_on_data() {
    let page = Page::new();
    page.open();
    let evaluate = |which, cutoff_len| Request::Evaluate { which, data: conversations(), cutoff_len };
    let Reply::Score(whole) = page.call(evaluate(Which::Base, None)) else { panic!("no score") };
    let Reply::Score(cut) = page.call(evaluate(Which::Base, Some(12))) else { panic!("no score") };
    assert_eq!((whole.samples, whole.perplexity), (4, whole.loss.exp()));
    assert!(cut.tokens < whole.tokens && whole.loss.is_finite(), "{whole:?} {cut:?}");
    assert!(page.fault(evaluate(Which::Tuned, None)).contains("nothing is tuned yet"));
    assert!(page.fault(evaluate(Which::Learning, None)).contains("being trained"));
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
fn columns_with_names_of_their_own_are_mapped() {
    let page = Page::new();
    page.open();
    let table = |columns| DataFile { columns, ..typed("t.csv", "frage,antwort\nWho sings?,Mira does.\n") };
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
    let train = |settings: &Settings| Request::Train { recipe: settings.clone(), samples: no_samples(), beside: false };
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
