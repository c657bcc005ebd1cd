//! Tokenizers: texts as numbers that a text tower knows.
