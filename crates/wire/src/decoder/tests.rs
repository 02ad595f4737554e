//! The decoder against whole, split and hostile input.
