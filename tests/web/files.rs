//! Data that is given as files: read a piece at a time, given up, kept with its run, packed.

use std::cell::Cell;
use std::io::Write;
use std::ops::Range;

use async_trait::async_trait;
use rootstock::Result;
use rootstock::platform::Entry;

use super::*;

/// Files beside a request, which tell how much of them was read.
struct Counted {
    inner: MemoryDirectory,
    read: Cell<u64>,
    /// The longest piece that was read at once.
    longest: Cell<u64>,
}

impl Counted {
    fn new(name: &str, bytes: Vec<u8>) -> Rc<Counted> {
        Rc::new(Counted { inner: MemoryDirectory::new("the given files").with(name, bytes), read: Cell::new(0), longest: Cell::new(0) })
    }
}

#[async_trait(?Send)]
impl Directory for Counted {
    fn label(&self) -> String {
        self.inner.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        self.inner.list().await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        self.inner.size(name).await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let length = range.end - range.start;
        self.read.set(self.read.get() + length);
        self.longest.set(self.longest.get().max(length));
        self.inner.read_range(name, range).await
    }

    async fn read(&self, _: &str) -> Result<Vec<u8>> {
        panic!("a data file is never read whole")
    }
}

/// A file of the request with this path.
fn given(name: &str, path: &str) -> DataSource {
    DataSource::Files { files: vec![DataFile { name: name.into(), file: Some(path.into()), ..DataFile::default() }] }
}

fn prepare(data: DataSource, recipe: Settings) -> Request {
    Request::Prepare { data, evaluation: None, recipe, first: 0, count: 1 }
}

/// Records whose answers are short and which hold much that is not learned, so that reading is most of the work.
fn lines(count: usize) -> Vec<u8> {
    let filler = "not learned ".repeat(80);
    (0..count)
        .flat_map(|i| format!("{{\"instruction\": \"Who is {i}?\", \"output\": \"Lena.\", \"note\": \"{filler}\"}}\n").into_bytes())
        .collect()
}

/// Bytes done and in all of the reading that an event tells.
fn progress(event: &Event) -> Option<(u64, u64)> {
    match event {
        Event::Progress { progress } if progress.what == "Reading the data" => Some((progress.done, progress.total.unwrap_or(0))),
        _ => None,
    }
}

#[test]
fn a_file_is_read_a_piece_at_a_time_and_max_samples_stops_the_reading() {
    let page = Page::new();
    page.open();
    let bytes = lines(9000);
    let size = bytes.len() as u64;
    assert!(size > 8 << 20, "{size}");
    let files = Counted::new("1/big.jsonl", bytes);
    let ask = |recipe: Settings| {
        let request = prepare(given("big.jsonl", "1/big.jsonl"), recipe);
        let (reply, events) = page.try_call_with(request, Some(files.clone()), |_| {}).unwrap_or_else(|e| panic!("{e}"));
        let Reply::Preview(preview) = reply else { panic!("{reply:?}") };
        (preview, events.iter().filter_map(progress).collect::<Vec<_>>())
    };
    let (preview, told) = ask(recipe(&[("max_samples", 100.0)]));
    assert_eq!((preview.records, preview.samples), (100, 100));
    assert!(files.read.get() < 1 << 20, "{} bytes for 100 records", files.read.get());
    assert!(told.iter().all(|(done, total)| *done < size / 4 && *total == size), "{told:?}");
    let (preview, told) = ask(recipe(&[]));
    assert_eq!(preview.records, 9000);
    assert!(files.longest.get() <= 1 << 20, "{} bytes at once", files.longest.get());
    assert!(told.len() > 2 && told.last() == Some(&(size, size)), "{told:?}");
    // The same again, from the tokens that were kept, after a reload as well.
    let again = Page::over(page.store.clone());
    again.open();
    let request = prepare(given("big.jsonl", "7/big.jsonl"), recipe(&[]));
    let moved = Counted::new("7/big.jsonl", lines(9000));
    let (reply, events) = again.try_call_with(request, Some(moved), |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Preview(kept) = reply else { panic!("{reply:?}") };
    assert!(events.iter().filter_map(progress).all(|(done, _)| done == 0), "nothing is tokenised again");
    assert!((kept.records, kept.tokens, &kept.shown) == (preview.records, preview.tokens, &preview.shown));
    assert!(kept.notices.iter().any(|notice| notice.contains("kept")), "{:?}", kept.notices);
}

#[test]
fn reading_is_given_up_in_the_middle() {
    let page = Page::new();
    page.open();
    let bytes = lines(9000);
    let size = bytes.len() as u64;
    let files = Counted::new("1/big.jsonl", bytes);
    let session = page.session.clone();
    let cancel = move |event: &Event| {
        if progress(event).is_some_and(|(done, _)| done > 0) {
            let cancelled = block_on(session.handle(Request::Cancel { request: 1 }, Call::new(2, None, Rc::new(|_| {}))));
            assert_eq!(cancelled.map_err(|e| e.to_string()), Ok(Reply::Nothing));
        }
    };
    let fault = page
        .try_call_with(prepare(given("big.jsonl", "1/big.jsonl"), recipe(&[])), Some(files.clone()), cancel)
        .expect_err("it was cancelled");
    assert!(fault.contains("reading the data was cancelled"), "{fault}");
    // Once for the content by which kept tokens are found, and a part of it to tokenise.
    assert!(files.read.get() < size + (6 << 20), "{} of {size}", files.read.get());
    // Nothing is left half done: the next data is read as ever.
    page.prepare(&recipe(&[]));
}

#[test]
fn a_run_keeps_its_files_and_goes_on_without_them() {
    let small = [conversations(), conversations()].map(|data| match data {
        DataSource::Files { files } => files[0].text.clone().unwrap_or_default(),
        DataSource::Example { .. } => panic!("typed"),
    });
    let text = small.concat();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).expect("memory");
    let packed = packed.finish().expect("memory");
    let settings = recipe(&[("save_steps", 3.0)]);

    let run = |page: &Page, data: DataSource, files: Option<Rc<dyn Directory>>, stop: bool| {
        page.open();
        page.try_call_with(prepare(data, settings.clone()), files, |_| {}).unwrap_or_else(|e| panic!("{e}"));
        let session = page.session.clone();
        let on = move |event: &Event| {
            if stop && matches!(event, Event::Step { line } if line.current_steps == 4) {
                let _ = block_on(session.handle(Request::Stop, Call::new(2, None, Rc::new(|_| {}))));
            }
        };
        let train = Request::Train { recipe: settings.clone(), samples: no_samples(), beside: false };
        let (reply, events) = page.try_call(train, on).unwrap_or_else(|e| panic!("{e}"));
        let Reply::Ended(ended) = reply else { panic!("{reply:?}") };
        (ended, losses(&events))
    };
    let typed = DataSource::Files { files: vec![typed("talk.jsonl", &text)] };
    let (_, whole) = run(&Page::new(), typed, None, false);
    assert_eq!(whole.len(), 6);

    let page = Page::new();
    let files: Rc<dyn Directory> = Rc::new(MemoryDirectory::new("the given files").with("3/talk.jsonl.gz", packed.clone()));
    let (ended, begun) = run(&page, given("talk.jsonl.gz", "3/talk.jsonl.gz"), Some(files), true);
    assert!(!ended.finished && ended.run.data.as_deref() == Some("talk.jsonl.gz"), "{ended:?}");
    assert_eq!(begun, whole[..begun.len()], "a packed file is the same data");
    let later = Page::over(page.store.clone());
    let go_on = Request::GoOn { run: ended.run.id.clone(), beside: false };
    let (reply, events) = later.try_call(go_on, |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let Reply::Ended(ended) = reply else { panic!("{reply:?}") };
    assert!(ended.finished, "{ended:?}");
    let rest = losses(&events);
    assert_eq!(rest, whole[whole.len() - rest.len()..], "to the same bits, from the kept file");
    assert!(ended.run.bytes > ended.run.result_bytes + packed.len() as u64, "its size counts the data");
}

/// What earlier versions kept: every file as text.
#[test]
fn runs_of_earlier_versions_go_on() {
    let page = Page::new();
    page.open();
    page.prepare(&recipe(&[]));
    let session = page.session.clone();
    let on = move |event: &Event| {
        if matches!(event, Event::Step { line } if line.current_steps == 2) {
            let _ = block_on(session.handle(Request::Stop, Call::new(2, None, Rc::new(|_| {}))));
        }
    };
    let train = Request::Train { recipe: recipe(&[("save_steps", 1.0)]), samples: no_samples(), beside: false };
    let Reply::Ended(ended) = page.try_call(train, on).unwrap_or_else(|e| panic!("{e}")).0 else { panic!("no run") };
    let DataSource::Files { files } = conversations() else { panic!("typed") };
    let old = serde_json::json!({
        "data": {"kind": "files", "files": [{"name": "talk.jsonl", "text": files[0].text, "columns": null}]}, "evaluation": null,
    });
    let store = page.store.clone().with(&format!("kept/{}/data.json", ended.run.id), old.to_string());
    let later = Page::over(store);
    let Reply::Ended(ended) = later.call(Request::GoOn { run: ended.run.id, beside: false }) else { panic!("no run") };
    assert!(ended.finished, "{ended:?}");
}

#[test]
fn a_file_that_did_not_come_is_named() {
    let page = Page::new();
    page.open();
    let fault = page.fault(prepare(given("big.jsonl", "1/big.jsonl"), recipe(&[])));
    assert!(fault.contains("big.jsonl") && fault.contains("choose it again"), "{fault}");
    let neither = DataSource::Files { files: vec![DataFile { name: "a.jsonl".into(), ..DataFile::default() }] };
    assert!(page.fault(prepare(neither, recipe(&[]))).contains("neither a text nor a file"));
    let files: Rc<dyn Directory> = Rc::new(MemoryDirectory::new("the given files").with("1/a.jsonl.gz", b"no such thing".to_vec()));
    let fault = page
        .try_call_with(prepare(given("a.jsonl.gz", "1/a.jsonl.gz"), recipe(&[])), Some(files.clone()), |_| {})
        .expect_err("it is no gzip");
    assert!(fault.contains("a.jsonl.gz") && fault.contains("cannot be unpacked"), "{fault}");
    let file = DataFile { name: "t.csv".into(), file: Some("2/t.csv".into()), ..DataFile::default() };
    let table: Rc<dyn Directory> = Rc::new(MemoryDirectory::new("the given files").with("2/t.csv", b"frage;antwort\na;b\n".to_vec()));
    let (reply, _) = page.try_call_with(Request::Columns { file }, Some(table), |_| {}).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(reply, Reply::Columns(vec!["frage".into(), "antwort".into()]));
}
