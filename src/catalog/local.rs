//! The catalog of one machine: a SQLite file.
