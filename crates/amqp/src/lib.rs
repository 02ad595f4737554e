//! AMQP 0-9-1 connections and channels, as state machines without I/O: bytes and events in, bytes and commands out.
//!
//! Only `serve` touches a socket or the clock. Reading order: `serve`, `connection`, `handshake`, `channel` and the files of the classes below
//! it, `exception` (every error's reply code), `output`.

pub mod connection;
pub mod exception;
pub mod serve;
pub mod settings;

mod channel;
mod core;
mod handshake;
mod output;
mod sasl;
mod session;
mod start;
