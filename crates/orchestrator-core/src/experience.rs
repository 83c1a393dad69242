use crate::{Class, ModelId, ServiceSample, calibration::Calibration, service_times::ServiceTimes};

/// What was learned of a model from its attempts and waits, to be told to the scheduler of a later process.
#[derive(Debug, Clone, PartialEq)]
pub struct Experience {
    pub model: ModelId,
    /// What the last attempts took, oldest first.
    pub samples: Vec<ServiceSample>,
    /// How predictions of starts turned out.
    pub waits: Vec<Waits>,
}

/// How predictions of starts of one kind turned out.
#[derive(Debug, Clone, PartialEq)]
pub struct Waits {
    pub class: Class,
    /// Binary logarithm of the starts that were ahead.
    pub depth: u32,
    /// By how much longer tasks waited than the queue, the slots and the service times said; oldest first.
    pub factors: Vec<f64>,
    /// Shares of the waits that the interval leaves out before and behind it.
    pub tails: [f64; 2],
}

/// The same, as the scheduler uses it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Learned {
    pub(crate) times: ServiceTimes,
    pub(crate) calibration: Calibration,
}
