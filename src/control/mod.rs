//! Who publishes and who watches what.
