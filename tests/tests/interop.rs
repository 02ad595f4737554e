//! Other people's clients against the broker: each publishes and consumes unchanged.
//!
//! One module per client under `interop/`. Nothing of the conformance suite lives here.
