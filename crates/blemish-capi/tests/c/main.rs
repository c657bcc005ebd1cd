//! The C library as C programs see it: compiled by the compilers there are, run as they are and under tools that find what they must not do.

mod agreement;
mod calls;
mod header;
mod manners;
mod places;
mod support;
