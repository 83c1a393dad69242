//! Event streams (`text/event-stream`) in both directions, without I/O.
//!
//! Writing appends framed events to a buffer of the caller. Reading is incremental: a [`Parser`] is given
//! bytes as they arrive and hands out [`Event`]s, following the event-stream rules of the WHATWG HTML
//! standard, section 9.2.
//!
//! Invariants: how the bytes are split over pushes never changes the events; a parser holds at most one
//! line and one event of bounded size beside what was pushed and not yet taken; whatever `data` is
//! written comes back equal, but for line ends, which come back as LF.

mod event;
mod frame;
mod parser;

pub use event::Event;
pub use frame::{write_comment, write_event, write_retry};
pub use parser::{ParseError, Parser};
