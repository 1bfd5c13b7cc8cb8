//! An answer as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame};
use serde_json::Value as Json;
use tokio::sync::mpsc::UnboundedReceiver;

use super::queue::Event;
use super::reply::Head;

/// The body of a streamed answer. When the client leaves it is dropped, and with it the receiver: the model stops then.
pub(super) struct Events {
    events: UnboundedReceiver<Event>,
    head: Head,
    include_usage: bool,
    /// What is to be sent next.
    ready: VecDeque<Bytes>,
    ended: bool,
}

impl Events {
    pub(super) fn new(events: UnboundedReceiver<Event>, head: Head, include_usage: bool) -> Events {
        let mut stream = Events { events, include_usage, ready: VecDeque::new(), ended: false, head };
        let opening = stream.head.opening();
        stream.put(opening);
        stream
    }

    fn put(&mut self, parts: impl IntoIterator<Item = Json>) {
        // JSON has no line breaks outside of strings, where they are escaped.
        self.ready.extend(parts.into_iter().map(|part| Bytes::from(format!("data: {part}\n\n"))));
    }

    fn take(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Begun) => {}
            Some(Event::Text(text)) => {
                let more = self.head.more(&text);
                self.put([more]);
            }
            Some(Event::Done(end)) => {
                let closing = self.head.closing(&end, self.include_usage);
                self.put(closing);
                self.ready.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
                self.ended = true;
            }
            Some(Event::Failed(fault)) => {
                self.put([fault.json()]);
                self.ended = true;
            }
            // The model's thread has ended without a word.
            None => self.ended = true,
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let event = ready!(self.events.poll_recv(context));
            self.take(event);
        }
    }
}
