use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use handoff::{
    Binding, Bindings, Change, Evidence, Outcome, ProcessId, Seen, Sighting, Skip, Stamp,
};
use handoff_schema::HandoffFile;
use proptest::prelude::*;

fn file(name: &str, pid: u32) -> Arc<HandoffFile> {
    let text = format!(
        "{{\"schema\": 1, \"pool_id\": \"{name}\", \"replica_id\": \"0\", \"engine\": \"vllm\", \
         \"url\": \"http://127.0.0.1:1\", \"model_ref\": \"m\", \"pid\": {pid}}}"
    );
    Arc::new(HandoffFile::parse(text.as_bytes()).unwrap())
}

fn usable(name: &str, pid: u32) -> Seen {
    let evidence = Evidence::Socket(ProcessId { pid, start_time: 1 });
    Seen::Usable(Arc::new(Binding { file: file(name, pid), key: None, evidence }))
}

/// One thing that can be seen of a file.
#[derive(Debug, Clone, Copy)]
struct Glimpse {
    /// `None` where the file is not there.
    kind: Option<u8>,
    /// Which of a few contents it has.
    pid: u32,
    size: u64,
    is_lost: bool,
}

impl Glimpse {
    fn sighting(self, name: &str) -> Option<Sighting> {
        let seen = match self.kind? {
            0 | 1 => usable(name, self.pid),
            2 => Seen::Pending,
            3 => Seen::Awaited(file(name, self.pid), Skip::new(Outcome::Awaited, "not yet")),
            4 => Seen::Skipped(Skip::new(Outcome::HalfWritten, "half")),
            5 => Seen::Skipped(Skip::new(Outcome::Wrong, format!("wrong {}", self.pid))),
            _ => Seen::Skipped(Skip::new(Outcome::Unsafe, "unsafe")),
        };
        let stamp = Stamp { size_bytes: self.size, ..Stamp::default() };
        let lost = self.is_lost.then(|| Skip::new(Outcome::ProcessGone, "gone"));
        Some(Sighting { stamp, seen, lost })
    }
}

fn glimpses() -> impl Strategy<Value = Glimpse> {
    let kind = prop::option::weighted(0.85, 0_u8..7);
    (kind, 1_u32..4, 0_u64..2, prop::bool::weighted(0.1))
        .prop_map(|(kind, pid, size, is_lost)| Glimpse { kind, pid, size, is_lost })
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn look(glimpses: &[Glimpse; 3]) -> BTreeMap<String, Sighting> {
    let each = NAMES.into_iter().zip(glimpses);
    each.filter_map(|(name, glimpse)| Some((name.to_owned(), glimpse.sighting(name)?))).collect()
}

fn told(change: &Change) -> (String, String) {
    let (name, what) = match change {
        Change::Bound { name, binding } => (name, format!("bound {:?}", binding.file.pid)),
        Change::Replaced { name, binding } => (name, format!("replaced {:?}", binding.file.pid)),
        Change::Awaited { name, file, skip } => (name, format!("awaited {:?} {skip}", file.pid)),
        Change::Gone { name, was_up } => (name, format!("gone {was_up}")),
        Change::Skipped { name, skip } => (name, format!("skipped {skip}")),
    };
    (name.clone(), what)
}

proptest! {
    /// Verifies: ORCH-153, ORCH-154
    #[test]
    fn every_history_is_told_once_and_file_by_file(
        history in prop::collection::vec([glimpses(), glimpses(), glimpses()], 1..40),
    ) {
        let mut all = Bindings::default();
        let mut alone = [Bindings::default(), Bindings::default(), Bindings::default()];
        let mut up: BTreeMap<String, Option<u32>> = BTreeMap::new();
        for glimpses in &history {
            let sightings = look(glimpses);
            let changes = all.step(sightings.clone());
            // What is seen of one file changes nothing of another.
            for (name, own) in NAMES.iter().zip(&mut alone) {
                let one = sightings.iter().filter(|(of, _)| of == name);
                let one = one.map(|(of, sighting)| (of.clone(), sighting.clone())).collect();
                let own: Vec<_> = own.step(one).iter().map(told).collect();
                let of_all = changes.iter().map(told).filter(|(of, _)| of == name);
                prop_assert_eq!(own, of_all.collect::<Vec<_>>());
            }
            // Whoever does what the changes say has what is bound.
            for change in &changes {
                match change {
                    Change::Bound { name, binding } => {
                        prop_assert_eq!(up.insert(name.clone(), binding.file.pid), None);
                    }
                    Change::Replaced { name, binding } => {
                        let former = up.insert(name.clone(), binding.file.pid);
                        prop_assert!(former.is_some() && former != Some(binding.file.pid));
                    }
                    Change::Gone { name, was_up } => {
                        prop_assert_eq!(up.remove(name).is_some(), *was_up);
                    }
                    Change::Awaited { name, .. } => prop_assert!(!up.contains_key(name)),
                    Change::Skipped { .. } => {}
                }
            }
            let bound: BTreeMap<String, Option<u32>> =
                all.bound().map(|(name, binding)| (name.to_owned(), binding.file.pid)).collect();
            prop_assert_eq!(&bound, &up);
            // What can be used is used; what others could have written, is wrong or is gone is not.
            for (name, glimpse) in NAMES.iter().zip(glimpses) {
                match glimpse.kind {
                    Some(0 | 1) if !glimpse.is_lost => {
                        prop_assert_eq!(up.get(*name), Some(&Some(glimpse.pid)));
                    }
                    None | Some(5..) => prop_assert!(!all.holds(name)),
                    _ => {}
                }
            }
            // The same look again says nothing new, unless it was told that what is bound is lost.
            if !glimpses.iter().any(|glimpse| glimpse.is_lost) {
                let again = all.step(sightings);
                prop_assert!(again.is_empty(), "{:?}", again);
            }
        }
    }
}

/// Verifies: ORCH-155
#[test]
fn an_engine_that_is_lost_is_let_go_whatever_its_file_says_by_now() {
    let lost = || Some(Skip::new(Outcome::ProcessGone, "gone"));
    let half = Seen::Skipped(Skip::new(Outcome::HalfWritten, "half"));
    let coming = Seen::Awaited(file("a", 2), Skip::new(Outcome::Awaited, "not yet"));
    for seen in [half, coming, Seen::Pending, usable("a", 1)] {
        let mut bindings = Bindings::default();
        let sighting = |seen, lost| {
            BTreeMap::from([("a".to_owned(), Sighting { stamp: Stamp::default(), seen, lost })])
        };
        bindings.step(sighting(usable("a", 1), None));
        let changes = bindings.step(sighting(seen, lost()));
        let gone = changes.iter().any(|change| matches!(change, Change::Gone { was_up: true, .. }));
        assert!(gone, "{changes:?}");
    }
}

#[test]
fn the_names_of_outcomes_are_all_different() {
    let names: BTreeSet<_> = Outcome::ALL.into_iter().map(Outcome::name).collect();
    assert_eq!(names.len(), Outcome::ALL.len());
}
