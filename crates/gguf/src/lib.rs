//! Bounds-checked reader of GGUF headers.
//!
//! A model file comes from a stranger. Engines have crashed, and leaked their memory, on headers that
//! promised more than the file holds, so every file is read by this parser before an engine sees it.
//!
//! What holds for every input:
//! - no panic: each read, sum and product is checked, and a failure is a [`GgufError`] that names the
//!   offset and what is wrong there;
//! - no large allocation that the input did not pay for: memory grows with bytes that were really read,
//!   never with a count that the file merely claims, and [`Limits`] cap what is left;
//! - a [`Header`] that parsed describes tensors that lie inside the file, aligned and apart from each
//!   other.
//!
//! Little-endian GGUF 2 and 3 are read, the versions that engines still load. The format is described in
//! `docs/gguf.md` of the ggml repository.
//!
//! ```no_run
//! let mut file = std::fs::File::open("model.gguf")?;
//! let header = gguf::Header::read(&mut file)?;
//! println!("{} needs {} bytes of weights", header.architecture()?, header.weights_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod array;
mod error;
mod ggml_type;
mod header;
mod limits;
mod metadata;
mod model_facts;
mod source;
mod tensor;
#[cfg(feature = "testing")]
pub mod testing;
mod value;

pub use array::{Array, StringArray};
pub use error::GgufError;
pub use ggml_type::GgmlType;
pub use header::Header;
pub use limits::Limits;
pub use metadata::Metadata;
pub use tensor::TensorInfo;
pub use value::{Value, ValueType};
