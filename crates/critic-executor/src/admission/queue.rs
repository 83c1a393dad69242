//! The order of waiters. Who goes next is found without looking at those who do not.
//!
//! Waiters of one run and priority that are stopped by the same limits wait in one *lane*, first come first
//! served. Lanes stopped by the same limits form a *column* (a stage's critics without limits of their own, or one
//! narrowly limited critic), which is open or shut as a whole. Each run shows, per priority, its lanes in order of
//! arrival down to the first one whose column is open; only shown lanes are in the index of their column. So a
//! grant touches the lanes that one run shows, never all waiters, and a shut column hides its lanes at once.
//!
//! Ageing changes a lane's place only when its effective priority steps; `promotions` knows when the next step of
//! each run is due.
//!
//! What changes about a run only notes that it has to be shown again. That is done when somebody asks who goes
//! first, and not even then if all waiters are of one run, which needs no comparison with others.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

mod row;

pub(crate) use row::Waiter;
use row::{Head, LaneKey, Line, Rank, Row};

use super::offer::Offer;
use crate::stage::Stage;

/// Place of a run in the admission.
pub(crate) type RunSlot = u32;
/// Place of a column.
pub(crate) type ColumnId = u32;

#[derive(Debug)]
struct Column {
    stage: usize,
    is_open: bool,
    ranks: BTreeSet<Rank>,
    /// Runs and priorities whose last shown lane is here, though they have more lanes to show.
    ends: BTreeSet<(RunSlot, u8)>,
}

#[derive(Debug, Default)]
struct StageColumns {
    is_open: bool,
    /// The best rank of each open column.
    best: BTreeSet<(Rank, ColumnId)>,
    /// Columns with `ends`.
    with_ends: BTreeSet<ColumnId>,
}

/// All waiters of an executor.
#[derive(Debug)]
pub(crate) struct WaitQueue {
    aging_ns: u64,
    /// By slot, which are few and used again.
    rows: Vec<Option<Box<Row>>>,
    columns: Vec<Column>,
    stages: [StageColumns; Stage::COUNT],
    promotions: BTreeSet<(u64, RunSlot)>,
    /// Runs to be shown again, the one that changed last at the end.
    stale: Vec<RunSlot>,
    next_run_number: u64,
    len: usize,
}

impl WaitQueue {
    pub(crate) fn new(aging_ns: u64) -> Self {
        let stages =
            std::array::from_fn(|_| StageColumns { is_open: true, ..StageColumns::default() });
        Self {
            aging_ns: aging_ns.max(1),
            rows: Vec::new(),
            columns: Vec::new(),
            stages,
            promotions: BTreeSet::new(),
            stale: Vec::new(),
            next_run_number: 0,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn add_column(&mut self, stage: Stage) -> ColumnId {
        let id =
            ColumnId::try_from(self.columns.len()).expect("there are fewer columns than critics");
        self.columns.push(Column {
            stage: stage.index(),
            is_open: true,
            ranks: BTreeSet::new(),
            ends: BTreeSet::new(),
        });
        id
    }

    /// Gives an unused column to another stage.
    pub(crate) fn reuse_column(&mut self, column: ColumnId, stage: Stage) {
        let column = &mut self.columns[column as usize];
        debug_assert!(
            column.ranks.is_empty() && column.ends.is_empty(),
            "nobody waits in an unused column"
        );
        column.stage = stage.index();
        column.is_open = true;
    }

    pub(crate) fn open_run(&mut self, run: RunSlot, now_ns: u64) {
        let row = Row {
            slot: run,
            number: self.next_run_number,
            held: 0,
            last_grant_ns: now_ns,
            holds_costly: false,
            lines: std::array::from_fn(|_| Line::default()),
            promotion_ns: None,
            waiting: 0,
            is_stale: false,
        };
        self.next_run_number += 1;
        let place = run as usize;
        if self.rows.len() <= place {
            self.rows.resize_with(place + 1, || None);
        }
        self.rows[place] = Some(Box::new(row));
    }

    /// Forgets a run that holds nothing and in which nobody waits.
    pub(crate) fn close_run(&mut self, run: RunSlot) {
        (1..=10).for_each(|priority| self.hide_line(run, priority));
        if let Some(row) = self.rows.get_mut(run as usize).and_then(Option::take) {
            debug_assert!(
                row.held == 0 && row.waiting == 0,
                "a run is closed only when it is empty"
            );
            self.promotions.retain_one(row.promotion_ns, run);
            if row.is_stale {
                self.stale.retain(|other| *other != run);
            }
        }
    }

    pub(crate) fn waiting_of(&self, run: RunSlot) -> usize {
        self.row(run).map_or(0, |row| row.waiting)
    }

    pub(crate) fn held_by(&self, run: RunSlot) -> u32 {
        self.row(run).map_or(0, |row| row.held)
    }

    fn row(&self, run: RunSlot) -> Option<&Row> {
        self.rows.get(run as usize)?.as_deref()
    }

    pub(crate) fn push(&mut self, waiter: &Waiter, offer: Offer) {
        let Some(row) = row_of(&mut self.rows, waiter.run) else { return };
        let line = &mut row.lines[line_of(waiter.priority)];
        let lane_key = waiter.lane();
        let key = (waiter.arrival_ns, waiter.critic);
        let lane = line.lanes.entry(lane_key).or_default();
        let old_head = lane.first();
        lane.insert(offer);
        row.waiting += 1;
        self.len += 1;
        if old_head.is_none_or(|head| key < head) {
            if let Some(head) = old_head {
                line.heads.remove(&(head.0, head.1, lane_key));
            }
            line.heads.insert((key.0, key.1, lane_key));
            self.note_change(waiter.run);
        }
    }

    /// Takes out a waiter whose run is granted a permit for it.
    pub(crate) fn grant(&mut self, waiter: &Waiter, now_ns: u64) {
        self.remove(waiter);
        self.granted(waiter.run, now_ns);
    }

    /// Takes out a waiter, wherever it stands.
    pub(crate) fn remove(&mut self, waiter: &Waiter) -> Option<Offer> {
        let row = row_of(&mut self.rows, waiter.run)?;
        let line = &mut row.lines[line_of(waiter.priority)];
        let lane_key = waiter.lane();
        let key = (waiter.arrival_ns, waiter.critic);
        let lane = line.lanes.get_mut(&lane_key)?;
        let was_head = lane.first() == Some(key);
        let offer = lane.remove(key)?;
        row.waiting -= 1;
        self.len -= 1;
        if was_head {
            match lane.first() {
                Some(next) => {
                    line.heads.insert((next.0, next.1, lane_key));
                }
                None => {
                    line.lanes.remove(&lane_key);
                }
            }
            // After the next one has come, so that a set of one keeps its memory.
            line.heads.remove(&(key.0, key.1, lane_key));
            self.note_change(waiter.run);
        }
        Some(offer)
    }

    /// What a waiter was offered with.
    pub(crate) fn offer_of(&self, waiter: &Waiter) -> Option<&Offer> {
        let line = &self.row(waiter.run)?.lines[line_of(waiter.priority)];
        line.lanes.get(&waiter.lane())?.get((waiter.arrival_ns, waiter.critic))
    }

    /// All that wait, in no particular order.
    pub(crate) fn offers(&self) -> impl Iterator<Item = &Offer> {
        let lines = self.known_rows().flat_map(|(_, row)| &row.lines);
        lines.flat_map(|line| line.lanes.values()).flat_map(|lane| &lane.0)
    }

    /// The waiter that goes first of all whose columns and stages are open.
    pub(crate) fn first(&mut self, now_ns: u64) -> Option<Waiter> {
        if self.len == 0 {
            return None;
        }
        let last_changed = self.stale.last().and_then(|run| self.row(*run));
        if let Some(row) = last_changed
            && row.waiting == self.len
        {
            return self.first_of(row, now_ns);
        }
        self.promote(now_ns);
        while let Some(run) = self.stale.pop() {
            self.show_run_again(run, now_ns);
        }
        let open = self.stages.iter().filter(|stage| stage.is_open);
        let (rank, _) = *open.filter_map(|stage| stage.best.first()).min()?;
        Some(rank.waiter())
    }

    /// The waiter that goes first of those of a run.
    fn first_of(&self, row: &Row, now_ns: u64) -> Option<Waiter> {
        let lines = (1..).zip(&row.lines).filter(|(_, line)| !line.heads.is_empty());
        let ranks = lines.filter_map(|(priority, line)| {
            let mut heads = row.heads_after(line, Unbounded);
            let head = heads.find(|(_, _, lane)| self.is_open(*lane))?;
            Some(self.rank(row, priority, *head, now_ns))
        });
        ranks.min().map(|rank| rank.waiter())
    }

    /// Notes that a run was granted a permit now.
    pub(crate) fn granted(&mut self, run: RunSlot, now_ns: u64) {
        if let Some(row) = row_of(&mut self.rows, run) {
            row.held += 1;
            row.last_grant_ns = now_ns;
            self.note_change(run);
        }
    }

    /// Notes that a run gave back a permit.
    pub(crate) fn released(&mut self, run: RunSlot) {
        if let Some(row) = row_of(&mut self.rows, run) {
            row.held = row.held.saturating_sub(1);
            self.note_change(run);
        }
    }

    /// Hides or shows the costly waiters of a run.
    pub(crate) fn hold_costly(&mut self, run: RunSlot, hold: bool) {
        if let Some(row) = row_of(&mut self.rows, run)
            && row.holds_costly != hold
        {
            row.holds_costly = hold;
            self.note_change(run);
        }
    }

    /// Opens or shuts a column.
    pub(crate) fn set_column_open(&mut self, id: ColumnId, is_open: bool, now_ns: u64) {
        let column = &mut self.columns[id as usize];
        if column.is_open == is_open {
            return;
        }
        column.is_open = is_open;
        let best = column.ranks.first().map(|rank| (*rank, id));
        let stage = &mut self.stages[column.stage];
        if let Some(best) = best {
            if is_open {
                stage.best.insert(best);
            } else {
                stage.best.remove(&best);
            }
        }
        if !is_open {
            self.show_beyond(id, now_ns);
        }
    }

    /// Opens or shuts a stage.
    pub(crate) fn set_stage_open(&mut self, stage: Stage, is_open: bool, now_ns: u64) {
        let stage = &mut self.stages[stage.index()];
        if stage.is_open == is_open {
            return;
        }
        stage.is_open = is_open;
        if !is_open {
            for column in stage.with_ends.clone() {
                self.show_beyond(column, now_ns);
            }
        }
    }

    /// The waiter with the worst effective priority, of those the newest, the last in plan order.
    pub(crate) fn worst(&self, now_ns: u64) -> Option<Waiter> {
        let mut worst: Option<((u8, u64, u32, u64), Waiter)> = None;
        for (run, row) in self.known_rows() {
            for (priority, line) in (1..).zip(&row.lines) {
                for (lane, waiters) in &line.lanes {
                    let Some((arrival_ns, critic)) = waiters.last() else { continue };
                    let effective = self.effective_priority(row, priority, arrival_ns, now_ns);
                    let badness = (effective, arrival_ns, critic, row.number);
                    if worst.as_ref().is_none_or(|(known, _)| badness > *known) {
                        let (column, is_costly) = (lane.column, lane.is_costly);
                        worst = Some((
                            badness,
                            Waiter { run, critic, priority, arrival_ns, column, is_costly },
                        ));
                    }
                }
            }
        }
        worst.map(|(_, waiter)| waiter)
    }

    /// All waiters of a column, or of a run, in no particular order.
    pub(crate) fn waiters(&self, run: Option<RunSlot>, column: Option<ColumnId>) -> Vec<Waiter> {
        let rows = self.known_rows().filter(|(slot, _)| run.is_none_or(|run| run == *slot));
        let lanes = rows.flat_map(|(run, row)| {
            let lines = (1..).zip(&row.lines);
            lines.flat_map(move |(priority, line)| {
                line.lanes.iter().map(move |lane| (run, priority, lane))
            })
        });
        let lanes =
            lanes.filter(|(_, _, (key, _))| column.is_none_or(|column| column == key.column));
        let waiters = lanes.flat_map(|(run, priority, (key, lane))| {
            lane.0.iter().map(move |offer| Waiter {
                run,
                critic: offer.critic,
                priority,
                arrival_ns: offer.arrival_ns,
                column: key.column,
                is_costly: key.is_costly,
            })
        });
        waiters.collect()
    }

    fn known_rows(&self) -> impl Iterator<Item = (RunSlot, &Row)> {
        (0..).zip(&self.rows).filter_map(|(slot, row)| Some((slot, row.as_deref()?)))
    }

    fn effective_priority(&self, row: &Row, priority: u8, arrival_ns: u64, now_ns: u64) -> u8 {
        let waited = now_ns.saturating_sub(arrival_ns.max(row.last_grant_ns)) / self.aging_ns;
        priority.saturating_sub(u8::try_from(waited).unwrap_or(u8::MAX)).max(1)
    }

    /// Brings the shown lanes of runs up to date whose effective priorities have stepped.
    fn promote(&mut self, now_ns: u64) {
        while let Some((due_ns, run)) = self.promotions.first().copied()
            && due_ns <= now_ns
        {
            self.promotions.remove(&(due_ns, run));
            if let Some(row) = row_of(&mut self.rows, run) {
                row.promotion_ns = None;
            }
            self.note_change(run);
        }
    }

    /// Notes that what a run shows is out of date, if it has anything to show or to hide.
    fn note_change(&mut self, run: RunSlot) {
        let Some(row) = row_of(&mut self.rows, run) else { return };
        let is_in_index = row.waiting > 0 || row.lines.iter().any(|line| !line.shown.is_empty());
        if is_in_index && !std::mem::replace(&mut row.is_stale, true) {
            self.stale.push(run);
        }
    }

    fn show_run_again(&mut self, run: RunSlot, now_ns: u64) {
        if let Some(row) = row_of(&mut self.rows, run) {
            row.is_stale = false;
        }
        for priority in 1..=10 {
            self.hide_line(run, priority);
            self.show_more(run, priority, now_ns);
        }
    }

    fn hide_line(&mut self, run: RunSlot, priority: u8) {
        let Some(row) = row_of(&mut self.rows, run) else { return };
        let line = &mut row.lines[line_of(priority)];
        let Some(last) = line.shown.last().copied() else { return };
        let mut shown = std::mem::take(&mut line.shown);
        self.forget_end(last.lane.column, run, priority);
        for rank in shown.drain(..) {
            self.hide(rank);
        }
        if let Some(row) = row_of(&mut self.rows, run) {
            // The vector is kept for its memory.
            row.lines[line_of(priority)].shown = shown;
        }
    }

    /// Shows lanes of a line after those that are shown, down to the first whose column is open.
    fn show_more(&mut self, run: RunSlot, priority: u8, now_ns: u64) {
        let Some(row) = row_of(&mut self.rows, run) else { return };
        let line = &mut row.lines[line_of(priority)];
        // Whoever is stale is shown as a whole later.
        if line.heads.is_empty() || row.is_stale {
            return;
        }
        // Taken out for as long as the line is read.
        let mut shown = std::mem::take(&mut line.shown);
        let old = shown.len();
        let Some(row) = self.row(run) else { return };
        let after = match shown.last() {
            Some(rank) => Excluded((rank.arrival_ns, rank.critic, rank.lane)),
            None => Unbounded,
        };
        let mut end = None;
        let mut heads = row.heads_after(&row.lines[line_of(priority)], after);
        while let Some(head) = heads.next() {
            let rank = self.rank(row, priority, *head, now_ns);
            shown.push(rank);
            if self.is_open(rank.lane) {
                end = heads.next().is_some().then_some(rank.lane.column);
                break;
            }
        }
        drop(heads);
        if let Some(column) = end {
            self.note_end(column, run, priority);
        }
        for rank in &shown[old..] {
            self.expect_promotion(rank, now_ns);
            self.show(*rank);
        }
        if let Some(row) = row_of(&mut self.rows, run) {
            row.lines[line_of(priority)].shown = shown;
        }
    }

    fn is_open(&self, lane: LaneKey) -> bool {
        let column = &self.columns[lane.column as usize];
        column.is_open && self.stages[column.stage].is_open
    }

    /// The place of the first waiter of a lane.
    fn rank(&self, row: &Row, priority: u8, head: Head, now_ns: u64) -> Rank {
        let (arrival_ns, critic, lane) = head;
        Rank {
            effective_priority: self.effective_priority(row, priority, arrival_ns, now_ns),
            held: row.held,
            arrival_ns,
            critic,
            run_number: row.number,
            run: row.slot,
            priority,
            lane,
        }
    }

    /// Everybody whose last shown lane is in a column that was shut shows more.
    fn show_beyond(&mut self, column: ColumnId, now_ns: u64) {
        let stage = self.columns[column as usize].stage;
        self.stages[stage].with_ends.remove(&column);
        for (run, priority) in std::mem::take(&mut self.columns[column as usize].ends) {
            self.show_more(run, priority, now_ns);
        }
    }

    fn expect_promotion(&mut self, rank: &Rank, now_ns: u64) {
        if rank.effective_priority <= 1 {
            return;
        }
        let Some(row) = row_of(&mut self.rows, rank.run) else { return };
        let since = rank.arrival_ns.max(row.last_grant_ns);
        let steps = now_ns.saturating_sub(since) / self.aging_ns + 1;
        let due_ns = since.saturating_add(steps.saturating_mul(self.aging_ns));
        // An earlier step that is noted already only leads to one look too many.
        if row.promotion_ns.is_none_or(|noted| due_ns < noted) {
            self.promotions.retain_one(row.promotion_ns, rank.run);
            row.promotion_ns = Some(due_ns);
            self.promotions.insert((due_ns, rank.run));
        }
    }

    fn note_end(&mut self, column: ColumnId, run: RunSlot, priority: u8) {
        let ends = &mut self.columns[column as usize];
        ends.ends.insert((run, priority));
        self.stages[ends.stage].with_ends.insert(column);
    }

    fn forget_end(&mut self, column: ColumnId, run: RunSlot, priority: u8) {
        let ends = &mut self.columns[column as usize];
        if ends.ends.remove(&(run, priority)) && ends.ends.is_empty() {
            self.stages[ends.stage].with_ends.remove(&column);
        }
    }

    fn show(&mut self, rank: Rank) {
        self.change_ranks(rank, |ranks, rank| ranks.insert(rank));
    }

    fn hide(&mut self, rank: Rank) {
        self.change_ranks(rank, |ranks, rank| ranks.remove(&rank));
    }

    fn change_ranks(&mut self, rank: Rank, change: impl FnOnce(&mut BTreeSet<Rank>, Rank) -> bool) {
        let id = rank.lane.column;
        let column = &mut self.columns[id as usize];
        let before = column.ranks.first().copied();
        change(&mut column.ranks, rank);
        let after = column.ranks.first().copied();
        if column.is_open && before != after {
            let best = &mut self.stages[column.stage].best;
            if let Some(before) = before {
                best.remove(&(before, id));
            }
            if let Some(after) = after {
                best.insert((after, id));
            }
        }
    }
}

/// The row of a run, while the rest of the queue can be used.
fn row_of(rows: &mut [Option<Box<Row>>], run: RunSlot) -> Option<&mut Row> {
    rows.get_mut(run as usize)?.as_deref_mut()
}

fn line_of(priority: u8) -> usize {
    usize::from(priority.clamp(1, 10)) - 1
}

/// Taking out the one entry of a run, if it has one.
trait RetainOne {
    fn retain_one(&mut self, due_ns: Option<u64>, run: RunSlot);
}

impl RetainOne for BTreeSet<(u64, RunSlot)> {
    fn retain_one(&mut self, due_ns: Option<u64>, run: RunSlot) {
        if let Some(due_ns) = due_ns {
            self.remove(&(due_ns, run));
        }
    }
}
