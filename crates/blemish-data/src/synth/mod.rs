//! Procedural inspection sets.
