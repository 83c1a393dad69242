//! Answers from the cache, and for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Driver;
use crate::cache::CacheKey;
use crate::catch::catch_unwind;
use crate::executor::node::{Answer, Phase};
use crate::executor::shared::Event;
use crate::finding::CriticOutput;
use crate::status::AnswerSource;

impl Driver {
    pub(super) fn ask_cache(&mut self, critic: u32) {
        let Some(cache) = self.exec.cache.clone() else { return };
        let node = &mut self.nodes[critic as usize];
        node.phase = Phase::Cache;
        let epoch = node.epoch;
        let key = self.cache_key(critic);
        let (run, exec) = (Arc::clone(&self.shared), Arc::clone(&self.exec));
        let stop = self.scope.token.clone();
        let ask = async move {
            let answer = stop.run_until_cancelled(catch_unwind(cache.get(&key))).await;
            let output = match answer {
                Some(Ok(Ok(output))) => output,
                Some(_) => {
                    exec.counters.cache_errors.fetch_add(1, Ordering::Relaxed);
                    None
                }
                None => return,
            };
            run.push(Event::CacheAnswered { critic, epoch, output: output.map(Box::new) });
        };
        self.exec.tracker.spawn_on(ask, &self.shared.handle);
    }

    fn cache_key(&self, critic: u32) -> CacheKey {
        CacheKey::of(self.plan.inner.node(critic), &self.scope.input, &self.dependencies(critic))
    }

    pub(super) fn cache_answered(
        &mut self,
        critic: u32,
        epoch: u32,
        output: Option<Box<CriticOutput>>,
        now_ns: u64,
    ) {
        let node = &self.nodes[critic as usize];
        if node.epoch != epoch || !matches!(node.phase, Phase::Cache) {
            return;
        }
        let plan = self.plan.clone();
        let limits = &plan.inner.settings.output_limits;
        let judged = output.and_then(|output| {
            let judged = crate::catch::catch(|| {
                plan.inner.node(critic).judge_output(&output, &self.scope.input, limits)
            });
            // What would not be an answer from the critic is none from the cache.
            let warnings = judged.ok()?.ok()?;
            Some(Answer { output: Arc::new(*output), warnings })
        });
        match judged {
            Some(answer) => self.answered(critic, answer, AnswerSource::Cache, now_ns),
            None => self.offer(critic, now_ns),
        }
    }

    pub(super) fn store_answer(&self, critic: u32, output: &Arc<CriticOutput>) {
        let Some(cache) = self.exec.cache.clone() else { return };
        let key = self.cache_key(critic);
        let (exec, output) = (Arc::clone(&self.exec), Arc::clone(output));
        let limit = self.exec.settings.cleanup_limit;
        let store = async move {
            let stored = tokio::time::timeout(limit, catch_unwind(cache.put(&key, &output))).await;
            if !matches!(stored, Ok(Ok(Ok(())))) {
                exec.counters.cache_errors.fetch_add(1, Ordering::Relaxed);
            }
        };
        self.exec.tracker.spawn_on(store, &self.shared.handle);
    }
}
