//! The topic index: a trie of binding keys, one node per prefix, and the walk that finds what a routing key matches.
//!
//! A key is words between dots: `a..b` has three, the empty key none. `*` stands for one word, `#` for any number of
//! words including none. Edges to literal words live in one map for the whole trie, so that a node is small and a wide
//! node costs no more to leave than a narrow one; the wildcard edges are fields of the node.
//!
//! The walk visits a node at most once, whatever the key: above the first `#` of a path a node can be reached with exactly
//! one number of words consumed, and below it the walk carries the *set* of numbers that are possible. Its cost is
//! bounded by nodes visited times words, it allocates nothing for a key that fits AMQP's short string, and it is never
//! deeper than a binding key has words.
//!
//! Not here: what is bound. A node holds the numbers and destinations of the bindings that end there; `bindings.rs`
//! knows the rest.

mod positions;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use self::positions::Positions;
use super::postings::{Bound, Postings};
use super::words::{Word, Words};

/// The number of a node; [`NONE`] where there is none.
type NodeId = u32;

const NONE: NodeId = NodeId::MAX;
const ROOT: NodeId = 0;

/// How many words a routing key usually has at most.
const FEW_WORDS: usize = 16;

/// How many words a routing key of 255 bytes can have.
const SHORT_STRING_WORDS: usize = 256;

/// The words of a binding or routing key.
pub(super) fn words(key: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let parts = (!key.is_empty()).then(|| key.split(|byte| *byte == b'.'));
    parts.into_iter().flatten()
}

/// A trie over binding keys.
#[derive(Debug)]
pub(super) struct Trie<D> {
    nodes: Vec<Node<D>>,
    free: Vec<NodeId>,
    /// Hashed with a key: nobody can choose words whose edges collide.
    edges: HashMap<(NodeId, Word), NodeId>,
    words: Words,
    /// Decides which words share a bit of [`Node::literal_bits`], so that nobody can choose words that do.
    secret: u64,
}

#[derive(Debug)]
struct Node<D> {
    parent: NodeId,
    star: NodeId,
    hash: NodeId,
    /// How many edges to literal words leave this node.
    literals: u32,
    /// The bits of the words of those edges, and perhaps of edges that are gone: a word whose bit is not here has no edge.
    literal_bits: u64,
    /// The bindings whose key ends here.
    bound: Postings<Bound<D>>,
}

impl<D> Node<D> {
    fn new(parent: NodeId) -> Self {
        Self {
            parent,
            star: NONE,
            hash: NONE,
            literals: 0,
            literal_bits: 0,
            bound: Postings::default(),
        }
    }

    fn has_children(&self) -> bool {
        self.literals > 0 || self.star != NONE || self.hash != NONE
    }
}

impl<D> Trie<D> {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::new(NONE)],
            free: Vec::new(),
            edges: HashMap::default(),
            words: Words::default(),
            secret: RandomState::new().hash_one(()),
        }
    }

    /// Adds a binding under its key; returns the node it is kept at and its position there.
    pub(super) fn insert(&mut self, binding_key: &[u8], binding: Bound<D>) -> (u32, u32) {
        let mut node = ROOT;
        for word in words(binding_key) {
            node = self.child_or_new(node, word);
        }
        (node, self.nodes[node as usize].bound.push(binding))
    }

    /// Removes the binding at `position` of `node`, which `insert` or a later move gave, and the nodes that served only
    /// it. Returns the binding that has moved to this position, if one has.
    pub(super) fn remove(&mut self, binding_key: &[u8], node: u32, position: u32) -> Option<u32> {
        let moved = self.nodes[node as usize]
            .bound
            .remove(position)
            .map(|bound| bound.number);
        let mut node = node;
        for word in words(binding_key).rev() {
            let this = &self.nodes[node as usize];
            if !this.bound.is_empty() || this.has_children() {
                break;
            }
            node = self.cut(node, word);
        }
        moved
    }

    /// Calls `each` for every binding that matches `routing_key`, once per binding. Returns the steps it took, a measure
    /// of cost that tests hold to a bound: nodes visited, edges tried and positions looked at.
    pub(super) fn matches<'t>(&'t self, routing_key: &[u8], each: impl FnMut(&'t D)) -> usize {
        let count = words(routing_key).count();
        // Clearing room for as many words as there can be would cost more than most walks.
        if count <= FEW_WORDS {
            self.walk(
                routing_key,
                &mut [Sought::NOTHING; FEW_WORDS][..count],
                each,
            )
        } else if count <= SHORT_STRING_WORDS {
            self.walk(
                routing_key,
                &mut [Sought::NOTHING; SHORT_STRING_WORDS][..count],
                each,
            )
        } else {
            self.walk(routing_key, &mut vec![Sought::NOTHING; count], each)
        }
    }

    /// Walks the trie with the words of `routing_key`, for which `room` is just large enough.
    fn walk<'t>(
        &'t self,
        routing_key: &[u8],
        room: &mut [Sought],
        each: impl FnMut(&'t D),
    ) -> usize {
        for (place, word) in room.iter_mut().zip(words(routing_key)) {
            *place = self.seek(word);
        }
        let mut walk = Walk {
            trie: self,
            words: room,
            each,
            steps: 0,
        };
        walk.at(ROOT, 0);
        walk.steps
    }

    fn child_or_new(&mut self, parent: NodeId, word: &[u8]) -> NodeId {
        let existing = match word {
            b"*" => self.nodes[parent as usize].star,
            b"#" => self.nodes[parent as usize].hash,
            _ => self.literal(parent, self.seek(word)),
        };
        if existing != NONE {
            return existing;
        }
        let child = self.new_node(parent);
        let parent_node = &mut self.nodes[parent as usize];
        match word {
            b"*" => parent_node.star = child,
            b"#" => parent_node.hash = child,
            _ => {
                let word = self.words.take(word);
                parent_node.literals += 1;
                parent_node.literal_bits |= word.bit(self.secret);
                self.edges.insert((parent, word), child);
            }
        }
        child
    }

    fn seek(&self, word: &[u8]) -> Sought {
        let word = self.words.find(word);
        Sought {
            word,
            bit: word.bit(self.secret),
        }
    }

    fn literal(&self, parent: NodeId, sought: Sought) -> NodeId {
        if self.nodes[parent as usize].literal_bits & sought.bit == 0 {
            return NONE;
        }
        self.edges
            .get(&(parent, sought.word))
            .copied()
            .unwrap_or(NONE)
    }

    fn new_node(&mut self, parent: NodeId) -> NodeId {
        let node = Node::new(parent);
        if let Some(id) = self.free.pop() {
            self.nodes[id as usize] = node;
            return id;
        }
        let id = u32::try_from(self.nodes.len()).expect("fewer nodes than memory holds");
        self.nodes.push(node);
        id
    }

    /// Takes the childless `node` off its parent, to which `word` leads from there; returns the parent.
    fn cut(&mut self, node: NodeId, word: &[u8]) -> NodeId {
        let parent = self.nodes[node as usize].parent;
        let parent_node = &mut self.nodes[parent as usize];
        match word {
            b"*" => parent_node.star = NONE,
            b"#" => parent_node.hash = NONE,
            _ => {
                parent_node.literals -= 1;
                if parent_node.literals == 0 {
                    parent_node.literal_bits = 0;
                }
                self.edges.remove(&(parent, self.words.find(word)));
                self.words.release(word);
            }
        }
        self.free.push(node);
        parent
    }

    /// Nodes in use (the root included), edges to literal words, and distinct words.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize, usize) {
        (
            self.nodes.len() - self.free.len(),
            self.edges.len(),
            self.words.len(),
        )
    }
}

/// A word of a routing key, with its bit.
#[derive(Clone, Copy, Debug)]
struct Sought {
    word: Word,
    bit: u64,
}

impl Sought {
    const NOTHING: Self = Self {
        word: Word::UNKNOWN,
        bit: 0,
    };
}

/// One search for what a routing key matches.
struct Walk<'t, 'w, D, F> {
    trie: &'t Trie<D>,
    words: &'w [Sought],
    each: F,
    steps: usize,
}

impl<'t, D, F: FnMut(&'t D)> Walk<'t, '_, D, F> {
    /// Visits `node`, reached with exactly `position` words consumed, and all below it that can match.
    fn at(&mut self, mut node: NodeId, mut position: usize) {
        let trie = self.trie;
        while node != NONE {
            self.steps += 1;
            let this = &trie.nodes[node as usize];
            self.below_hash(this.hash, position);
            let Some(word) = self.words.get(position) else {
                return self.report(this);
            };
            position += 1;
            self.at(this.star, position);
            node = trie.literal(node, *word);
        }
    }

    /// Visits `node`, the child by `#` of a node that can be reached with `first` words consumed and perhaps more.
    fn below_hash(&mut self, node: NodeId, first: usize) {
        if node == NONE {
            return;
        }
        let trie = self.trie;
        let this = &trie.nodes[node as usize];
        if this.has_children() {
            self.among(node, &Positions::from_to(first, self.words.len()));
        } else {
            self.steps += 1;
            self.report(this);
        }
    }

    /// Visits `node`, reached with any of these numbers of words consumed, and all below it that can match.
    fn among(&mut self, node: NodeId, reached: &Positions) {
        self.steps += 1;
        let trie = self.trie;
        let this = &trie.nodes[node as usize];
        let Some(first) = reached.first() else {
            return;
        };
        if reached.contains(self.words.len()) {
            self.report(this);
        }
        self.below_hash(this.hash, first);
        if this.star != NONE {
            self.steps += self.words.len() / 64;
            self.among(this.star, &reached.each_one_further());
        }
        if this.literals > 0 {
            self.literals_among(node, reached);
        }
    }

    /// Visits the children of `node` by literal words: each child once, with all positions that lead to it.
    fn literals_among(&mut self, node: NodeId, reached: &Positions) {
        let mut rest = reached.clone();
        rest.remove(self.words.len());
        while let Some(first) = rest.first() {
            self.steps += 1;
            rest.remove(first);
            let sought = self.words[first];
            let child = self.trie.literal(node, sought);
            if child == NONE {
                continue;
            }
            let mut onward = Positions::none(self.words.len());
            onward.insert(first + 1);
            for position in first + 1..self.words.len() {
                if self.words[position].word == sought.word && rest.contains(position) {
                    rest.remove(position);
                    onward.insert(position + 1);
                }
            }
            self.steps += self.words.len() - first;
            self.among(child, &onward);
        }
    }

    fn report(&mut self, node: &'t Node<D>) {
        for binding in node.bound.as_slice() {
            (self.each)(&binding.destination);
        }
    }
}
