//! How programs recognise errors: by a stable code, and the class that it belongs to.

/// Whose turn it is to mend an error. HTTP status, exit code and exception of each surface follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The image or data set that was given.
    Input,
    /// The model file.
    Model,
    /// How the library was asked: a setting, a name, an order of calls.
    Usage,
    /// The machine: files, memory, devices, interruptions.
    Environment,
    /// A fault of this library.
    Internal,
}

/// Every code with its class, in the order of the classes.
pub const CODES: &[(&str, Class)] = &[
    ("image_unreadable", Class::Input),
    ("image_format", Class::Input),
    ("image_too_small", Class::Input),
    ("image_too_large", Class::Input),
    ("image_does_not_fit", Class::Input),
    ("image_values", Class::Input),
    ("pixels", Class::Input),
    ("dataset", Class::Input),
    ("not_a_model", Class::Model),
    ("truncated", Class::Model),
    ("corrupt", Class::Model),
    ("newer_version", Class::Model),
    ("unknown_method", Class::Usage),
    ("setting", Class::Usage),
    ("cannot_fit", Class::Usage),
    ("cannot_train", Class::Usage),
    ("cannot_update", Class::Usage),
    ("cannot_pick", Class::Usage),
    ("cannot_export", Class::Usage),
    ("not_calibrated", Class::Usage),
    ("undefined_metric", Class::Usage),
    ("other_monitor", Class::Usage),
    ("weights", Class::Usage),
    ("weights_missing", Class::Environment),
    ("engine", Class::Environment),
    ("io", Class::Environment),
    ("interrupted", Class::Environment),
];

/// The class of a code; codes that are not in [`CODES`] are internal.
pub fn class_of(code: &str) -> Class {
    CODES.iter().find(|(known, _)| *known == code).map_or(Class::Internal, |(_, class)| *class)
}
