//! Runs against a plain map of numbers.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A value that says which number it belongs to, so that a wrong split shows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct At(u64);

impl RunValue for At {
    fn skip(&mut self, count: u64) {
        self.0 += count;
    }
}

fn expand(piece: &Piece<At>) -> Vec<(u64, u64)> {
    (0..piece.count)
        .map(|i| (piece.first + i, piece.value.0 + i))
        .collect()
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Take(u64, u64),
    Pop(u64),
    /// What was taken last, back in its place.
    Return,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..20u64).prop_map(Step::Insert),
        (0..300u64, 0..40u64).prop_map(|(first, len)| Step::Take(first, first + len)),
        (1..10u64).prop_map(Step::Pop),
        Just(Step::Return),
    ]
}

proptest! {
    #[test]
    fn behaves_like_a_map_of_numbers(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut runs, mut model, mut next) = (Runs::default(), BTreeMap::new(), 1);
        let mut out: Vec<Piece<At>> = vec![];
        for step in steps {
            match step {
                Step::Insert(count) => {
                    runs.insert(Piece { first: next, count, value: At(next * 10) });
                    model.extend((0..count).map(|i| (next + i, next * 10 + i)));
                    next += count + 1;
                }
                Step::Take(first, last) => {
                    out.clear();
                    runs.take(first..=last, |piece| out.push(piece));
                    let taken: Vec<_> = out.iter().flat_map(expand).collect();
                    let expected: Vec<_> = model.range(first..=last).map(|(k, v)| (*k, *v)).collect();
                    model.retain(|k, _| !(first..=last).contains(k));
                    prop_assert_eq!(taken, expected);
                }
                Step::Return => {
                    for piece in out.drain(..) {
                        model.extend(expand(&piece));
                        runs.insert(piece);
                    }
                }
                Step::Pop(most) => {
                    let popped = runs.pop_front(most).map(|p| expand(&p)).unwrap_or_default();
                    prop_assert!(popped.len() as u64 <= most);
                    for (number, value) in popped {
                        prop_assert_eq!(model.pop_first(), Some((number, value)));
                    }
                }
            }
            prop_assert_eq!(runs.count(), model.len() as u64);
            let all: Vec<_> = runs.iter().flat_map(expand).collect();
            prop_assert_eq!(all, model.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>());
            prop_assert_eq!(runs.last_number(), model.keys().last().copied());
            prop_assert_eq!(runs.contains(next / 2), model.contains_key(&(next / 2)));
        }
    }
}
