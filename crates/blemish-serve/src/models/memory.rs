//! Memory that images take, granted before it is taken.
//!
//! Bodies as they come and pixels to be are two purses of one limit. With a single one, bodies could fill all of it while each waits for
//! room for its pixels, and nothing would ever go on.

use crate::fault::Fault;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a permit counts, in bytes.
const UNIT: u64 = 1 << 10;

/// The share of the limit that bodies may take, as a divisor.
const OF_BODIES: u64 = 4;

/// Memory held by somebody; given back when dropped.
#[derive(Debug, Default)]
pub struct Held(Vec<OwnedSemaphorePermit>);

impl Held {
    /// Holds what another holds, too.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Gives back all but so many bytes.
    pub fn shrink_to(&mut self, bytes: u64) {
        let mut kept = units(bytes) as usize;
        for permit in &mut self.0 {
            let spare = permit.num_permits().saturating_sub(kept);
            drop(permit.split(spare));
            kept = kept.saturating_sub(permit.num_permits());
        }
    }
}

/// One of the two purses.
#[derive(Debug)]
struct Purse {
    free: Arc<Semaphore>,
    units: u32,
}

impl Purse {
    fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    async fn take(&self, units: u32, deadline: Instant) -> Result<Held, Fault> {
        let permit = self.free.clone().acquire_many_owned(units);
        match tokio::time::timeout_at(deadline.into(), permit).await {
            Ok(Ok(permit)) => Ok(Held(vec![permit])),
            _ => Err(Fault::new(
                "memory_full",
                "the memory for images stayed in use for the whole time of the request; ask again, or raise --memory-limit",
            )),
        }
    }
}

/// The memory that images may take at once.
#[derive(Debug)]
pub struct Memory {
    bodies: Purse,
    pixels: Purse,
    limit: u64,
}

impl Memory {
    /// So many bytes: a quarter for bodies, the rest for pixels.
    pub fn new(limit: u64) -> Self {
        let bodies = limit / OF_BODIES;
        Self { bodies: Purse::new(bodies), pixels: Purse::new(limit - bodies), limit }
    }

    /// Memory for a body of so many bytes; waits for it until `deadline`.
    ///
    /// # Errors
    /// `body_too_large` for what never fits, `memory_full` for what did not in time.
    pub async fn body(&self, bytes: u64, deadline: Instant) -> Result<Held, Fault> {
        let units = units(bytes);
        if units > self.bodies.units {
            return Err(Fault::new(
                "body_too_large",
                format!(
                    "the body has {bytes} bytes, and bodies may take {} of the memory limit; send a smaller image, or raise --memory-limit",
                    u64::from(self.bodies.units) * UNIT
                ),
            ));
        }
        self.bodies.take(units, deadline).await
    }

    /// Memory for a body that may have up to so many bytes, as far as there is any at all.
    ///
    /// # Errors
    /// `memory_full`.
    pub async fn body_up_to(&self, bytes: u64, deadline: Instant) -> Result<Held, Fault> {
        self.bodies.take(units(bytes).min(self.bodies.units), deadline).await
    }

    /// Memory for so many bytes of pixels; waits for it until `deadline`.
    ///
    /// # Errors
    /// `image_too_large` for what never fits, `memory_full` for what did not in time.
    pub async fn pixels(&self, bytes: u64, deadline: Instant) -> Result<Held, Fault> {
        let units = units(bytes);
        if units > self.pixels.units {
            return Err(Fault::new(
                "image_too_large",
                format!(
                    "the image takes {} MiB, and pixels may take {} MiB of the memory limit; shrink the image, or raise --memory-limit",
                    bytes.div_ceil(1 << 20),
                    (u64::from(self.pixels.units) * UNIT) >> 20
                ),
            ));
        }
        self.pixels.take(units, deadline).await
    }

    /// Bytes that are free: of bodies, and of pixels.
    pub fn free(&self) -> (u64, u64) {
        let free = |purse: &Purse| purse.free.available_permits() as u64 * UNIT;
        (free(&self.bodies), free(&self.pixels))
    }

    /// Bytes in all.
    pub fn limit(&self) -> u64 {
        self.limit
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(30)
    }

    #[tokio::test]
    async fn what_never_fits_is_told_from_what_does_not_fit_now() {
        let memory = Memory::new(4 << 20);
        assert_eq!(memory.free(), (1 << 20, 3 << 20));
        assert_eq!(memory.pixels((3 << 20) + 1, soon()).await.unwrap_err().code, "image_too_large");
        assert_eq!(memory.body((1 << 20) + 1, soon()).await.unwrap_err().code, "body_too_large");
        let held = memory.pixels(3 << 20, soon()).await.unwrap();
        assert_eq!(memory.pixels(1, soon()).await.unwrap_err().code, "memory_full");
        drop(held);
        memory.pixels(1, soon()).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_held_shrinks_and_comes_back() {
        let memory = Memory::new(4 << 20);
        let mut held = memory.body_up_to(1 << 40, soon()).await.unwrap();
        assert_eq!(memory.free().0, 0);
        held.shrink_to(2048);
        assert_eq!(memory.free().0, (1 << 20) - 2048);
        held.join(memory.body(1024, soon()).await.unwrap());
        held.shrink_to(2048);
        assert_eq!(memory.free().0, (1 << 20) - 2048);
        drop(held);
        assert_eq!(memory.free().0, 1 << 20);
    }
}
