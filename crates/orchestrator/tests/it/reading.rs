use std::time::Duration;

use api_types::TokenEvent;
use orchestrator::{Delivery, Subscription};
use serde_json::Value;

/// Longest wait for anything. Nothing is measured by it: whoever reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One event as a client reads it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// 0 for events without id.
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) data: Value,
    pub(crate) raw: Vec<u8>,
}

/// What a client has of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Story {
    /// With ids, in the order of their coming.
    pub(crate) events: Vec<Seen>,
    /// Without.
    pub(crate) notices: Vec<Seen>,
}

impl Story {
    pub(crate) fn push(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Events(bytes) => self.events.extend(parse(&bytes)),
            Delivery::Notice(bytes) => self.notices.extend(parse(&bytes)),
            Delivery::Terminal(terminal) => self.events.push(Seen {
                id: terminal.id,
                name: terminal.name.clone(),
                data: serde_json::from_str(&terminal.data).unwrap(),
                raw: terminal.data.clone().into_bytes(),
            }),
        }
    }

    pub(crate) fn last_id(&self) -> u64 {
        self.events.last().map_or(0, |event| event.id)
    }

    /// The text of all tokens.
    pub(crate) fn text(&self) -> String {
        self.tokens().map(|token| token.t).collect()
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = TokenEvent> {
        let tokens = self.events.iter().filter(|event| event.name == "token");
        tokens.map(|event| serde_json::from_value(event.data.clone()).unwrap())
    }

    pub(crate) fn end(&self) -> &Seen {
        let last = self.events.last().expect("a terminal event");
        assert!(matches!(&*last.name, "end" | "error"), "not over: {last:?}");
        last
    }

    pub(crate) fn code(&self) -> &str {
        self.end().data["code"].as_str().unwrap_or("none")
    }

    pub(crate) fn reason(&self) -> &str {
        self.end().data["finish_reason"].as_str().unwrap_or("none")
    }

    /// What must hold of whatever a client has, from the event behind `after` on.
    pub(crate) fn check(&self, after: u64) {
        for (event, id) in self.events.iter().zip(after + 1..) {
            assert_eq!(event.id, id, "a gap or a repetition: {:?}", self.events);
            let is_last = id == self.last_id();
            match &*event.name {
                "started" => assert_eq!(id, 1),
                "token" => assert!(id > 1),
                "end" | "error" => assert!(is_last, "something follows the end"),
                other => panic!("an event with id of kind {other}"),
            }
        }
        if after == 0 {
            let mut next = 0;
            for token in self.tokens() {
                assert_eq!(token.i, next, "token indexes have a gap: {:?}", self.events);
                next += u64::from(token.n.unwrap_or(0));
            }
        }
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Vec<Seen> {
    let text = std::str::from_utf8(bytes).unwrap();
    let event = |block: &str| {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        Seen {
            id: field("id").parse().unwrap_or_default(),
            name: field("event"),
            data: serde_json::from_str(&field("data")).unwrap(),
            raw: block.as_bytes().to_vec(),
        }
    };
    text.split_terminator("\n\n").map(event).collect()
}

/// What comes next; fails where nothing comes.
pub(crate) async fn next(subscription: &mut Subscription) -> Option<Delivery> {
    let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
    next.expect("something comes").map(Result::unwrap)
}

/// Reads until the stream is over.
pub(crate) async fn read_all(subscription: &mut Subscription) -> Story {
    let mut story = Story::default();
    while let Some(delivery) = next(subscription).await {
        story.push(delivery);
    }
    story
}

/// Reads until an event with this id was there.
pub(crate) async fn read_to(subscription: &mut Subscription, id: u64) -> Story {
    let mut story = Story::default();
    while story.last_id() < id {
        let delivery = next(subscription).await;
        story.push(delivery.unwrap_or_else(|| panic!("over before {id}: {story:?}")));
    }
    story
}

/// Waits for a condition that somebody else brings about.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_elapsed| panic!("never came true: {what}"));
}
