//! Definitions come back as they were written down, and hostile bytes do no harm.
