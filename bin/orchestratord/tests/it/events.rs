//! Reading streams of events, byte by byte as they came.

use serde_json::Value;

use crate::http::Reply;

/// One event, or a comment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<u64>,
    pub(crate) name: String,
    /// The text behind `data:`.
    pub(crate) data: String,
    /// All its lines.
    pub(crate) lines: Vec<String>,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.id.is_some() && !["started", "token"].contains(&self.name.as_str())
    }
}

/// The events of an answer, as they arrive.
pub(crate) struct EventReader {
    pub(crate) reply: Reply,
}

impl EventReader {
    #[track_caller]
    pub(crate) fn new(reply: Reply) -> Self {
        if reply.status != 200 {
            let answer = reply.answer();
            panic!("{}: {}", answer.status, answer.text());
        }
        Self { reply }
    }

    /// The next block, whatever it holds; `None` at the end of the stream.
    pub(crate) fn block(&mut self) -> Option<Event> {
        let mut event = Event { id: None, name: String::new(), data: String::new(), lines: vec![] };
        loop {
            let line = self.reply.line()?;
            if line.is_empty() {
                return Some(event);
            }
            match line.split_once(": ") {
                Some(("id", id)) => event.id = Some(id.parse().unwrap()),
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("data", data)) => event.data.push_str(data),
                _ => {}
            }
            event.lines.push(line);
        }
    }

    /// The next event with an id.
    pub(crate) fn next_stored(&mut self) -> Option<Event> {
        loop {
            let event = self.block()?;
            if event.id.is_some() {
                return Some(event);
            }
        }
    }

    /// All further events with ids, to the end of the stream.
    pub(crate) fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next_stored()).collect()
    }

    /// Reads until `count` events with ids were read.
    #[track_caller]
    pub(crate) fn take(&mut self, count: usize) -> Vec<Event> {
        let events: Vec<Event> = std::iter::from_fn(|| self.next_stored()).take(count).collect();
        assert_eq!(events.len(), count, "the stream ended early: {events:?}");
        events
    }
}

/// Asserts that these are all events of a task: ids from 1 without a gap, the order of ORCH-072, token
/// indexes without a gap; returns the text and the terminal event.
#[track_caller]
pub(crate) fn whole(events: &[Event]) -> (String, Event) {
    let ids: Vec<u64> = events.iter().filter_map(|event| event.id).collect();
    assert_eq!(ids, (1..=events.len() as u64).collect::<Vec<_>>(), "ids without a gap");
    let (last, before) = events.split_last().expect("a task has a terminal event");
    assert!(last.is_terminal(), "{last:?}");
    let mut text = String::new();
    let mut index = 0;
    for (place, event) in before.iter().enumerate() {
        let expected = if place == 0 { "started" } else { "token" };
        assert_eq!(event.name, expected, "{event:?}");
        if place > 0 {
            let token = event.json();
            if let Some(n) = token["n"].as_u64() {
                assert_eq!(token["i"].as_u64(), Some(index), "{event:?}");
                index += n;
            }
            text.push_str(token["t"].as_str().unwrap());
        }
    }
    (text, last.clone())
}
