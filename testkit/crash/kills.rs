use std::{sync::atomic::Ordering, time::Duration};

use crate::{
    choices::Choices,
    clock::{now, pause_ms, wall_ms},
    daemon::{Daemon, Setup},
    options::Engine,
    scene::Scene,
};

/// Longest wait for an event after a start; then the daemon is killed although it is idle.
const EVENT_WITHIN: Duration = Duration::from_secs(20);

/// When a kill comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// So many milliseconds after the process was started, while it reads what is there.
    Starting(u64),
    /// So many milliseconds after it was ready, while what was interrupted is put together again.
    Ready(u64),
    /// So many milliseconds after somebody got a new event.
    Working(u64),
}

impl Moment {
    fn of(choices: &mut Choices, engine: Engine) -> Self {
        match (engine, choices.up_to(19)) {
            (Engine::Scripted, 0..3) => Self::Starting(choices.up_to(80)),
            (Engine::Scripted, 3..6) => Self::Ready(choices.up_to(150)),
            (Engine::Scripted, _) => Self::Working(choices.up_to(1_600)),
            // The model is read in after the start, and that takes seconds; work is what counts.
            (Engine::Candle, 0..2) => Self::Starting(choices.up_to(2_000)),
            (Engine::Candle, _) => Self::Working(choices.up_to(1_500)),
        }
    }
}

/// What the kills were, and how the starts went.
#[derive(Debug, Default)]
pub(crate) struct Kills {
    pub(crate) starting: u32,
    pub(crate) ready: u32,
    pub(crate) working: u32,
    pub(crate) starts: u32,
    /// Times from a start to readiness, where that was waited for.
    pub(crate) ready_after: Vec<Duration>,
    /// When the kills came, in milliseconds since 1970.
    pub(crate) at_wall_ms: Vec<i64>,
}

impl Kills {
    /// Starts a daemon and waits until it is ready.
    pub(crate) fn start(&mut self, setup: &Setup) -> anyhow::Result<Daemon> {
        let mut daemon = self.start_only(setup)?;
        self.ready_after.push(daemon.wait_until_ready()?);
        Ok(daemon)
    }

    fn start_only(&mut self, setup: &Setup) -> anyhow::Result<Daemon> {
        self.starts += 1;
        Daemon::start(setup, self.starts)
    }

    /// Kills daemons, so many of them, and gives the one that is left running.
    pub(crate) fn carry_out(
        &mut self,
        scene: &Scene,
        setup: &Setup,
        count: u32,
        first: Daemon,
    ) -> anyhow::Result<Daemon> {
        let mut choices = Choices::of(scene.seed, "kills", 0);
        let mut daemon = first;
        let mut is_ready = true;
        for _ in 0..count {
            match Moment::of(&mut choices, scene.engine) {
                Moment::Starting(delay_ms) => {
                    pause_ms(delay_ms);
                    self.starting += 1;
                }
                Moment::Ready(delay_ms) => {
                    self.wait_until_ready(&mut daemon, &mut is_ready)?;
                    pause_ms(delay_ms);
                    self.ready += 1;
                }
                Moment::Working(delay_ms) => {
                    self.wait_until_ready(&mut daemon, &mut is_ready)?;
                    wait_for_event(scene, &mut daemon)?;
                    pause_ms(delay_ms);
                    self.working += 1;
                }
            }
            self.kill(daemon)?;
            daemon = self.start_only(setup)?;
            is_ready = false;
        }
        self.wait_until_ready(&mut daemon, &mut is_ready)?;
        Ok(daemon)
    }

    fn wait_until_ready(&mut self, daemon: &mut Daemon, is_ready: &mut bool) -> anyhow::Result<()> {
        if !std::mem::replace(is_ready, true) {
            self.ready_after.push(daemon.wait_until_ready()?);
        }
        Ok(())
    }

    pub(crate) fn kill(&mut self, daemon: Daemon) -> anyhow::Result<()> {
        self.at_wall_ms.push(wall_ms());
        daemon.kill()
    }
}

fn wait_for_event(scene: &Scene, daemon: &mut Daemon) -> anyhow::Result<()> {
    let before = scene.counters.events.load(Ordering::Relaxed);
    let start = now();
    while scene.counters.events.load(Ordering::Relaxed) == before
        && now().duration_since(start) < EVENT_WITHIN
    {
        daemon.expect_alive()?;
        pause_ms(2);
    }
    Ok(())
}
