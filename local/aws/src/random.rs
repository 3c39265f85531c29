//! The one source of randomness of a local cloud. Nothing else in `local/` draws by itself (`tests/tidy/seams.rs`), so that
//! one seed decides everything.

use std::sync::{Arc, Mutex};

use rand::distr::uniform::{SampleRange, SampleUniform};
use rand::distr::{Distribution, StandardUniform};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::{Builder, Uuid};

/// Where ids, tokens, addresses and delays come from. Clones share one sequence.
#[derive(Clone, Debug)]
pub struct Random(Arc<Mutex<StdRng>>);

/// Seeded by the operating system.
impl Default for Random {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(rand::make_rng())))
    }
}

impl Random {
    /// The sequence that follows from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Any value of a type; of a float, one from 0 up to and without 1.
    pub fn value<T>(&self) -> T
    where
        StandardUniform: Distribution<T>,
    {
        self.lock().random()
    }

    /// A value in `range`.
    ///
    /// # Panics
    /// If the range is empty.
    pub fn range<T: SampleUniform>(&self, range: impl SampleRange<T>) -> T {
        self.lock().random_range(range)
    }

    /// A UUID of version 4.
    pub fn uuid(&self) -> Uuid {
        Builder::from_random_bytes(self.value()).into_uuid()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, StdRng> {
        self.0.lock().expect("no thread panics while it draws, but over an empty range")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_which_clones_share() {
        let draw = |random: &Random| (random.uuid(), random.range(0..1_000_000), random.value::<u128>());
        let (one, other) = (Random::seeded(7), Random::seeded(7));
        assert_eq!(draw(&one), draw(&other));
        assert_ne!(draw(&one.clone()), draw(&one));
        assert_ne!(draw(&Random::default()), draw(&Random::default()));
        assert_eq!(one.uuid().get_version_num(), 4);
    }
}
