//! Starts a server and measures what forwarding costs it.
