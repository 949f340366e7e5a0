//! What builders of pages and of their parts do with what they are given.

/// Builder methods: `set` a field, make it `some`, `push` to a list, or take a list of `names`.
macro_rules! builders {
    ($($(#[$doc:meta])* $how:ident $name:ident($value:ident: $type:ident) => $field:ident;)*) => {$(
        crate::builders::builders!(@$how $(#[$doc])* $name($value: $type) => $field);
    )*};
    (@set $(#[$doc:meta])* $name:ident($value:ident: $type:ident) => $field:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, $value: $type) -> Self {
            self.$field = $value;
            self
        }
    };
    (@some $(#[$doc:meta])* $name:ident($value:ident: $type:ident) => $field:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, $value: $type) -> Self {
            self.$field = Some($value);
            self
        }
    };
    (@push $(#[$doc:meta])* $name:ident($value:ident: $type:ident) => $field:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, $value: $type) -> Self {
            self.$field.push($value);
            self
        }
    };
    (@names $(#[$doc:meta])* $name:ident($value:ident: $type:ident) => $field:ident) => {
        $(#[$doc])*
        pub fn $name<$type: Into<String>>(mut self, $value: impl IntoIterator<Item = $type>) -> Self {
            self.$field = $value.into_iter().map(Into::into).collect();
            self
        }
    };
}
pub(crate) use builders;
