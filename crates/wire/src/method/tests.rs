//! Every method there and back, and what no method is.
