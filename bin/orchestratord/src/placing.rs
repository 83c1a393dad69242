use config_schema::{BaseStrategy, Placement, PlacementStrategy};
use placement::{Base, Strategy};

/// How replicas are chosen where a model does not say.
pub(crate) fn global(placement: &Placement) -> Strategy {
    strategy(placement.strategy, placement.base)
}

/// How replicas are chosen under a strategy of the configuration.
pub(crate) fn strategy(chosen: PlacementStrategy, base: BaseStrategy) -> Strategy {
    match chosen {
        PlacementStrategy::SessionSticky => Strategy::SessionSticky(match base {
            BaseStrategy::LeastLoaded => Base::LeastLoaded,
            BaseStrategy::VramAware => Base::VramAware,
            BaseStrategy::RoundRobin => Base::RoundRobin,
        }),
        PlacementStrategy::LeastLoaded => Strategy::Plain(Base::LeastLoaded),
        PlacementStrategy::VramAware => Strategy::Plain(Base::VramAware),
        PlacementStrategy::RoundRobin => Strategy::Plain(Base::RoundRobin),
    }
}
