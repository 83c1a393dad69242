/// Keys and values of the tokens read so far, in single precision. Memory is taken in steps as tokens
/// come, so a large context costs nothing until it is used.
pub(crate) struct KvCache {
    layers: Vec<LayerCache>,
    width: usize,
    tokens_max: usize,
}

/// Keys and values of one layer, `width` numbers for each token.
#[derive(Default)]
pub(crate) struct LayerCache {
    pub(crate) keys: Vec<f32>,
    pub(crate) values: Vec<f32>,
}

/// Tokens for which memory is taken at once.
pub(crate) const STEP_TOKENS: usize = 256;

/// Keys, and values.
pub(crate) const KINDS: usize = 2;

impl KvCache {
    pub(crate) fn new(layers: usize, width: usize, tokens_max: usize) -> Self {
        let layers = (0..layers).map(|_| LayerCache::default()).collect();
        Self { layers, width, tokens_max }
    }

    pub(crate) fn tokens_max(&self) -> usize {
        self.tokens_max
    }

    /// Makes room for the tokens up to `tokens`; false if the machine has no memory for them.
    pub(crate) fn reserve(&mut self, tokens: usize) -> bool {
        let numbers = tokens.next_multiple_of(STEP_TOKENS) * self.width;
        self.layers.iter_mut().flat_map(|layer| [&mut layer.keys, &mut layer.values]).all(
            |numbers_of| {
                numbers_of.try_reserve_exact(numbers.saturating_sub(numbers_of.len())).is_ok()
            },
        )
    }

    pub(crate) fn layer(&mut self, layer: usize) -> &mut LayerCache {
        &mut self.layers[layer]
    }

    /// Forgets all tokens and gives back what more than one step took.
    pub(crate) fn clear(&mut self) {
        for numbers in self.layers.iter_mut().flat_map(|layer| [&mut layer.keys, &mut layer.values])
        {
            numbers.clear();
            numbers.shrink_to(STEP_TOKENS * self.width);
        }
    }
}
