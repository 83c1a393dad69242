//! The order between critics: who waits for whom, cycles, and an order in which everybody comes after those they
//! wait for. Iterative, and linear in critics and edges.

/// Lists of numbers, one list per critic, in one allocation.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    /// From pairs of owner and item. Items of one owner keep their order.
    pub(crate) fn from_pairs(owners: usize, pairs: &[(u32, u32)]) -> Self {
        let mut starts = vec![0_u32; owners + 1];
        for (owner, _) in pairs {
            starts[*owner as usize + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut next = starts.clone();
        let mut items = vec![0; pairs.len()];
        for (owner, item) in pairs {
            let place = &mut next[*owner as usize];
            items[*place as usize] = *item;
            *place += 1;
        }
        Self { starts, items }
    }

    pub(crate) fn of(&self, owner: u32) -> &[u32] {
        let owner = owner as usize;
        &self.items[self.starts[owner] as usize..self.starts[owner + 1] as usize]
    }
}

/// The order in which critics can end.
#[derive(Debug)]
pub(crate) struct Order {
    /// Everybody after those they wait for.
    pub(crate) topological: Vec<u32>,
    /// A cycle, each waiting for the next; empty if there is none.
    pub(crate) cycle: Vec<u32>,
}

/// Sorts critics; `upstream` lists whom each waits for, `downstream` who waits for each.
pub(crate) fn order(count: usize, upstream: &Lists, downstream: &Lists) -> Order {
    let critics = || 0..u32::try_from(count).expect("a plan has fewer than 2^32 critics");
    let mut waits: Vec<usize> = critics().map(|critic| upstream.of(critic).len()).collect();
    let mut topological: Vec<u32> =
        critics().filter(|critic| waits[*critic as usize] == 0).collect();
    let mut done = 0;
    while let Some(critic) = topological.get(done).copied() {
        done += 1;
        for dependent in downstream.of(critic) {
            let left = &mut waits[*dependent as usize];
            *left -= 1;
            if *left == 0 {
                topological.push(*dependent);
            }
        }
    }
    let cycle = match critics().find(|critic| waits[*critic as usize] > 0) {
        Some(start) => find_cycle(start, upstream, &waits),
        None => Vec::new(),
    };
    Order { topological, cycle }
}

/// Whoever is left waits for somebody who is left, so walking on must come back to where it has been.
fn find_cycle(start: u32, upstream: &Lists, waits: &[usize]) -> Vec<u32> {
    let mut place_on_path = vec![None; waits.len()];
    let mut path = Vec::new();
    let mut critic = start;
    while place_on_path[critic as usize].is_none() {
        place_on_path[critic as usize] = Some(path.len());
        path.push(critic);
        let mut left = upstream.of(critic).iter().filter(|other| waits[**other as usize] > 0);
        critic = *left.next().expect("a critic that is left waits for one that is left");
    }
    let begin = place_on_path[critic as usize].expect("the walk came back here");
    let mut cycle = path.split_off(begin);
    let smallest = (0..cycle.len()).min_by_key(|place| cycle[*place]).unwrap_or(0);
    cycle.rotate_left(smallest);
    cycle
}
