//! What containers do, in the words of a test.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use mayfly_model::message::Assignment;
use mayfly_stand_ins::worker::{Behaviour, Director};

/// Longer than any job.
const ENDLESS: Duration = Duration::from_hours(24 * 30);

/// A command that goes well and takes so many seconds.
pub fn works(seconds: u64) -> Behaviour {
    Behaviour::success(Duration::from_secs(seconds))
}

/// A command that never ends by itself.
pub fn endless() -> Behaviour {
    Behaviour::success(ENDLESS)
}

/// A command that never ends the first time, and goes well at once after that.
pub fn endless_at_first(order: &Assignment) -> Behaviour {
    if order.turn.start == 1 { endless() } else { works(1) }
}

/// Containers that make of each order what `play` says.
pub fn doing(play: impl Fn(&Assignment) -> Behaviour + Send + Sync + 'static) -> Arc<dyn Director> {
    Arc::new(Doing(play))
}

struct Doing<P>(P);

impl<P> Debug for Doing<P> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Doing")
    }
}

impl<P: Fn(&Assignment) -> Behaviour + Send + Sync> Director for Doing<P> {
    fn behaviour(&self, _: &str, assignment: &Assignment) -> Behaviour {
        self.0(assignment)
    }
}
