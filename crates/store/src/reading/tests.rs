//! Messages come back from wherever they are; damaged ones do not, and nothing else is lost with them.
