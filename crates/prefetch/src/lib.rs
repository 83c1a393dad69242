//! Hints to the processor about memory that is needed soon.
//!
//! A daemon that relays many streams touches some forty cache lines for each token, most of which belong to
//! that stream alone and were last used some milliseconds ago. Met one after the other, each costs a wait for
//! the memory; asked for together, ahead of need, they come together, while something else is done.
//!
//! ```
//! use prefetch::Lines;
//!
//! let table = vec![0_u64; 1024];
//! let soon = Lines::of(&table[512..528]);
//! // ... what else there is to do ...
//! soon.fetch();
//! assert_eq!(soon.len_bytes(), 128);
//! ```

mod lines;

pub use lines::Lines;
