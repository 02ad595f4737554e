//! Property lists as publishers send them, good and hostile.
