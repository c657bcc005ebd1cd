//! What can be done with a detector: one file a verb.

pub mod evaluate;
pub mod monitor;
pub mod pick;
pub mod recalibrate;
pub mod update;
pub mod verify;
