//! Reads offers, writes answers.
