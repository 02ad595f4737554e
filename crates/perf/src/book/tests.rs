//! The book against numbers that come in and out of order, twice, and not at all.

use super::{AHEAD_MAX, Book};

#[test]
fn numbers_in_order_take_no_room() {
    let mut book = Book::default();
    book.enter(0, 1000);
    book.enter(1000, 5);
    assert_eq!((book.base, book.different, book.doubled), (1005, 1005, 0));
    assert!(book.ahead.is_empty());
}

#[test]
fn numbers_out_of_order_are_each_counted_once() {
    let mut book = Book::default();
    // Every third first, then the others, from the end.
    let (thirds, others): (Vec<u64>, Vec<u64>) = (0..1000).partition(|number| number % 3 == 0);
    for number in thirds.into_iter().chain(others.into_iter().rev()) {
        book.enter(number, 1);
    }
    assert_eq!((book.different, book.doubled), (1000, 0));
    assert!(book.ahead.len() <= 1, "{}", book.ahead.len());
}

#[test]
fn what_comes_twice_is_told_wherever_it_stands() {
    let mut book = Book::default();
    book.enter(0, 10);
    book.enter(20, 10);
    book.enter(5, 1);
    book.enter(25, 10);
    assert_eq!((book.different, book.doubled), (25, 6));
    book.enter(10, 10);
    assert_eq!((book.different, book.doubled), (35, 6));
}

#[test]
fn what_cannot_be_true_takes_no_memory() {
    let mut book = Book::default();
    book.enter(AHEAD_MAX, 1);
    book.enter(1 << 47, 3);
    assert_eq!((book.impossible, book.different), (4, 0));
    assert!(book.ahead.is_empty());
}
