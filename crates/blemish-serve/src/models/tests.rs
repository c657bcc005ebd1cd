pub(crate) const PANICS: &str = "panic, please";
