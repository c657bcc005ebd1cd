//! BERT (arXiv 1810.04805): texts as vectors, one a token.
