use std::fmt;

/// How the numbers of a tensor are stored.
///
/// Codes and block shapes are those of ggml (`ggml.h`, `ggml-common.h`); codes whose support ggml removed
/// are unknown here too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GgmlType(&'static Layout);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Layout {
    code: u32,
    name: &'static str,
    block_elements: u64,
    block_bytes: u64,
}

impl GgmlType {
    /// Full precision, one element a block.
    pub const F32: Self = Self(&LAYOUTS[0]);
    /// Half precision, one element a block.
    pub const F16: Self = Self(&LAYOUTS[1]);
    /// Blocks of 32 four-bit numbers with a scale.
    pub const Q4_0: Self = Self(&LAYOUTS[2]);
    /// Blocks of 32 four-bit numbers with a scale and a minimum.
    pub const Q4_1: Self = Self(&LAYOUTS[3]);
    /// Blocks of 32 eight-bit numbers with a scale.
    pub const Q8_0: Self = Self(&LAYOUTS[6]);

    /// The type that a file's code stands for, if there is one.
    pub fn from_code(code: u32) -> Option<Self> {
        LAYOUTS.iter().find(|layout| layout.code == code).map(Self)
    }

    /// The code written in files.
    pub fn code(self) -> u32 {
        self.0.code
    }

    /// The name people use, such as `Q4_1`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Elements stored together as one block; a row holds whole blocks.
    pub fn block_elements(self) -> u64 {
        self.0.block_elements
    }

    /// Size of one block in bytes.
    pub fn block_bytes(self) -> u64 {
        self.0.block_bytes
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const fn layout(code: u32, name: &'static str, block_elements: u64, block_bytes: u64) -> Layout {
    Layout { code, name, block_elements, block_bytes }
}

static LAYOUTS: [Layout; 34] = [
    layout(0, "F32", 1, 4),
    layout(1, "F16", 1, 2),
    layout(2, "Q4_0", 32, 18),
    layout(3, "Q4_1", 32, 20),
    layout(6, "Q5_0", 32, 22),
    layout(7, "Q5_1", 32, 24),
    layout(8, "Q8_0", 32, 34),
    layout(9, "Q8_1", 32, 36),
    layout(10, "Q2_K", 256, 84),
    layout(11, "Q3_K", 256, 110),
    layout(12, "Q4_K", 256, 144),
    layout(13, "Q5_K", 256, 176),
    layout(14, "Q6_K", 256, 210),
    layout(15, "Q8_K", 256, 292),
    layout(16, "IQ2_XXS", 256, 66),
    layout(17, "IQ2_XS", 256, 74),
    layout(18, "IQ3_XXS", 256, 98),
    layout(19, "IQ1_S", 256, 50),
    layout(20, "IQ4_NL", 32, 18),
    layout(21, "IQ3_S", 256, 110),
    layout(22, "IQ2_S", 256, 82),
    layout(23, "IQ4_XS", 256, 136),
    layout(24, "I8", 1, 1),
    layout(25, "I16", 1, 2),
    layout(26, "I32", 1, 4),
    layout(27, "I64", 1, 8),
    layout(28, "F64", 1, 8),
    layout(29, "IQ1_M", 256, 56),
    layout(30, "BF16", 1, 2),
    layout(34, "TQ1_0", 256, 54),
    layout(35, "TQ2_0", 256, 66),
    layout(39, "MXFP4", 32, 17),
    layout(40, "NVFP4", 64, 36),
    layout(41, "Q1_0", 128, 18),
];
