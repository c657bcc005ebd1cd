//! Methods of somebody else's: each in a file of its own, none in the list of methods, all through the one detector.
//!
//! | file | what it tries |
//! |---|---|
//! | `autoencoder` | no backbone, a network trained on pixels, on the device that is asked for |
//! | `two_categories` | two products in one model, judged by thresholds of their own |
//! | `clips` | frames in pairs, and scores that depend on the frames before |
//! | `prompts` | words as settings, and no good image at all |
//! | `made_defects` | a network trained on defects made from good images |
//! | `by_turns` | two networks that learn from each other by turns |

// Networks here are lists of layers, and a loss takes its network as the training loop hands it over.
#![allow(clippy::ptr_arg)]

mod autoencoder;
mod by_turns;
mod clips;
mod made_defects;
mod networks;
mod prompts;
mod scenes;
mod two_categories;
