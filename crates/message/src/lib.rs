//! What a message is, for every protocol: names, field tables and properties.
//!
//! Everything here is bytes as a peer sent them, checked once when they come in and read in place
//! afterwards; no I/O, no clock, no frames, no routing. Nothing is changed after it was made: a
//! changed table or property list is written anew with [`TableWriter`] and [`PropertiesWriter`].
//!
//! Invariant: a value of [`TableRef`], [`Table`] or [`Properties`] has been checked, so reading it
//! cannot fail.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod batch;
pub mod blind_keys;
pub mod copies;
pub mod exchange_and_key;
pub mod name;
pub mod properties;
pub mod table;

pub use name::{Name, NameTooLong};
pub use properties::{Properties, PropertiesError, PropertiesWriter};
pub use table::{
    ArrayRef, ArrayWriter, MAX_DEPTH, Table, TableError, TableRef, TableWriter, Value,
};
