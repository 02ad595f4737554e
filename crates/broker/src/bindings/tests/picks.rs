//! Exchanges that pick one destination: that load follows weights, that little moves when destinations come and go, that nothing depends on the order.

use std::collections::BTreeMap;

use super::*;

const KEYS: u64 = 20_000;

fn bound(kind: ExchangeKind, bindings: &[(&str, usize)]) -> Bindings<usize> {
    let mut bound = Bindings::new(kind);
    for (key, to) in bindings {
        assert_eq!(bound.insert(key.as_bytes(), &none(), *to), Ok(true));
    }
    bound
}

/// Where each of many keys goes.
fn places(bindings: &Bindings<usize>) -> Vec<usize> {
    let number = |key: u64| crate::stable_hash::bytes(0, format!("key {key}").as_bytes());
    let picked = (0..KEYS).map(|key| bindings.pick(number(key)));
    picked.map(|to| *to.expect("something is bound")).collect()
}

/// How much of the keys each destination has, in percent.
fn shares(places: &[usize]) -> BTreeMap<usize, f64> {
    let mut shares = BTreeMap::new();
    for to in places {
        *shares.entry(*to).or_default() += 100.0 / places.len() as f64;
    }
    shares
}

/// How many keys are somewhere else.
fn moved(before: &[usize], after: &[usize]) -> usize {
    let both = before.iter().zip(after);
    both.filter(|(before, after)| before != after).count()
}

#[track_caller]
fn is_about(value: f64, expected: f64) {
    let far = (value - expected).abs();
    assert!(far < 1.5, "{value} where {expected} was expected");
}

#[test]
fn nothing_is_picked_where_nothing_is_bound() {
    for kind in ExchangeKind::ALL {
        assert_eq!(Bindings::<usize>::new(kind).pick(7), None, "{kind:?}");
    }
}

#[test]
fn the_load_of_a_consistent_hash_follows_the_weights() {
    let bindings = [("1", 0), ("2", 1), ("3", 2), ("10", 3), ("4", 4)];
    let shares = shares(&places(&bound(ExchangeKind::ConsistentHash, &bindings)));
    for (weight, to) in bindings {
        is_about(shares[&to], weight.parse::<f64>().unwrap() * 100.0 / 20.0);
    }
}

#[test]
fn queues_of_one_weight_have_equal_shares() {
    let bindings: Vec<_> = (0..10).map(|to| ("1", to)).collect();
    let shares = shares(&places(&bound(ExchangeKind::ConsistentHash, &bindings)));
    assert_eq!(shares.len(), 10);
    shares.values().for_each(|share| is_about(*share, 10.0));
}

#[test]
fn a_queue_that_comes_takes_its_share_and_moves_nothing_else() {
    for weight in ["1", "2", "5"] {
        let mut bindings: Vec<_> = (0..9).map(|to| ("1", to)).collect();
        let before = places(&bound(ExchangeKind::ConsistentHash, &bindings));
        bindings.push((weight, 9));
        let mut bound = bound(ExchangeKind::ConsistentHash, &bindings);
        let after = places(&bound);
        let new = after.iter().filter(|to| **to == 9).count();
        assert_eq!(
            moved(&before, &after),
            new,
            "what moves moves to the new one"
        );
        let weight = weight.parse::<f64>().unwrap();
        is_about(
            100.0 * new as f64 / KEYS as f64,
            100.0 * weight / (9.0 + weight),
        );
        // When it goes, all is as before.
        let key = bindings[9].0.as_bytes();
        assert!(bound.remove(key, &none(), &9));
        assert_eq!(places(&bound), before);
    }
}

#[test]
fn a_queue_that_goes_moves_only_its_own_keys() {
    let bindings: Vec<_> = (0..10).map(|to| ("3", to)).collect();
    let mut bound = bound(ExchangeKind::ConsistentHash, &bindings);
    let before = places(&bound);
    assert!(bound.remove(b"3", &none(), &4));
    let own = before.iter().filter(|to| **to == 4).count();
    assert_eq!(moved(&before, &places(&bound)), own);
}

#[test]
fn neither_hash_depends_on_the_order_of_bindings() {
    for kind in [ExchangeKind::ConsistentHash, ExchangeKind::ModulusHash] {
        let mut bindings: Vec<_> = (0..20).map(|to| (["1", "2", "7"][to % 3], to)).collect();
        let before = places(&bound(kind, &bindings));
        bindings.reverse();
        bindings.rotate_left(7);
        assert_eq!(places(&bound(kind, &bindings)), before, "{kind:?}");
    }
}

#[test]
fn the_weights_of_a_queue_add_up() {
    let once = places(&bound(ExchangeKind::ConsistentHash, &[("3", 1), ("2", 2)]));
    let mut twice = bound(
        ExchangeKind::ConsistentHash,
        &[("1", 1), ("2", 2), ("2", 1)],
    );
    assert_eq!(places(&twice), once);
    // Its new weight comes before its old one goes: nothing is lost on the way.
    assert!(twice.remove(b"1", &none(), &1));
    let equal = places(&twice);
    is_about(shares(&equal)[&1], 50.0);
    assert!(moved(&once, &equal) as f64 <= 0.115 * KEYS as f64);
    assert!(twice.remove(b"2", &none(), &1));
    assert!(twice.remove(b"2", &none(), &2));
    assert_eq!(twice.pick(1), None);
}

#[test]
fn weights_are_integers_above_zero() {
    let refused = |key: &[u8]| refusal(ExchangeKind::ConsistentHash, key, &none());
    let zero = "The binding key must be greater than 0";
    for key in ["0", "-1", "-0", "-99999999999999999999999"] {
        assert_eq!(refused(key.as_bytes()), zero, "{key}");
    }
    let none = "The binding key must be an integer: ";
    for (key, term) in [
        ("", "<<>>"),
        ("a", "<<\"a\">>"),
        ("1.0", "<<\"1.0\">>"),
        (" 1", "<<\" 1\">>"),
        ("-", "<<\"-\">>"),
    ] {
        assert_eq!(refused(key.as_bytes()), format!("{none}{term}"));
    }
    for key in ["1", "+1", "007", "4294967296", "99999999999999999999999999"] {
        bound(ExchangeKind::ConsistentHash, &[(key, 1)]);
    }
}

#[test]
fn a_modulus_counts_a_queue_for_each_of_its_bindings() {
    let bindings = [("", 1), ("a", 2), ("b", 2), ("a", 3), ("b", 3), ("c", 3)];
    let mut bound = bound(ExchangeKind::ModulusHash, &bindings);
    let shares = shares(&places(&bound));
    for (to, share) in [(1, 16.7), (2, 33.3), (3, 50.0)] {
        is_about(shares[&to], share);
    }
    for (key, to) in bindings {
        assert!(bound.remove(key.as_bytes(), &none(), &to));
    }
    assert_eq!(bound.pick(1), None);
}

#[test]
fn chance_reaches_every_binding_and_no_other() {
    for kind in [ExchangeKind::Random, ExchangeKind::LocalRandom] {
        let bindings: Vec<_> = (0..5).map(|to| ("", to)).collect();
        let mut bound = bound(kind, &bindings);
        assert!(bound.remove(b"", &none(), &2));
        let shares = shares(&places(&bound));
        assert_eq!(shares.keys().copied().collect::<Vec<_>>(), [0, 1, 3, 4]);
        shares.values().for_each(|share| is_about(*share, 25.0));
    }
}

#[test]
fn a_local_random_exchange_takes_no_binding_keys() {
    let text = refusal(ExchangeKind::LocalRandom, b"k", &none());
    assert_eq!(text, "Non empty binding 'k' key not permitted");
}
