//! The one test binary of this crate: everything that needs a broker behind a socket.
//!
//! `conformance` holds one test per rule of the protocol, spoken by this crate's own small client;
//! `interop` holds what other people's clients must be able to do. Both find their broker through
//! `leveret_tests::broker`. `management` asks and changes over HTTP what clients see over AMQP. `perf` runs `leveret perf`. `tls` speaks over encrypted sockets and behind
//! proxies. `faults` kills brokers of its own and takes their disks away; `formats` has the
//! data folders of earlier versions. `growth` holds costs against how much there is. `docs` runs the examples of the documentation.

mod conformance;
mod docs;
mod faults;
mod formats;
mod growth;
mod interop;
mod management;
mod perf;
mod tls;
