//! Each rule of the simulated disk, over many seeds: what may happen does, and what must not never does.
