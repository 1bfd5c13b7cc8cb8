//! Answers while a run is under way: skipped, asked again after a break, asked of the model that learns.

use super::*;

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
    let (reply, first) =
        page.try_call(Request::Train { recipe: recipe(&[]), samples, beside: false }, hear).unwrap_or_else(|e| panic!("{e}"));
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
    let (_, rest) = later.try_call(Request::GoOn { run: ended.run.id, beside: false }, |_| {}).unwrap_or_else(|e| panic!("{e}"));
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
    let train = Request::Train { recipe: recipe(&[]), samples: no_samples(), beside: false };
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
