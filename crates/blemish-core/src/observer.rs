//! How long work reports its progress and is stopped.

use crate::error::Error;

/// Watches long work: progress, warnings, cancellation. Called from several threads.
pub trait Observer: Send + Sync {
    /// A stage begins; `total` is its number of steps where known.
    fn stage(&self, name: &str, total: Option<u64>) {
        let _ = (name, total);
    }
    /// `steps` more steps of the current stage are done.
    fn advance(&self, steps: u64) {
        let _ = steps;
    }
    /// How the current stage stands, in a few words (loss, rate); replaces the words before.
    fn status(&self, words: &str) {
        let _ = words;
    }
    /// A choice that the work has made for the user, and why.
    fn note(&self, message: &str) {
        let _ = message;
    }
    /// Something a user should know that does not stop the work.
    fn warn(&self, message: &str) {
        let _ = message;
    }
    /// A picture of what the work rests on, for a user to check before it has taken long: `size` is height and width, `planes` has
    /// 3 x height x width values in [0, 1], red first.
    fn picture(&self, name: &str, size: (usize, usize), planes: &[f32]) {
        let _ = (name, size, planes);
    }
    /// Whether the work should stop as soon as it can.
    fn is_cancelled(&self) -> bool {
        false
    }
    /// The same as an error, for work that ends with one.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    fn check_cancelled(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// Tells another observer everything, stages under a longer name.
pub struct Named<'a> {
    /// What stage names begin with.
    pub name: String,
    /// The observer.
    pub inner: &'a dyn Observer,
}

impl Observer for Named<'_> {
    fn stage(&self, name: &str, total: Option<u64>) {
        self.inner.stage(&format!("{}{name}", self.name), total);
    }
    fn advance(&self, steps: u64) {
        self.inner.advance(steps);
    }
    fn status(&self, words: &str) {
        self.inner.status(words);
    }
    fn note(&self, message: &str) {
        self.inner.note(&format!("{}{message}", self.name));
    }
    fn warn(&self, message: &str) {
        self.inner.warn(&format!("{}{message}", self.name));
    }
    fn picture(&self, name: &str, size: (usize, usize), planes: &[f32]) {
        self.inner.picture(name, size, planes);
    }
    fn is_cancelled(&self) -> bool {
        self.inner.is_cancelled()
    }
}

/// Passes cancellation on and nothing else, for work that is one step of many: what it has to say is said by the whole.
pub struct Quiet<'a>(pub &'a dyn Observer);

impl Observer for Quiet<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
