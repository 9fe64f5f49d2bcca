//! What strangers and hostile peers may cost.
