//! What is written is what a peer reads.
