//! The bindings of one exchange, indexed for its kind of routing.
//!
//! Here: what makes two bindings the same, the numbering of bindings, and the choice of index; each index has a file of
//! its own under `bindings/`. Plain data: no locks, no waiting, no names of vhosts or queues, and the destination is
//! whatever the owner routes to. The owner of an exchange holds one `Bindings`, changes it under its own lock and
//! removes duplicate destinations from what `matches` reports. Kinds that pick a single destination do so by a number,
//! which the owner makes of the message (`route/pick.rs`).
//!
//! Invariants: every binding is in `numbers`, in `entries` under its number, and in the index, or in none of them;
//! binding and unbinding cost the same however many bindings there are (but in an `x-modulus-hash` exchange); the last
//! binding to go takes the memory of all with it.

mod criteria;
mod error;
mod headers;
mod kind;
mod postings;
mod rendezvous;
mod sorted;
mod topic;
mod words;

use std::collections::HashMap;
use std::collections::hash_map;
use std::hash::Hash;
use std::sync::Arc;

use leveret_message::{Table, TableRef, TableWriter, Value};

use self::criteria::XMatch;
pub use self::error::BindingError;
use self::error::term;
use self::headers::HeadersIndex;
pub use self::kind::ExchangeKind;
use self::postings::{Bound, Postings};
use self::rendezvous::Rendezvous;
use self::sorted::Sorted;
use self::topic::Trie;

/// The longest binding key in bytes: AMQP's short string.
const BINDING_KEY_MAX: usize = 255;

/// How many `#` a topic binding key may have.
const TOPIC_HASHES_MAX: usize = 2;

/// The highest weight of a binding of an `x-consistent-hash` exchange; a higher one counts as this.
const WEIGHT_MAX: u32 = u32::MAX;

/// What bindings lead to.
pub trait Target: Clone + Eq + Hash {
    /// A number that stands for what it is called and nothing else: the same after a restart.
    fn identity(&self) -> u64;
}

/// The order of arguments does not tell bindings apart: returns `arguments` sorted by name, as they are kept and listed.
///
/// Many clients keep arguments in maps without an order, and unbind with another order than they bound with. Only the
/// outermost table is sorted, as in RabbitMQ. Entries of one name stay in their order.
pub fn canonical_arguments(arguments: &Table) -> Table {
    let mut entries: Vec<(&str, Value<'_>)> = arguments.view().iter().collect();
    entries.sort_by_key(|(name, _)| *name);
    let mut writer = TableWriter::new();
    for (name, value) in entries {
        writer.put(name, value);
    }
    writer.finish()
}

/// The bindings of one exchange.
#[derive(Debug)]
pub struct Bindings<D> {
    kind: ExchangeKind,
    numbers: HashMap<Arc<Binding<D>>, u32>,
    entries: Vec<Option<Entry<D>>>,
    free: Vec<u32>,
    index: Index<D>,
}

/// What identifies a binding of an exchange.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Binding<D> {
    key: Box<[u8]>,
    arguments: Table,
    destination: D,
}

/// A numbered binding, and where a direct, fanout or topic index keeps it.
#[derive(Debug)]
struct Entry<D> {
    binding: Arc<Binding<D>>,
    /// The node of the trie.
    node: u32,
    /// The position in the postings of the node or key.
    position: u32,
}

#[derive(Debug)]
enum Index<D> {
    Direct(HashMap<Box<[u8]>, Postings<Bound<D>>>),
    Fanout(Postings<Bound<D>>),
    Topic(Trie<D>),
    Headers(HeadersIndex),
    Weighted(Rendezvous<D>),
    Sorted(Sorted),
    Any(Postings<Bound<D>>),
}

impl<D> Index<D> {
    fn new(kind: ExchangeKind) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct(HashMap::new()),
            // A delayed exchange has the bindings of the type that it routes as.
            ExchangeKind::Fanout
            | ExchangeKind::RecentHistory
            | ExchangeKind::Deduplication
            | ExchangeKind::Delayed => Self::Fanout(Postings::default()),
            ExchangeKind::Topic => Self::Topic(Trie::new()),
            ExchangeKind::Headers => Self::Headers(HeadersIndex::default()),
            ExchangeKind::ConsistentHash => Self::Weighted(Rendezvous::default()),
            ExchangeKind::ModulusHash => Self::Sorted(Sorted::default()),
            ExchangeKind::Random | ExchangeKind::LocalRandom => Self::Any(Postings::default()),
        }
    }
}

impl<D: Target> Bindings<D> {
    /// No bindings, for an exchange of this kind.
    pub fn new(kind: ExchangeKind) -> Self {
        Self {
            kind,
            numbers: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            index: Index::new(kind),
        }
    }

    /// Binds `destination` with a binding key and arguments; returns whether that is a new binding.
    ///
    /// **Effect**: a binding is its destination, key and arguments, and binding twice is one binding. Arguments matter to
    /// routing in a headers exchange only, but identify the binding in all of them, their order aside.
    /// **Errors**: [`BindingError`], each 406 `PRECONDITION_FAILED`; nothing has changed then.
    pub fn insert(
        &mut self,
        binding_key: &[u8],
        arguments: &Table,
        destination: D,
    ) -> Result<bool, BindingError> {
        let Checked { x_match, weight } = check(self.kind, binding_key, arguments.view())?;
        let binding = Arc::new(Binding::new(binding_key, arguments, destination));
        let hash_map::Entry::Vacant(vacant) = self.numbers.entry(Arc::clone(&binding)) else {
            return Ok(false);
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("fewer bindings than memory holds")
        });
        vacant.insert(number);
        let bound = Bound {
            number,
            destination: binding.destination.clone(),
        };
        let (node, position) = match &mut self.index {
            Index::Direct(keys) => (0, keys.entry(binding_key.into()).or_default().push(bound)),
            Index::Fanout(all) | Index::Any(all) => (0, all.push(bound)),
            Index::Topic(trie) => trie.insert(binding_key, bound),
            Index::Headers(index) => {
                index.insert(number, x_match, binding.arguments.view());
                (0, 0)
            }
            Index::Weighted(index) => {
                index.add(&bound.destination, weight);
                (0, 0)
            }
            Index::Sorted(index) => {
                index.insert(bound.destination.identity(), number);
                (0, 0)
            }
        };
        self.entries[number as usize] = Some(Entry {
            binding,
            node,
            position,
        });
        Ok(true)
    }

    /// Unbinds `destination` from this key and arguments; returns whether there was such a binding.
    pub fn remove(&mut self, binding_key: &[u8], arguments: &Table, destination: &D) -> bool {
        let binding = Binding::new(binding_key, arguments, destination.clone());
        let Some(number) = self.numbers.remove(&binding) else {
            return false;
        };
        if self.numbers.is_empty() {
            // The memory of what was once bound goes as well.
            *self = Self::new(self.kind);
            return true;
        }
        let entry = self.entries[number as usize]
            .take()
            .expect("numbers name entries");
        self.free.push(number);
        let moved = match &mut self.index {
            Index::Direct(keys) => remove_from_key(keys, binding_key, entry.position),
            Index::Fanout(all) | Index::Any(all) => {
                all.remove(entry.position).map(|bound| bound.number)
            }
            Index::Topic(trie) => trie.remove(binding_key, entry.node, entry.position),
            Index::Headers(index) => {
                index.remove(number);
                None
            }
            Index::Weighted(index) => {
                index.remove(destination, weight(binding_key).unwrap_or_default());
                None
            }
            Index::Sorted(index) => {
                index.remove(destination.identity(), number);
                None
            }
        };
        if let Some(moved) = moved {
            let moved = self.entries[moved as usize]
                .as_mut()
                .expect("indexes name entries");
            moved.position = entry.position;
        }
        true
    }

    /// Calls `each` with the destination of every binding that a message matches.
    ///
    /// `headers` are the message's; only a headers exchange looks at them, and takes none for an empty table. A kind that
    /// picks one destination has none here.
    /// **Order**: none. A destination with several bindings that match can come more than once.
    /// **Cost**: direct, one hash lookup; topic, at most a visit to each node of the trie that a prefix of the key leads
    /// to, and in a headers exchange two lookups for each header and a comparison for each binding indexed there. Nothing
    /// is allocated for a routing key of up to 255 bytes and up to 16 headers.
    pub fn matches<'b>(
        &'b self,
        routing_key: &[u8],
        headers: Option<TableRef<'_>>,
        each: impl FnMut(&'b D),
    ) {
        self.matches_counted(routing_key, headers, each);
    }

    /// The destination that a number picks, in an exchange of a kind that picks one; none where nothing is bound.
    ///
    /// **Cost**: none worth a word, but in an `x-consistent-hash` exchange a hash for each destination.
    pub fn pick(&self, number: u64) -> Option<&D> {
        match &self.index {
            Index::Weighted(index) => index.pick(number),
            Index::Sorted(index) => index
                .pick(number)
                .map(|number| &self.binding(number).destination),
            Index::Any(all) => {
                let at = number.checked_rem(all.len() as u64)?;
                all.as_slice()
                    .get(at as usize)
                    .map(|bound| &bound.destination)
            }
            Index::Direct(_) | Index::Fanout(_) | Index::Topic(_) | Index::Headers(_) => None,
        }
    }

    /// Whether nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// All bindings as binding key, arguments sorted by name, and destination, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Table, &D)> {
        self.entries.iter().flatten().map(|entry| {
            let Binding {
                key,
                arguments,
                destination,
            } = &*entry.binding;
            (&**key, arguments, destination)
        })
    }

    /// Does what `matches` says, and returns how many steps the index took, which tests hold to a bound.
    fn matches_counted<'b>(
        &'b self,
        routing_key: &[u8],
        headers: Option<TableRef<'_>>,
        mut each: impl FnMut(&'b D),
    ) -> usize {
        match &self.index {
            Index::Direct(keys) => {
                let bound = keys.get(routing_key).map_or(&[][..], Postings::as_slice);
                bound.iter().for_each(|bound| each(&bound.destination));
                1
            }
            Index::Fanout(all) => {
                all.as_slice()
                    .iter()
                    .for_each(|bound| each(&bound.destination));
                1
            }
            Index::Topic(trie) => trie.matches(routing_key, each),
            Index::Headers(index) => {
                let arguments = |number| self.binding(number).arguments.view();
                let report = |number| each(&self.binding(number).destination);
                index.matches(headers.unwrap_or_default(), arguments, report)
            }
            Index::Weighted(_) | Index::Sorted(_) | Index::Any(_) => 0,
        }
    }

    fn binding(&self, number: u32) -> &Binding<D> {
        &self.entries[number as usize]
            .as_ref()
            .expect("indexes name entries")
            .binding
    }
}

impl<D> Binding<D> {
    fn new(key: &[u8], arguments: &Table, destination: D) -> Self {
        Self {
            key: key.into(),
            arguments: canonical_arguments(arguments),
            destination,
        }
    }
}

fn remove_from_key<D>(
    keys: &mut HashMap<Box<[u8]>, Postings<Bound<D>>>,
    binding_key: &[u8],
    position: u32,
) -> Option<u32> {
    let postings = keys.get_mut(binding_key).expect("a bound key has postings");
    let moved = postings.remove(position).map(|bound| bound.number);
    if postings.is_empty() {
        keys.remove(binding_key);
    }
    moved
}

/// What the key and the arguments of a binding say.
#[derive(Clone, Copy, Debug, Default)]
struct Checked {
    /// How a headers exchange is to match it.
    x_match: XMatch,
    /// Its weight in an `x-consistent-hash` exchange.
    weight: u32,
}

/// Checks what can be wrong with a binding.
fn check(
    kind: ExchangeKind,
    binding_key: &[u8],
    arguments: TableRef<'_>,
) -> Result<Checked, BindingError> {
    if binding_key.len() > BINDING_KEY_MAX {
        return Err(BindingError::KeyTooLong {
            bytes: binding_key.len(),
        });
    }
    let mut checked = Checked::default();
    match kind {
        ExchangeKind::Topic => check_topic(binding_key)?,
        ExchangeKind::Headers => checked.x_match = XMatch::of(arguments)?,
        ExchangeKind::ConsistentHash => checked.weight = weight(binding_key)?,
        ExchangeKind::LocalRandom if !binding_key.is_empty() => {
            let key = String::from_utf8_lossy(binding_key).into_owned();
            return Err(BindingError::KeyNotEmpty { key });
        }
        _ => {}
    }
    Ok(checked)
}

fn check_topic(binding_key: &[u8]) -> Result<(), BindingError> {
    let hashes = topic::words(binding_key)
        .filter(|word| *word == b"#")
        .count();
    if hashes > TOPIC_HASHES_MAX {
        let key = String::from_utf8_lossy(binding_key).into_owned();
        return Err(BindingError::TooManyHashes { key, hashes });
    }
    Ok(())
}

/// The weight that a binding key of an `x-consistent-hash` exchange stands for: decimal digits, perhaps with a sign, as Erlang reads integers.
fn weight(binding_key: &[u8]) -> Result<u32, BindingError> {
    let (is_negative, digits) = match binding_key {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BindingError::WeightNotInteger {
            key: term(Value::LongStr(binding_key)),
        });
    }
    let add = |weight: u32, digit: &u8| {
        let weight = weight.checked_mul(10)?;
        weight.checked_add(u32::from(digit - b'0'))
    };
    match digits.iter().try_fold(0, add).unwrap_or(WEIGHT_MAX) {
        0 => Err(BindingError::WeightNotPositive),
        _ if is_negative => Err(BindingError::WeightNotPositive),
        weight => Ok(weight),
    }
}

#[cfg(test)]
mod tests;
