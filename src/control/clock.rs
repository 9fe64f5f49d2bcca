//! The time of day as the control plane sees it: the machine's, or a test's.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Reads the time of day. Clones read the same one.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    pub fn new(read: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub fn now(&self) -> SystemTime {
        (self.0)()
    }
}

/// The machine's clock.
impl Default for Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the control plane is no part of the core"
    )]
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
