use crate::{slab::Key, task::Task};

/// Tasks in order of sequence, with ranks: many [`Tree`]s over one store of nodes, as a task is in at
/// most one of them. A treap whose priorities are a hash of the sequence, so that equal inputs build
/// equal trees; insert, remove, first and rank take O(log n).
#[derive(Debug, Clone, Default)]
pub(crate) struct Forest {
    nodes: Vec<Node>,
}

/// One ordered set; its nodes live in the [`Forest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tree {
    root: u32,
}

/// What was found of a tree's last task of a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Last {
    pub(crate) sequence: u64,
    /// How many tasks of the tree have a smaller one.
    pub(crate) rank: u64,
}

/// No node.
const NIL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Node {
    sequence: u64,
    since_ms: u64,
    /// Smallest `since_ms` of the subtree.
    oldest_ms: u64,
    left: u32,
    right: u32,
    /// Nodes of the subtree, this one included.
    size: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Self { root: NIL }
    }
}

impl Tree {
    pub(crate) fn is_empty(self) -> bool {
        self.root == NIL
    }
}

impl Forest {
    /// Inserts a task that waits since `since_ms`.
    pub(crate) fn insert(
        &mut self,
        tree: &mut Tree,
        task: Key<Task>,
        sequence: u64,
        since_ms: u64,
    ) {
        let index = task.index() as usize;
        let (left, right) = (NIL, NIL);
        let node = Node { sequence, since_ms, oldest_ms: since_ms, left, right, size: 1 };
        if self.nodes.len() <= index {
            self.nodes.resize(index + 1, node);
        }
        self.nodes[index] = node;
        tree.root = self.insert_below(tree.root, task.index());
    }

    /// `task` must be in `tree`.
    pub(crate) fn remove(&mut self, tree: &mut Tree, task: Key<Task>) {
        tree.root = self.remove_below(tree.root, task.index());
    }

    pub(crate) fn first(&self, tree: Tree) -> Option<Key<Task>> {
        let mut found = None;
        let mut at = tree.root;
        while at != NIL {
            found = Some(Key::new(at));
            at = self.node(at).left;
        }
        found
    }

    pub(crate) fn len(&self, tree: Tree) -> u64 {
        u64::from(self.size(tree.root))
    }

    /// How many tasks of `tree` have a smaller sequence.
    pub(crate) fn rank(&self, tree: Tree, sequence: u64) -> u64 {
        let mut before = 0;
        let mut at = tree.root;
        while at != NIL {
            let node = self.node(at);
            if node.sequence < sequence {
                before += u64::from(self.size(node.left)) + 1;
                at = node.right;
            } else {
                at = node.left;
            }
        }
        before
    }

    /// The last task of `tree` among those that wait since `until_ms` or longer.
    pub(crate) fn last_since(&self, tree: Tree, until_ms: u64) -> Option<Last> {
        let has_one = |index: u32| index != NIL && self.node(index).oldest_ms <= until_ms;
        let (mut at, mut before) = (tree.root, 0);
        while has_one(at) {
            let node = self.node(at);
            let rank = before + u64::from(self.size(node.left));
            if has_one(node.right) {
                (at, before) = (node.right, rank + 1);
            } else if node.since_ms <= until_ms {
                return Some(Last { sequence: node.sequence, rank });
            } else {
                at = node.left;
            }
        }
        None
    }

    /// In order of sequence.
    pub(crate) fn tasks(&self, tree: Tree) -> Vec<Key<Task>> {
        let mut tasks = Vec::new();
        let mut above = Vec::new();
        let mut at = tree.root;
        while at != NIL || !above.is_empty() {
            while at != NIL {
                above.push(at);
                at = self.node(at).left;
            }
            if let Some(next) = above.pop() {
                tasks.push(Key::new(next));
                at = self.node(next).right;
            }
        }
        tasks
    }

    fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    fn node_mut(&mut self, index: u32) -> &mut Node {
        &mut self.nodes[index as usize]
    }

    fn size(&self, index: u32) -> u32 {
        if index == NIL { 0 } else { self.node(index).size }
    }

    fn priority(&self, index: u32) -> u64 {
        hash(self.node(index).sequence)
    }

    /// Callers keep sequences unique; the index only keeps the tree sound if they do not.
    fn is_before(&self, one: u32, other: u32) -> bool {
        (self.node(one).sequence, one) < (self.node(other).sequence, other)
    }

    fn oldest_ms(&self, index: u32) -> u64 {
        if index == NIL { u64::MAX } else { self.node(index).oldest_ms }
    }

    /// Sums up the subtree again, whose branches changed.
    fn resize(&mut self, index: u32) {
        let node = *self.node(index);
        let size = self.size(node.left) + self.size(node.right) + 1;
        let branches_ms = self.oldest_ms(node.left).min(self.oldest_ms(node.right));
        let node = self.node_mut(index);
        node.size = size;
        node.oldest_ms = node.since_ms.min(branches_ms);
    }

    fn insert_below(&mut self, root: u32, new: u32) -> u32 {
        if root == NIL {
            return new;
        }
        if self.priority(new) > self.priority(root) {
            let (left, right) = self.split(root, new);
            self.node_mut(new).left = left;
            self.node_mut(new).right = right;
            self.resize(new);
            return new;
        }
        if self.is_before(new, root) {
            let left = self.insert_below(self.node(root).left, new);
            self.node_mut(root).left = left;
        } else {
            let right = self.insert_below(self.node(root).right, new);
            self.node_mut(root).right = right;
        }
        let since_ms = self.node(new).since_ms;
        let node = self.node_mut(root);
        node.size += 1;
        node.oldest_ms = node.oldest_ms.min(since_ms);
        root
    }

    /// What stands before `pivot`, and what after it.
    fn split(&mut self, root: u32, pivot: u32) -> (u32, u32) {
        if root == NIL {
            return (NIL, NIL);
        }
        let (left, right) = if self.is_before(root, pivot) {
            let (left, right) = self.split(self.node(root).right, pivot);
            self.node_mut(root).right = left;
            (root, right)
        } else {
            let (left, right) = self.split(self.node(root).left, pivot);
            self.node_mut(root).left = right;
            (left, root)
        };
        self.resize(root);
        (left, right)
    }

    fn remove_below(&mut self, root: u32, gone: u32) -> u32 {
        assert!(root != NIL, "a task is removed from the tree that holds it");
        if root == gone {
            let node = *self.node(root);
            return self.merge(node.left, node.right);
        }
        if self.is_before(gone, root) {
            let left = self.remove_below(self.node(root).left, gone);
            self.node_mut(root).left = left;
        } else {
            let right = self.remove_below(self.node(root).right, gone);
            self.node_mut(root).right = right;
        }
        if self.node(root).oldest_ms < self.node(gone).since_ms {
            self.node_mut(root).size -= 1;
        } else {
            self.resize(root);
        }
        root
    }

    /// All of `left` stands before all of `right`.
    fn merge(&mut self, left: u32, right: u32) -> u32 {
        if left == NIL {
            return right;
        }
        if right == NIL {
            return left;
        }
        if self.priority(left) > self.priority(right) {
            let merged = self.merge(self.node(left).right, right);
            self.node_mut(left).right = merged;
            self.resize(left);
            left
        } else {
            let merged = self.merge(left, self.node(right).left);
            self.node_mut(right).left = merged;
            self.resize(right);
            right
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): neighbours come out unrelated.
fn hash(sequence: u64) -> u64 {
    let mut mixed = sequence.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
