//! To be written.

pub mod bindings;
pub mod users;
