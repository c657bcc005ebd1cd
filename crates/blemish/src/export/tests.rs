//! Tests of exported graphs.
