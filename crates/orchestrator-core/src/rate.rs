/// How far back a rate looks, in milliseconds.
const WINDOW_MS: u64 = 30_000;

/// How often something happens, over the last [`WINDOW_MS`]: two counts a window long each, the older one
/// weighted by the share of it that the window still covers. Constant in size and in time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    /// Since when it is measured; `None` before the first event of one that starts with it.
    measured_since_ms: Option<u64>,
    began_ms: u64,
    current: u64,
    before: u64,
}

impl Rate {
    /// Measured from now on.
    pub(crate) fn since(now_ms: u64) -> Self {
        Self { measured_since_ms: Some(now_ms), began_ms: now_ms, current: 0, before: 0 }
    }

    /// One more happened. The first of a rate that is not measured yet only starts the measurement.
    pub(crate) fn count(&mut self, now_ms: u64) {
        if self.measured_since_ms.is_none() {
            *self = Self::since(now_ms);
            return;
        }
        if now_ms.saturating_sub(self.began_ms) >= 2 * WINDOW_MS {
            (self.before, self.current, self.began_ms) = (0, 0, now_ms);
        } else if now_ms.saturating_sub(self.began_ms) >= WINDOW_MS {
            (self.before, self.current) = (self.current, 0);
            self.began_ms += WINDOW_MS;
        }
        self.current += 1;
    }

    /// Events a millisecond; `None` before it was measured for `measured_ms_min`.
    #[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^52")]
    pub(crate) fn per_ms(&self, now_ms: u64, measured_ms_min: u64) -> Option<f64> {
        let measured_ms = now_ms.saturating_sub(self.measured_since_ms?);
        if measured_ms < measured_ms_min.max(1) {
            return None;
        }
        let age_ms = now_ms.saturating_sub(self.began_ms);
        let events = match age_ms / WINDOW_MS {
            0 => {
                self.current as f64
                    + self.before as f64 * (WINDOW_MS - age_ms) as f64 / WINDOW_MS as f64
            }
            1 => self.current as f64 * (2 * WINDOW_MS - age_ms) as f64 / WINDOW_MS as f64,
            _ => 0.0,
        };
        Some(events / measured_ms.min(WINDOW_MS) as f64)
    }
}
