//! Builder methods.

/// Methods that set one field each.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident($value:ident: $type:ty) => $($field:ident).+;)*) => {$(
        $(#[$doc])*
        pub fn $name(mut self, $value: $type) -> Self {
            self.$($field).+ = $value;
            self
        }
    )*};
}

pub(crate) use settings;
