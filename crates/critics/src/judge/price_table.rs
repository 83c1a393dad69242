use std::collections::BTreeMap;

use critic_executor::MicroDollars;

use super::JudgeUsage;

/// What models cost.
///
/// ```
/// use critic_executor::MicroDollars;
/// use critics::{JudgeUsage, Price, PriceTable};
///
/// let table = PriceTable::new().with("small", Price { per_million_in: MicroDollars(150_000), per_million_out: MicroDollars(600_000) });
/// let usage = JudgeUsage { tokens_in: 1000, tokens_out: 10 };
/// assert_eq!(table.cost("small", usage), Some(MicroDollars(156)));
/// assert_eq!(table.cost("unheard of", usage), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceTable {
    prices: BTreeMap<String, Price>,
}

/// Prices of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Price {
    /// For a million tokens read.
    pub per_million_in: MicroDollars,
    /// For a million tokens written.
    pub per_million_out: MicroDollars,
}

impl PriceTable {
    /// A table without models.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a model, or replaces its price.
    #[must_use]
    pub fn with(mut self, model: impl Into<String>, price: Price) -> Self {
        self.prices.insert(model.into(), price);
        self
    }

    /// What an answer cost, rounded up once; `None` for a model that is not in the table.
    #[must_use]
    pub fn cost(&self, model: &str, usage: JudgeUsage) -> Option<MicroDollars> {
        let price = self.prices.get(model)?;
        let part = |tokens: u64, price: MicroDollars| u128::from(tokens) * u128::from(price.0);
        let millionths = part(usage.tokens_in, price.per_million_in)
            .saturating_add(part(usage.tokens_out, price.per_million_out));
        let cost = millionths.div_ceil(1_000_000);
        Some(MicroDollars(u64::try_from(cost).unwrap_or(u64::MAX)))
    }
}
