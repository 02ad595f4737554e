//! Field tables as peers send them, good and hostile.
