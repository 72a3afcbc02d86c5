//! Who is told how far a long stage has come.

/// A stage that goes through many images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    Observe,
    Compare,
}

/// An observer of long stages; `()` is one that does not look.
///
/// A stage begins once and ends once, also if it fails; in between, [`Progress::advance`] is called
/// from any of its threads.
pub trait Progress: Sync {
    /// `stage` begins, and will go through so many images.
    fn begin(&self, _stage: Stage, _images: usize) {}

    /// One more image is done.
    fn advance(&self) {}

    /// The stage that began is over.
    fn end(&self) {}
}

impl Progress for () {}
