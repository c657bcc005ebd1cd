//! Which weights of a network are meant.

/// A network's weights, or those of some of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All of them.
    All,
    /// Those whose names are one of these or begin with one of these and a dot: `["encoder", "heads.0"]`.
    Fields(&'a [&'a str]),
}

impl Scope<'_> {
    /// Whether it has the weight of a path of fields and positions.
    pub(crate) fn has(&self, path: &[String]) -> bool {
        let is_below = |field: &&str| {
            let mut path = path.iter();
            field.split('.').all(|part| path.next().is_some_and(|own| own == part))
        };
        match self {
            Self::All => true,
            Self::Fields(fields) => fields.iter().any(is_below),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_what_is_below_them() {
        let path = |name: &str| name.split('.').map(str::to_owned).collect::<Vec<_>>();
        let scope = Scope::Fields(&["encoder", "heads.0"]);
        let has = |name| scope.has(&path(name));
        assert!(has("encoder.0.weight") && has("heads.0.bias") && has("encoder"));
        assert!(!has("encoder2.weight") && !has("heads.1.bias") && !has("heads"));
        assert!(Scope::All.has(&path("anything")) && !Scope::Fields(&[]).has(&path("anything")));
    }
}
