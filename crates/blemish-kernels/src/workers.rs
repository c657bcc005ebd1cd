//! Threads that end with whoever started them.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::ops::Deref;
use std::thread::{Builder, JoinHandle, current};

/// Bytes of stack of each thread, as those of a main thread; what is not used takes no memory.
const STACK: usize = 8 << 20;

/// A pool of threads. When it is dropped they have ended, not merely been told to: a library that is unloaded must leave none behind.
pub struct Workers {
    /// Only the drop takes it out.
    pool: Option<ThreadPool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `threads` threads, at least one, which debuggers show as `name`.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn new(threads: usize, name: &str) -> Result<Self, ThreadPoolBuildError> {
        let mut started = Vec::new();
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .spawn_handler(|worker| {
                let named = Builder::new().name(format!("{name}-{}", worker.index())).stack_size(STACK);
                started.push(named.spawn(move || worker.run())?);
                Ok(())
            })
            .build()?;
        Ok(Self { pool: Some(pool), threads: started })
    }
}

impl Deref for Workers {
    type Target = ThreadPool;

    fn deref(&self) -> &ThreadPool {
        self.pool.as_ref().expect("the pool is there until the drop")
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        drop(self.pool.take());
        for thread in self.threads.drain(..) {
            // A thread cannot wait for its own end.
            if thread.thread().id() != current().id() {
                // Work that panics ends in whoever asked for it, not in the thread.
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Workers;
    use rayon::prelude::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts the threads that have it.
    struct Present(Arc<AtomicUsize>);

    impl Drop for Present {
        fn drop(&mut self) {
            // Late enough that whoever does not wait for it sees the thread alive.
            std::thread::sleep(std::time::Duration::from_millis(20));
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    thread_local! {
        static PRESENT: std::cell::RefCell<Option<Present>> = const { std::cell::RefCell::new(None) };
    }

    #[test]
    fn threads_have_ended_when_the_pool_is_gone() {
        let alive = Arc::new(AtomicUsize::new(0));
        let workers = Workers::new(3, "worker").unwrap();
        workers.broadcast(|_| {
            alive.fetch_add(1, Ordering::SeqCst);
            PRESENT.set(Some(Present(alive.clone())));
        });
        assert_eq!((workers.current_num_threads(), alive.load(Ordering::SeqCst)), (3, 3));
        drop(workers);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_panic_comes_to_whoever_asked_and_the_pool_goes_on() {
        let workers = Workers::new(2, "worker").unwrap();
        let sum = |limit: usize| {
            let add =
                || (0..limit).into_par_iter().map(|at| if at == 7 { panic!("seven") } else { at }).sum();
            workers.install::<_, usize>(add)
        };
        assert!(catch_unwind(AssertUnwindSafe(|| sum(8))).is_err());
        assert_eq!(sum(7), 21);
    }
}
