//! Two runs of one session, which take their steps in turn.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use rootstock::web::messages::{Ended, SettingValue};

use super::store::SlowStore;
use super::*;

/// A page whose store takes its time, so that the other run has its turn meanwhile, as it has in a browser.
fn slow(store: MemoryDirectory) -> Page {
    let output = Rc::new(SlowStore::over(&store, Rc::default()));
    Page::with(store, output)
}

type Replied = Result<Reply, String>;

fn train(settings: &Settings, beside: bool) -> Request {
    Request::Train { recipe: settings.clone(), samples: no_samples(), beside }
}

fn adapter() -> Settings {
    let mut settings = recipe(&[("lora_rank", 4.0)]);
    settings.insert("finetuning_type".into(), SettingValue::Text("lora".into()));
    settings
}

/// Works on several requests at once, as a browser does; events are kept with the request that they are of.
fn at_once(page: &Page, requests: Vec<Request>, on: impl Fn(usize, &Event) + 'static) -> (Vec<Replied>, Vec<(usize, Event)>) {
    let (events, on) = (Rc::new(RefCell::new(Vec::new())), Rc::new(on));
    let work = requests.into_iter().enumerate().map(|(index, request)| {
        let (events, on) = (events.clone(), on.clone());
        let hear = Rc::new(move |event: Event| {
            on(index, &event);
            events.borrow_mut().push((index, event));
        });
        Box::pin(page.session.handle(request, Call::new(index as u32 + 1, None, hear)))
    });
    let mut work: Vec<_> = work.collect();
    let mut replies: Vec<Option<Replied>> = work.iter().map(|_| None).collect();
    let mut all = pin!(poll_fn(|context| {
        for (work, reply) in work.iter_mut().zip(&mut replies) {
            if reply.is_none()
                && let Poll::Ready(ready) = work.as_mut().poll(context)
            {
                *reply = Some(ready.map_err(|e| e.to_string()));
            }
        }
        if replies.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    }));
    block_on(all.as_mut());
    let events = std::mem::take(&mut *events.borrow_mut());
    (replies.into_iter().flatten().collect(), events)
}

fn ended(reply: &Replied) -> &Ended {
    match reply {
        Ok(Reply::Ended(ended)) => ended,
        other => panic!("{other:?}"),
    }
}

fn of(run: usize, events: &[(usize, Event)]) -> Vec<(u64, u64)> {
    losses(&events.iter().filter(|(of, _)| *of == run).map(|(_, event)| event.clone()).collect::<Vec<_>>())
}

#[test]
fn two_runs_take_their_steps_in_turn_and_each_is_as_if_it_were_alone() {
    let settings = [recipe(&[]), adapter()];
    let alone = settings.clone().map(|settings| {
        let page = Page::new();
        page.open();
        page.prepare(&settings);
        let (reply, events) = page.try_call(train(&settings, false), |_| {}).unwrap_or_else(|e| panic!("{e}"));
        (ended(&Ok(reply)).peak_bytes, losses(&events))
    });
    let page = slow(MemoryDirectory::new("store"));
    page.open();
    page.prepare(&settings[0]);
    let (replies, events) = at_once(&page, settings.iter().map(|settings| train(settings, true)).collect(), |_, _| {});
    for (run, (peak, losses)) in alone.iter().enumerate() {
        let ended = ended(&replies[run]);
        assert!(ended.finished, "{ended:?}");
        assert_eq!(of(run, &events), *losses, "nothing of the other one is in it");
        assert_eq!(ended.peak_bytes, *peak, "its own memory");
    }
    let steps = events.iter().filter_map(|(run, event)| matches!(event, Event::Step { .. }).then_some(*run));
    // Whoever is ready first begins; from then on neither does two steps before the other.
    let order: Vec<usize> = steps.skip_while(|run| *run == 0).collect();
    assert!(order.len() > 6 && order.windows(2).filter(|pair| pair[0] == pair[1]).count() <= 1, "{order:?}");
    assert!(matches!(page.try_call(train(&settings[0], false), |_| {}), Ok((Reply::Ended(_), _))), "both have made room");
}

#[test]
fn a_run_goes_on_beside_others_only_if_each_was_started_so_and_all_are_stopped_together() {
    let page = slow(MemoryDirectory::new("store"));
    page.open();
    page.prepare(&recipe(&[]));
    let session = page.session.clone();
    let stop = move |run: usize, event: &Event| {
        if run == 1 && matches!(event, Event::Step { line } if line.current_steps == 2) {
            let alone = session.handle(train(&recipe(&[]), false), Call::new(9, None, Rc::new(|_| {})));
            let fault = block_on(alone).expect_err("it would be beside them").to_string();
            assert!(fault.contains("another run goes on"), "{fault}");
            block_on(session.handle(Request::Stop, Call::new(9, None, Rc::new(|_| {})))).expect("they go on");
        }
    };
    let (replies, events) = at_once(&page, vec![train(&recipe(&[]), true), train(&adapter(), true)], stop);
    for run in [0, 1] {
        let ended = ended(&replies[run]);
        assert!(!ended.finished && ended.run.usable && ended.run.step < ended.run.steps, "{ended:?}");
    }
    let first = [of(0, &events), of(1, &events)];
    // They go on together as well, also from different steps.
    let later = slow(page.store.clone());
    let go_on = |index: usize| Request::GoOn { run: ended(&replies[index]).run.id.clone(), beside: true };
    let (replies, events) = at_once(&later, vec![go_on(0), go_on(1)], |_, _| {});
    assert!(replies.iter().all(|reply| ended(reply).finished), "{replies:?}");
    assert_eq!([first[0].clone(), of(0, &events)].concat(), whole_run(&Page::new()), "to the same bits");
}
