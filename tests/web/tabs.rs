//! One run, several requests and tabs: who may touch it, and what ends it.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::store::{Events, SlowFolder, SlowStore};
use super::*;

/// A page whose store takes its time.
fn slow_page() -> (Page, Rc<Events>) {
    let (store, events) = (MemoryDirectory::new("store"), Rc::<Events>::default());
    let output = Rc::new(SlowStore::over(&store, events.clone()));
    (Page::with(store, output), events)
}

fn train_request() -> Request {
    Request::Train { recipe: recipe(&[("save_steps", 2.0)]), samples: no_samples(), beside: false }
}

fn ask(session: &Rc<Session>, request: Request) -> Result<Reply, String> {
    block_on(session.handle(request, Call::new(2, None, Rc::new(|_| {})))).map_err(|e| e.to_string())
}

fn runs(session: &Rc<Session>) -> Vec<rootstock::web::messages::Run> {
    match ask(session, Request::Runs) {
        Ok(Reply::Runs(runs)) => runs,
        other => panic!("{other:?}"),
    }
}

fn broken_folder() -> Rc<dyn Directory> {
    let case = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/validate/broken");
    let cases = std::fs::read_dir(case).expect("there are cases").filter_map(|e| e.ok()).map(|e| e.path());
    let case = cases.filter(|path| path.ends_with("25-fsdp-wrapped-module")).min().expect("a case of prefixed names");
    Rc::new(SlowFolder(Rc::new(open_directory(&case).expect("it is there"))))
}

/// The list looks at a run between the two steps in which a snapshot gets its name.
#[test]
fn listing_leaves_a_run_alone_that_is_being_saved() {
    let (page, events) = slow_page();
    page.open();
    page.prepare(&recipe(&[]));
    let looks = Rc::new(Cell::new(0));
    let (session, count) = (page.session.clone(), looks.clone());
    *events.renaming.borrow_mut() = Some(Box::new(move || {
        count.set(count.get() + 1);
        let listed = runs(&session);
        assert!(listed.len() == 1 && listed[0].live && !listed[0].finished, "{listed:?}");
        let fault = ask(&session, Request::Remove { id: listed[0].id.clone() }).expect_err("it goes on");
        assert!(fault.contains("stop it first"), "{fault}");
    }));
    let (reply, _) = page.try_call(train_request(), |_| {}).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&reply, Reply::Ended(ended) if ended.finished && !ended.run.live), "{reply:?}");
    assert!(looks.get() >= 2, "snapshots were written");
    *events.renaming.borrow_mut() = None;
}

#[test]
fn another_tab_sees_a_live_run_and_cannot_touch_it() {
    let page = Page::new();
    page.open();
    page.prepare(&recipe(&[]));
    let other = page.beside();
    let looks = Rc::new(Cell::new(0));
    let (session, count) = (other.session.clone(), looks.clone());
    let look = move |event: &Event| {
        if !matches!(event, Event::Saved { step: 2 }) {
            return;
        }
        count.set(count.get() + 1);
        let listed = runs(&session);
        assert!(listed.len() == 1 && listed[0].live && listed[0].usable, "{listed:?}");
        let id = listed[0].id.clone();
        let refused = [Request::GoOn { run: id.clone(), beside: false }, Request::Remove { id }];
        for request in refused {
            let fault = ask(&session, request).expect_err("it is another tab's");
            assert!(fault.contains("in another tab"), "{fault}");
        }
    };
    page.try_call(train_request(), look).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(looks.get(), 1);
    let listed = runs(&other.session);
    assert!(!listed[0].live && listed[0].finished, "{listed:?}");
    other.call(Request::Remove { id: listed[0].id.clone() });
    assert_eq!(runs(&page.session), []);
}

#[test]
fn of_two_runs_that_are_asked_for_at_once_one_starts() {
    let (page, _) = slow_page();
    page.open();
    page.prepare(&recipe(&[]));
    let handle = |id| page.session.handle(train_request(), Call::new(id, None, Rc::new(|_| {})));
    let (mut first, mut second) = (pin!(handle(1)), pin!(handle(2)));
    let (mut one, mut two) = (None, None);
    block_on(poll_fn(|context| {
        if one.is_none()
            && let Poll::Ready(reply) = first.as_mut().poll(context)
        {
            one = Some(reply);
        }
        if two.is_none()
            && let Poll::Ready(reply) = second.as_mut().poll(context)
        {
            two = Some(reply);
        }
        if one.is_some() && two.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }));
    assert!(matches!(one, Some(Ok(Reply::Ended(ended))) if ended.finished));
    let fault = two.expect("it has ended").expect_err("the first one goes on").to_string();
    assert!(fault.contains("another run goes on"), "{fault}");
    assert_eq!(runs(&page.session).len(), 1);
}

#[test]
fn a_run_that_fails_after_a_lost_device_makes_room_for_the_next() {
    let (page, events) = slow_page();
    page.open();
    page.prepare(&recipe(&[]));
    let (session, store) = (page.session.clone(), events.clone());
    let lose = move |event: &Event| {
        if matches!(event, Event::Step { line } if line.current_steps == 3) && !session.has_lost_a_device() {
            session.lose_device();
            store.broken.set(true);
        }
    };
    let fault = page.try_call(train_request(), lose).expect_err("the newest checkpoint cannot be looked for");
    assert!(fault.contains("the store is broken"), "{fault}");
    events.broken.set(false);
    let (reply, _) = page.try_call(train_request(), |_| {}).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&reply, Reply::Ended(ended) if ended.finished), "{reply:?}");
}

/// Another request that ends first takes the lost device out of the session.
#[test]
fn a_lost_device_is_recovered_though_another_request_ends_first() {
    let page = Page::new();
    page.open();
    page.prepare(&recipe(&[]));
    let session = page.session.clone();
    let lose = move |event: &Event| {
        if matches!(event, Event::Step { line } if line.current_steps == 3) && !session.has_lost_a_device() {
            session.lose_device();
            ask(&session, Request::Keys).expect("it asks nothing of the device");
        }
    };
    let (reply, events) = page.try_call(train_request(), lose).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&reply, Reply::Ended(ended) if ended.finished), "{reply:?}");
    assert!(events.iter().any(|event| matches!(event, Event::DeviceLost { step: 2, .. })), "{events:?}");
}

#[test]
fn a_cancelled_run_ends_with_what_it_has() {
    let page = Page::new();
    page.open();
    page.prepare(&recipe(&[]));
    let session = page.session.clone();
    let cancel = move |event: &Event| {
        if matches!(event, Event::Step { line } if line.current_steps == 3) {
            ask(&session, Request::Cancel { request: 1 }).expect("it is there");
        }
    };
    let (reply, _) = page.try_call(train_request(), cancel).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(&reply, Reply::Ended(ended) if !ended.finished && ended.run.usable && ended.run.step == 3), "{reply:?}");
}

#[test]
fn a_cancelled_check_or_repair_ends_with_a_sentence_and_leaves_nothing() {
    let page = Page::new();
    let call = |request: Request, on: Rc<dyn Fn(Event)>| {
        block_on(page.session.handle(request, Call::new(1, Some(broken_folder()), on))).map_err(|e| e.to_string())
    };
    let open = Request::Open { source: BaseSource::Files { name: "broken".into() } };
    call(open, Rc::new(|_| {})).unwrap_or_else(|e| panic!("{e}"));
    for (request, words) in [(Request::Validate, "the check of the base was cancelled"), (Request::Repair, "the repair was cancelled")] {
        let session = page.session.clone();
        let cancel = Rc::new(move |event: Event| {
            if matches!(event, Event::Progress { .. }) {
                ask(&session, Request::Cancel { request: 1 }).expect("it is there");
            }
        });
        assert_eq!(call(request, cancel), Err(words.to_string()));
        assert_eq!(runs(&page.session), []);
        assert_eq!(block_on(page.store.list()), Ok(Vec::new()), "nothing is left");
    }
    let repaired = page.call(Request::Repair);
    assert!(matches!(&repaired, Reply::Repaired(_)), "and it can be asked for again: {repaired:?}");
}

/// As a tab leaves it that is closed while it merges.
#[test]
fn what_a_closed_tab_left_half_made_is_deleted() {
    let page = Page::new();
    page.open();
    page.prepare(&recipe(&[]));
    page.call(train_request());
    let kept = runs(&page.session);
    let about = br#"{"name": "x, merged", "method": "merge", "base_name": "x", "base": {"kind": "embedded"}, "recipe": {}, "steps": 0,
        "created": 1, "finished": false}"#;
    let _ = page.store.clone().with("kept/merge-1/about.json", *about).with("kept/merge-1/.out.partial/model.safetensors", *b"half");
    let _ = page.store.clone().with("kept/full-1/data.json", *b"{}");
    let _ = page.store.clone().with("kept/full-2/about.json", *b"damaged").with("kept/full-2/out/model.safetensors", *b"precious");
    let other = page.beside();
    {
        // Whoever is at it keeps it.
        let _held = block_on(page.store.subdirectory("kept").lock(".merge-1.lock")).expect("it is free");
        let listed = runs(&other.session);
        assert!(listed.iter().any(|run| run.id == "merge-1" && run.live && !run.usable), "{listed:?}");
    }
    assert_eq!(runs(&other.session), kept);
    let left: Vec<String> = block_on(page.store.list()).expect("it is read").into_iter().map(|entry| entry.name).collect();
    assert!(!left.iter().any(|name| name.contains("merge-1") || name.contains("full-1/")), "{left:?}");
    assert!(left.iter().any(|name| name == "kept/full-2/out/model.safetensors"), "what is damaged is not deleted: {left:?}");
}
