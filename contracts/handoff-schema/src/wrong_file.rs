/// Why a text is no handoff file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongFile {
    /// It is longer than any such file may be.
    #[error("the file has more than {max} bytes")]
    TooLarge { max: usize },
    /// It is no JSON: most likely somebody is still writing it.
    #[error("the file is not whole JSON: {reason}")]
    HalfWritten { reason: String },
    /// It is of a format that this build does not know.
    #[error("the file has schema {schema}, and this build knows schema 1")]
    UnknownSchema { schema: String },
    /// It is whole, and says something wrong.
    #[error("{problems}")]
    Wrong { problems: String },
}
