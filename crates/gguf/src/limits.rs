/// Caps on what a header may ask for, on top of what the file's size allows.
///
/// The defaults are several times what the largest published models use (some 2,000 tensors, 60 pairs,
/// 262,144 tokens, a template of 30 KiB) and keep the parser's memory under about 200 MiB for the worst
/// file that passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most tensors in the directory.
    pub tensors_max: u64,
    /// Most metadata pairs.
    pub pairs_max: u64,
    /// Longest metadata key or tensor name, in bytes.
    pub name_bytes_max: u64,
    /// Longest string value, in bytes.
    pub string_bytes_max: u64,
    /// Most elements in one array.
    pub array_elements_max: u64,
    /// Longest header (everything before the tensor data), in bytes.
    pub header_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tensors_max: 65_536,
            pairs_max: 4_096,
            name_bytes_max: 256,
            string_bytes_max: 4 << 20,
            array_elements_max: 4 << 20,
            header_bytes_max: 64 << 20,
        }
    }
}
