/// Bounds on what a chat template may do in one rendering.
///
/// The defaults leave published templates a factor of ten or more: the largest are about 30 KiB, take a
/// few hundred steps a message, and write little more than the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateLimits {
    /// Longest template, in bytes.
    pub source_bytes_max: u64,
    /// Instructions of the interpreter, whatever the messages.
    pub steps_max: u64,
    /// Further instructions for each message.
    pub steps_per_message: u64,
    /// Bytes that may be written beyond four times the messages' own.
    pub output_bytes_max: u64,
    /// Work inside instructions, whatever the messages: one unit for each value looked at, and for each
    /// 64 bytes of text read or copied.
    pub work_max: u64,
    /// Further units for each message. Each byte of the messages adds one more, which is 64 passes over
    /// them.
    pub work_per_message: u64,
    /// Levels of lists and maps in a value.
    pub value_depth_max: u64,
    /// Namespaces that may be made. Each can hold a value of the full depth that ends in the next one, and
    /// dropping such a chain takes stack, so this times the depth must stay below some 50,000.
    pub namespaces_max: u64,
    /// Levels of macro calls and loops, in the interpreter's own measure.
    pub recursion_max: u64,
}

impl Default for TemplateLimits {
    fn default() -> Self {
        Self {
            source_bytes_max: 256 << 10,
            steps_max: 200_000,
            steps_per_message: 2_000,
            output_bytes_max: 4 << 20,
            work_max: 2_000_000,
            work_per_message: 1_000,
            value_depth_max: 32,
            namespaces_max: 1_000,
            recursion_max: 100,
        }
    }
}
