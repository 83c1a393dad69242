//! What the daemons' metrics have in common: each family is declared once, its labels come from bounded
//! sets, and a page of families is written as OpenMetrics text.
//!
//! Invariants: a label has at most [`LABEL_VALUES_MAX`] values beside [`OTHER`], over all families of a page,
//! for as long as the process lives; a value once taken is never given up, so that no counter goes back;
//! writing a page changes nothing; a family appears on every page, with or without series.

mod counter;
mod declaration;
mod family;
mod histogram;
mod label_values;
mod page;
mod sampled;

pub use counter::Counter;
pub use declaration::{Declaration, Kind, Unit, list};
pub use family::{Family, Value};
pub use histogram::Histogram;
pub use label_values::{LABEL_VALUES_MAX, LabelValues, OTHER};
pub use page::{CONTENT_TYPE, Exposed, write_page};
pub use sampled::Sampled;
