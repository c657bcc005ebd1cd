//! The list of methods.

use blemish_core::entry::MethodEntry;
use blemish_core::error::Error;

/// Declares the methods: families of folders with the methods in each, then folders that are a family of their own.
///
/// Makes the modules, the list that [`methods`] gives, in the order written, and a test of each method by the contract suite on its
/// folder's `tests::SMALL`.
macro_rules! methods {
    (
        $($(#[$about:meta])* family $family:ident { $($folder:ident: $($method:ident)|+),+ $(,)? })+
        $(mod $lone:ident: $($member:ident),+;)+
    ) => {
        $($(#[$about])* pub mod $family { $(pub mod $folder;)+ })+
        $(pub mod $lone;)+

        /// Every method there is, the default one first.
        static METHODS: &[&dyn blemish_core::entry::MethodEntry] = &[
            $($($(&blemish_core::entry::Entry::<$family::$folder::$method>::new(),)+)+)+
            $($(&blemish_core::entry::Entry::<$lone::$member>::new(),)+)+
        ];

        /// The small settings of every method, for tests of all.
        #[cfg(test)]
        static SMALL: &[&[contract::Small]] = &[$($($family::$folder::tests::SMALL,)+)+ $($lone::tests::SMALL,)+];

        #[cfg(test)]
        mod keeps_its_promises {
            $($($(
                #[test]
                #[allow(non_snake_case, reason = "a test has the name of its method")]
                fn $method() {
                    crate::contract::check::<crate::$family::$folder::$method>(crate::$family::$folder::tests::SMALL);
                }
            )+)+)+
            $($(
                #[test]
                #[allow(non_snake_case, reason = "a test has the name of its method")]
                fn $member() {
                    crate::contract::check::<crate::$lone::$member>(crate::$lone::tests::SMALL);
                }
            )+)+
        }
    };
}

/// Every method there is, the default one first.
pub fn methods() -> &'static [&'static dyn MethodEntry] {
    crate::METHODS
}

/// The method of that name.
///
/// # Errors
/// [`Error::UnknownMethod`] with the names there are.
pub fn method(name: &str) -> Result<&'static dyn MethodEntry, Error> {
    methods().iter().copied().find(|entry| entry.info().name == name).ok_or_else(|| {
        let known: Vec<&str> = methods().iter().map(|entry| entry.info().name).collect();
        Error::UnknownMethod { name: name.to_owned(), known: known.join(", ") }
    })
}

/// Names of the methods whose models can be updated and merged.
pub fn updatable_names() -> String {
    let names: Vec<&str> =
        methods().iter().filter(|entry| entry.updates().is_some()).map(|entry| entry.info().name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::methods;
    use blemish_core::preset::Preset;

    #[test]
    fn presets_are_the_default_and_its_published_size() {
        let trained =
            ["fastflow", "cflow", "csflow", "differnet", "glow", "cfa", "mspba", "pni", "uniad", "ddad"];
        for name in trained {
            let entry = super::method(name).unwrap();
            let [cpu, paper] = [Preset::Cpu, Preset::Paper].map(|preset| entry.preset(preset).unwrap());
            let defaults = entry.settings();
            assert_eq!(defaults[0].name, Preset::KEY, "{name}");
            for setting in &defaults {
                assert_eq!(cpu[&setting.name], setting.default, "{name}, {}", setting.name);
                // What a preset says is what a user may set.
                let text =
                    |value: &serde_json::Value| value.as_str().map_or(value.to_string(), str::to_owned);
                let pairs = [(setting.name.clone(), text(&paper[&setting.name]))];
                if !paper[&setting.name].is_null() {
                    entry.parse(&pairs).unwrap();
                }
            }
            assert_eq!(paper[Preset::KEY], "paper", "{name}");
        }
        assert!(methods().iter().any(|entry| entry.preset(Preset::Cpu).is_none()));
    }
}
