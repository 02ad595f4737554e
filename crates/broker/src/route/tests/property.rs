//! Random topologies against a walker that knows nothing of indexes: sets of names, and bindings in a list.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const EXCHANGES: usize = 6;
const QUEUES: usize = 4;
const KEYS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
struct Topology {
    /// For each exchange: whether it is a fanout exchange (or else direct), and its alternate, if that is one of them.
    exchanges: Vec<(bool, usize)>,
    /// From which exchange, under which key, to which exchange or queue.
    bindings: Vec<(usize, usize, usize)>,
    /// Bindings that are taken away again.
    unbound: Vec<(usize, usize, usize)>,
}

fn topologies() -> impl Strategy<Value = Topology> {
    let bindings = || (0..EXCHANGES, 0..KEYS.len(), 0..EXCHANGES + QUEUES);
    (
        vec((any::<bool>(), 0..2 * EXCHANGES), EXCHANGES),
        vec(bindings(), 0..20),
        vec(bindings(), 0..20),
    )
        .prop_map(|(exchanges, bindings, unbound)| Topology {
            exchanges,
            bindings,
            unbound,
        })
}

impl Topology {
    fn build(&self) -> Arc<Vhost> {
        let vhost = vhost();
        for (i, (fanout, alternate)) in self.exchanges.iter().enumerate() {
            let kind = if *fanout {
                ExchangeKind::Fanout
            } else {
                ExchangeKind::Direct
            };
            let alternate = (*alternate < EXCHANGES).then(|| format!("e{alternate}"));
            exchange(&vhost, &format!("e{i}"), kind, alternate.as_deref());
        }
        (0..QUEUES).for_each(|i| queue(&vhost, &format!("q{i}")));
        for (from, key, to) in &self.bindings {
            let from = format!("e{from}");
            match to.checked_sub(EXCHANGES) {
                None => bind_exchange(&vhost, &from, KEYS[*key], &format!("e{to}")),
                Some(queue) => bind(&vhost, &from, KEYS[*key], &format!("q{queue}")),
            }
        }
        for (from, key, to) in &self.unbound {
            let from = format!("e{from}");
            let gone = binding(&from, KEYS[*key]);
            let done = match to.checked_sub(EXCHANGES) {
                None => vhost.unbind_exchange(&format!("e{to}"), gone),
                Some(queue) => vhost.unbind_queue(ConnectionId(1), &format!("q{queue}"), gone),
            };
            done.unwrap();
        }
        vhost
    }

    /// The queues that a message reaches: everything that can be reached at all, each exchange looked at once.
    fn walk(&self, start: usize, keys: &[usize]) -> BTreeSet<usize> {
        let mut seen = BTreeSet::from([start]);
        let mut todo = vec![start];
        while let Some(at) = todo.pop() {
            let Some(&(fanout, alternate)) = self.exchanges.get(at) else {
                continue;
            };
            let matching = self.bindings.iter().filter(|binding| {
                binding.0 == at
                    && !self.unbound.contains(binding)
                    && (fanout || keys.contains(&binding.1))
            });
            let mut next: Vec<usize> = matching.map(|binding| binding.2).collect();
            if next.is_empty() && alternate < EXCHANGES {
                next.push(alternate);
            }
            todo.extend(next.into_iter().filter(|to| seen.insert(*to)));
        }
        let queues = seen.into_iter();
        queues.filter_map(|at| at.checked_sub(EXCHANGES)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn reaches_what_a_walker_reaches(
        topology in topologies(),
        messages in vec((0..EXCHANGES, vec(0..KEYS.len(), 1..3)), 1..8),
    ) {
        let vhost = topology.build();
        for (start, keys) in messages {
            let names: Vec<&str> = keys.iter().map(|key| KEYS[*key]).collect();
            let reached = queues(&vhost, &format!("e{start}"), &names);
            let expected: Vec<String> =
                topology.walk(start, &keys).iter().map(|i| format!("q{i}")).collect();
            prop_assert_eq!(reached, expected);
        }
    }
}
