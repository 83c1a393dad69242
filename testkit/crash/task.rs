use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

use crate::{frames::Frame, job::Outcome};

/// An acknowledged task, and all that any of its subscribers ever saw.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: String,
    /// Events in the order of their ids, from 1.
    seen: Mutex<Vec<Frame>>,
}

impl Task {
    pub(crate) fn new(id: String) -> Self {
        Self { id, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Frame>> {
        self.seen.lock().expect("no holder panics")
    }

    /// Highest id that anyone saw.
    pub(crate) fn last_id(&self) -> u64 {
        self.seen().len() as u64
    }

    /// Whether its end was seen.
    pub(crate) fn is_over(&self) -> bool {
        self.seen().last().is_some_and(Frame::is_terminal)
    }

    /// Takes in an event with this id; true where nobody saw it before.
    ///
    /// # Errors
    /// It differs from what was seen under the same id, or it can have none.
    pub(crate) fn see(&self, id: u64, frame: Frame) -> Result<bool, String> {
        let mut seen = self.seen();
        let place = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let place = place.filter(|&place| place <= seen.len());
        let place = place.ok_or_else(|| format!("id {id} after {} events", seen.len()))?;
        if let Some(known) = seen.get(place) {
            if known.bytes == frame.bytes {
                return Ok(false);
            }
            let text = |frame: &Frame| String::from_utf8_lossy(&frame.bytes).into_owned();
            return Err(format!("id {id} was {:?} and is {:?}", text(known), text(&frame)));
        }
        if seen.last().is_some_and(Frame::is_terminal) {
            return Err(format!("id {id} comes after the end: {}", frame.name));
        }
        seen.push(frame);
        Ok(true)
    }

    /// What the events say in the end, checked for their form: `started`, then tokens whose indices have
    /// no gap, then `end`.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn outcome(&self) -> Result<Outcome, String> {
        let seen = self.seen();
        let (last, before) = seen.split_last().ok_or("it has no events")?;
        let (first, tokens) = before.split_first().ok_or("it has one event only")?;
        if (first.name.as_str(), last.name.as_str()) != ("started", "end") {
            return Err(format!("it begins with {:?} and ends with {:?}", first.name, last.data));
        }
        let mut outcome = Outcome { text: String::new(), finish_reason: String::new() };
        let mut count = 0;
        for frame in tokens {
            let data = parse(frame)?;
            let (index, text) = (data["i"].as_u64(), data["t"].as_str());
            let number = if data["n"].is_null() { Some(1) } else { data["n"].as_u64() };
            match (frame.name.as_str(), text, number) {
                ("token", Some(text), Some(number)) if index == Some(count) => {
                    outcome.text += text;
                    count += number;
                }
                _ => return Err(format!("after {count} tokens comes {} {data}", frame.name)),
            }
        }
        let end = parse(last)?;
        end["finish_reason"].as_str().unwrap_or_default().clone_into(&mut outcome.finish_reason);
        Ok(outcome)
    }

    /// The number of events, and the bytes of text in them.
    pub(crate) fn size(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.len() as u64, seen.iter().map(|frame| frame.bytes.len() as u64).sum())
    }
}

fn parse(frame: &Frame) -> Result<Value, String> {
    serde_json::from_str(&frame.data)
        .map_err(|error| format!("{:?} is no JSON: {error}", frame.data))
}
