//! Options of methods and metrics: each is described once, and everything that knows of it follows from that.
//!
//! [`options!`](crate::options!) lists the options of a method where the method is defined. From the list come its
//! builder methods, its flags and their help, the ranges that are checked, and the [`Configuration`] by
//! which a built method says what it will do. Metrics have the same list
//! ([`configurable!`](crate::configurable!)), with an error of their own.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attributor::Setup;
use crate::error::AttributionError;

/// One option of a method or a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodOption {
    /// Its name, without dashes in front.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// What it may be, in words.
    pub values: &'static str,
}

impl MethodOption {
    /// The error for a text that cannot be understood.
    #[doc(hidden)]
    pub fn refused<E: OptionError>(&self, text: &str) -> E {
        E::not_understood(self.name, text, self.values)
    }

    /// The error for a value that is out of range.
    #[doc(hidden)]
    pub fn out_of_range<E: OptionError>(&self, value: String) -> E {
        E::out_of_range(self.name, value, self.values)
    }

    /// Sets `value` from text.
    #[doc(hidden)]
    pub fn read_into<T: Setting, E: OptionError>(
        &self,
        value: &mut T,
        text: &str,
    ) -> Result<(), E> {
        *value = T::read(text).ok_or_else(|| self.refused::<E>(text))?;
        Ok(())
    }
}

/// An error that can say what is wrong with an option.
pub trait OptionError: Sized {
    /// A text that cannot be understood.
    fn not_understood(option: &str, text: &str, expected: &str) -> Self;

    /// A value that is out of range.
    fn out_of_range(option: &'static str, value: String, expected: &'static str) -> Self;

    /// An option that `owner` does not have.
    fn unknown(owner: &'static str, option: &str, known: Vec<&'static str>) -> Self;
}

/// Makes an [`OptionError`] of an error with the variants `OptionValue`, `Parameter` and `UnknownOption`,
/// which names the owner of an option as a field.
#[doc(hidden)]
#[macro_export]
macro_rules! option_error {
    ($error:ident of $owner:ident) => {
        impl $crate::OptionError for $error {
            fn not_understood(option: &str, text: &str, expected: &str) -> Self {
                Self::OptionValue {
                    option: option.to_owned(),
                    value: text.to_owned(),
                    expected: expected.to_owned(),
                }
            }

            fn out_of_range(
                parameter: &'static str,
                value: String,
                expected: &'static str,
            ) -> Self {
                Self::Parameter {
                    parameter,
                    value,
                    expected,
                }
            }

            fn unknown($owner: &'static str, option: &str, options: Vec<&'static str>) -> Self {
                Self::UnknownOption {
                    $owner,
                    option: option.to_owned(),
                    options,
                }
            }
        }
    };
}

option_error!(AttributionError of method);

/// What a method or a metric will do: its options in effect by name, as text that would set them again.
///
/// Presets are resolved, options that exclude each other as well, and so is what shrinks on small
/// pictures: an option that is not here has no part in the result, or follows from the network.
///
/// In JSON it is a map of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Configuration(BTreeMap<String, String>);

impl Configuration {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one option more.
    #[must_use]
    pub fn with(mut self, option: &str, value: impl ToString) -> Self {
        self.set(option, value);
        self
    }

    /// States an option, in the place of what may be there.
    pub fn set(&mut self, option: &str, value: impl ToString) {
        self.0.insert(option.to_owned(), value.to_string());
    }

    /// The value of an option in effect.
    pub fn get(&self, option: &str) -> Option<&str> {
        self.0.get(option).map(String::as_str)
    }

    /// Options and their values, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `samples 50, noise 0.15`.
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            let before = if i == 0 { "" } else { ", " };
            write!(f, "{before}{name} {value}")?;
        }
        Ok(())
    }
}

/// What [`options!`](crate::options!) makes of a method, and the like of a metric.
pub trait Configurable {
    /// What says that an option is wrong.
    type Error: OptionError;

    /// Its own options, in the order of its documentation.
    const OPTIONS: &'static [MethodOption];

    /// The options in effect on images of `[height, width]`.
    fn configured(&self, size: [usize; 2]) -> Configuration;

    /// Sets an option of this name from text.
    ///
    /// # Errors
    ///
    /// [`OptionError::not_understood`] for a text that cannot be understood, or that contradicts what was
    /// set before; [`OptionError::unknown`] for an option that is not there.
    fn configure(&mut self, option: &str, text: &str) -> Result<(), Self::Error>;

    /// Refuses options that are out of range.
    ///
    /// # Errors
    ///
    /// [`OptionError::out_of_range`].
    fn check_options(&self) -> Result<(), Self::Error>;
}

/// A method that has the [`Setup`] of all methods.
pub trait HasSetup {
    /// What every method may be told.
    fn setup_mut(&mut self) -> &mut Setup;
}

/// A value of an option.
pub trait Setting: Sized {
    /// What is checked to be in range.
    type Value;

    /// Reads it; `None` for what cannot be understood.
    fn read(text: &str) -> Option<Self>;

    /// As text, on images of `[height, width]`; `None` where it is not set.
    fn text(&self, size: [usize; 2]) -> Option<String>;

    /// What is checked to be in range, if it is set.
    fn value(&self) -> Option<&Self::Value>;
}

/// Makes [`Setting`]s of types that are read by `FromStr` and written by `Display`.
#[macro_export]
macro_rules! settings {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::Setting for $type {
            type Value = Self;

            fn read(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }

            fn text(&self, _size: [usize; 2]) -> Option<String> {
                Some(self.to_string())
            }

            fn value(&self) -> Option<&Self> {
                Some(self)
            }
        }
    )*};
}

settings!(bool, usize, u64, f32, f64, String);

impl<T: Setting> Setting for Option<T> {
    type Value = T::Value;

    fn read(text: &str) -> Option<Self> {
        T::read(text).map(Some)
    }

    fn text(&self, size: [usize; 2]) -> Option<String> {
        self.as_ref().and_then(|value| value.text(size))
    }

    fn value(&self) -> Option<&T::Value> {
        self.as_ref().and_then(Setting::value)
    }
}

/// Numbers between commas.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers(pub Vec<f32>);

impl Numbers {
    /// So many of them, no more and no less.
    pub fn exactly<const N: usize>(text: &str) -> Option<[f32; N]> {
        Self::read(text)?.0.try_into().ok()
    }

    pub fn join(numbers: &[f32]) -> String {
        let numbers: Vec<String> = numbers.iter().map(f32::to_string).collect();
        numbers.join(",")
    }
}

impl Setting for Numbers {
    type Value = Self;

    fn read(text: &str) -> Option<Self> {
        let numbers = text.split(',').map(|number| number.trim().parse());
        numbers.collect::<Result<_, _>>().ok().map(Self)
    }

    fn text(&self, _size: [usize; 2]) -> Option<String> {
        Some(Self::join(&self.0))
    }

    fn value(&self) -> Option<&Self> {
        Some(self)
    }
}

/// Builder methods: `set` a field, make it `some`, or `say` yes to it.
///
/// ```ignore
/// builder_methods! {
///     /// What rustdoc says of it.
///     set steps(steps: usize) => steps;
///     /// A field that is an [`Option`].
///     some images(images: usize) => images;
///     /// A field that is false unless it is said.
///     say signed() => signed;
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! builder_methods {
    ($($(#[$meta:meta])* $how:ident $name:ident($($value:ident: $type:ty)?) => $field:ident;)*) => {$(
        $(#[$meta])*
        pub fn $name(mut self $(, $value: $type)?) -> Self {
            self.$field = $crate::builder_methods!(@$how $($value)?);
            self
        }
    )*};
    (@set $value:ident) => { $value };
    (@some $value:ident) => { Some($value) };
    (@say) => { true };
}

/// Values that are called by a word: the enum, reading, writing, the list of words, and the default if there is one.
///
/// ```ignore
/// words! {
///     /// What rustdoc says of the type.
///     pub enum Ties: "ties", TIES = "first or share", default First {
///         /// What rustdoc says of the value.
///         First = "first",
///         /// The list may say more of a word than the word.
///         Share = "share",
///     }
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! words {
    ($error:ty; $(#[$meta:meta])* $vis:vis enum $type:ident: $option:literal, $words:ident = $list:literal
     $(, default $default:ident)? {
        $($(#[$of:meta])* $value:ident = $word:literal),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $type {
            $($(#[$of])* $value,)*
        }

        /// The words, as a sentence has them.
        pub(crate) const $words: &str = $list;

        impl std::str::FromStr for $type {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text.trim() {
                    $($word => Ok(Self::$value),)*
                    other => Err($crate::OptionError::not_understood($option, other, $words)),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$value => $word,)*
                })
            }
        }

        $(
            impl Default for $type {
                fn default() -> Self {
                    Self::$default
                }
            }
        )?

        $crate::settings!($type);
    };
    ($($described:tt)*) => {
        $crate::words!($crate::AttributionError; $($described)*);
    };
}
pub(crate) use crate::words;

/// Reads and writes an enum by the names in its table `NAMES`: `named!(Type: "parameter", "one or the other")`.
macro_rules! named {
    ($type:ident: $parameter:literal, $list:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let named = Self::NAMES.iter().find(|(_, value)| value == self);
                f.write_str(named.map_or("", |(name, _)| name))
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::AttributionError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let named = Self::NAMES.iter().find(|(name, _)| *name == text.trim());
                named
                    .map(|(_, value)| *value)
                    .ok_or_else(|| $crate::AttributionError::unread($parameter, text, $list))
            }
        }
    };
}
pub(crate) use named;

/// The options of a method, each described once: `options!(Method { {…} {…} })`.
///
/// An option that is a field of the method, which has a field `setup` of [`Setup`] besides, is
///
/// ```ignore
/// {
///     /// What rustdoc says of the builder method.
///     samples: usize as "samples", "how many gradients are taken", "1 or more", |samples| *samples > 0
/// }
/// ```
///
/// with the name of the flag, its help, what it may be in words, and a check of its range, which may be left
/// out. The field may be an [`Option`] or a [`Scaled`](crate::Scaled) of the builder's type. A field whose
/// builder method is written by hand has no type here: `samples as "samples", …`. Any other option says how it is
/// written, for images of `[height, width]`, and read; `None` is for an option that is not in effect, and for
/// a text that cannot be understood. A check of its range may follow:
///
/// ```ignore
/// {
///     "areas", "areas of the masks", "shares of the image, between commas",
///     |method, _size| Some(join(&method.areas)),
///     |method, text| { method.areas = parse(text)?; Some(()) },
///     |method| !method.areas.is_empty()
/// }
/// ```
///
/// Options are set in the order of the list. What else must be true of them is a function behind the list,
/// `options!(Method { … } check Method::check)`. The method implements [`Configurable`] by it.
#[macro_export]
macro_rules! options {
    ($method:ident { $($list:tt)* } $(check $also:expr)?) => {
        $crate::configurable!($crate::AttributionError; $method { $($list)* } $(check $also)?);

        impl $crate::HasSetup for $method {
            fn setup_mut(&mut self) -> &mut $crate::Setup {
                &mut self.setup
            }
        }
    };
}

/// The same for anything that has options, whose error is an [`OptionError`]: metrics have no [`Setup`].
#[macro_export]
macro_rules! configurable {
    ($error:ty; $owner:ident { $({ $($option:tt)* })* } $(check $also:expr)?) => {
        impl $owner {
            $($crate::configurable!(@builder $($option)*);)*
        }

        impl $crate::Configurable for $owner {
            type Error = $error;

            const OPTIONS: &'static [$crate::MethodOption] = &[
                $($crate::configurable!(@described $($option)*),)*
            ];

            fn configured(&self, _size: [usize; 2]) -> $crate::Configuration {
                #[allow(unused_mut)]
                let mut configuration = $crate::Configuration::new();
                $($crate::configurable!(@write $owner, self, _size, configuration, $($option)*);)*
                configuration
            }

            fn configure(&mut self, option: &str, _text: &str) -> Result<(), Self::Error> {
                $($crate::configurable!(@read $owner, self, option, _text, $($option)*);)*
                let known = <Self as $crate::Configurable>::OPTIONS.iter();
                Err($crate::OptionError::unknown(
                    stringify!($owner),
                    option,
                    known.map(|known| known.name).collect(),
                ))
            }

            fn check_options(&self) -> Result<(), Self::Error> {
                $($crate::configurable!(@check $owner, self, $($option)*);)*
                $(
                    let also: fn(&Self) -> Result<(), $error> = $also;
                    also(self)?;
                )?
                Ok(())
            }
        }
    };

    (@builder $(#[$meta:meta])* $field:ident : $type:ty as $name:literal, $($rest:tt)*) => {
        $(#[$meta])*
        pub fn $field(mut self, $field: $type) -> Self {
            self.$field = $field.into();
            self
        }
    };
    (@builder $($option:tt)*) => {};

    (@described $(#[$meta:meta])* $field:ident $(: $type:ty)? as $name:literal, $help:expr, $values:expr
     $(, $fits:expr)? $(,)?) => {
        $crate::MethodOption { name: $name, help: $help, values: $values }
    };
    (@described $name:literal, $help:expr, $values:expr, $write:expr, $read:expr $(, $fits:expr)? $(,)?) => {
        $crate::MethodOption { name: $name, help: $help, values: $values }
    };

    (@write $owner:ident, $self:ident, $size:ident, $to:ident,
     $(#[$meta:meta])* $field:ident $(: $type:ty)? as $name:literal, $($rest:tt)*) => {
        if let Some(text) = $crate::Setting::text(&$self.$field, $size) {
            $to.set($name, text);
        }
    };
    (@write $owner:ident, $self:ident, $size:ident, $to:ident,
     $name:literal, $help:expr, $values:expr, $write:expr, $($rest:tt)*) => {
        let write: fn(&$owner, [usize; 2]) -> Option<String> = $write;
        if let Some(text) = write($self, $size) {
            $to.set($name, text);
        }
    };

    (@read $owner:ident, $self:ident, $option:ident, $text:ident,
     $(#[$meta:meta])* $field:ident $(: $type:ty)? as $name:literal, $($described:tt)*) => {
        if $option == $name {
            let described =
                $crate::configurable!(@described $field as $name, $($described)*);
            return described.read_into(&mut $self.$field, $text);
        }
    };
    (@read $owner:ident, $self:ident, $option:ident, $text:ident,
     $name:literal, $help:expr, $values:expr, $write:expr, $read:expr $(, $fits:expr)? $(,)?) => {
        if $option == $name {
            let described = $crate::MethodOption { name: $name, help: $help, values: $values };
            let read: fn(&mut $owner, &str) -> Option<()> = $read;
            return read($self, $text).ok_or_else(|| described.refused($text));
        }
    };

    (@check $owner:ident, $self:ident, $(#[$meta:meta])* $field:ident $(: $type:ty)? as $name:literal,
     $help:expr, $values:expr, $fits:expr $(,)?) => {
        if let Some(value) = $crate::Setting::value(&$self.$field)
            && !$crate::fits(value, $fits)
        {
            let described = $crate::MethodOption { name: $name, help: $help, values: $values };
            return Err(described.out_of_range(value.to_string()));
        }
    };
    (@check $owner:ident, $self:ident, $name:literal, $help:expr, $values:expr, $write:expr, $read:expr,
     $fits:expr $(,)?) => {
        let fits: fn(&$owner) -> bool = $fits;
        if !fits($self) {
            let write: fn(&$owner, [usize; 2]) -> Option<String> = $write;
            let described = $crate::MethodOption { name: $name, help: $help, values: $values };
            return Err(described.out_of_range(write($self, [0; 2]).unwrap_or_default()));
        }
    };
    (@check $($option:tt)*) => {};
}

/// Whether a value is in range.
#[doc(hidden)]
pub fn fits<T>(value: &T, range: fn(&T) -> bool) -> bool {
    range(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone)]
    struct Method {
        setup: Setup,
        samples: usize,
        most: Option<f32>,
        signed: bool,
        ends: [f32; 2],
    }

    crate::options!(Method {
        {
            /// How many.
            samples: usize as "samples", "how many samples", "1 or more", |samples| *samples > 0
        }
        {
            /// At most this.
            most: f32 as "at-most", "the largest", "a number"
        }
        {
            "ends", "where it begins and ends", "two numbers between commas",
            |method, _| (method.samples > 1).then(|| Numbers::join(&method.ends)),
            |method, text| { method.ends = Numbers::exactly(text)?; Some(()) },
            |method| method.ends[0] <= method.ends[1]
        }
        {
            signed as "signed", "whether signs count", "true or false"
        }
    });

    fn method() -> Method {
        Method {
            setup: Setup::at("layer"),
            samples: 3,
            most: None,
            signed: false,
            ends: [0.0, 0.5],
        }
    }

    #[test]
    fn a_list_of_options_is_all_that_is_said_of_them() {
        let names: Vec<_> = Method::OPTIONS.iter().map(|option| option.name).collect();
        assert_eq!(names, ["samples", "at-most", "ends", "signed"]);
        let stated = method().configured([4, 4]);
        assert_eq!(stated.to_string(), "ends 0,0.5, samples 3, signed false");
        let built = method().samples(1).most(0.25);
        assert_eq!(
            built.configured([4, 4]).to_string(),
            "at-most 0.25, samples 1, signed false"
        );

        let mut read = method();
        for (option, text) in [
            ("samples", " 7"),
            ("at-most", "2"),
            ("ends", "1, 2"),
            ("signed", "true"),
        ] {
            read.configure(option, text).unwrap();
        }
        assert_eq!(
            (read.samples, read.most, read.ends, read.signed),
            (7, Some(2.0), [1.0, 2.0], true)
        );
        let written = read.configured([4, 4]);
        let mut again = method();
        for (option, text) in written.iter() {
            again.configure(option, text).unwrap();
        }
        assert_eq!(again.configured([4, 4]), written);
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_would_be_right() {
        let message = |found: Result<(), AttributionError>| found.unwrap_err().to_string();
        let refused = message(method().configure("samples", "many"));
        assert!(
            refused.contains("\"many\", expected 1 or more"),
            "{refused}"
        );
        let refused = message(method().configure("ends", "1"));
        assert!(refused.contains("two numbers between commas"), "{refused}");
        let refused = message(method().configure("sample", "1"));
        assert!(
            refused.contains("samples, at-most, ends, signed"),
            "{refused}"
        );
        let refused = message(method().samples(0).check_options());
        assert!(
            refused.contains("samples") && refused.contains("1 or more"),
            "{refused}"
        );
        let mut turned = method();
        turned.configure("ends", "2,1").unwrap();
        let refused = message(turned.check_options());
        assert!(refused.contains("ends is 2,1, expected two"), "{refused}");
        method().check_options().unwrap();
    }

    #[test]
    fn configurations_are_maps_in_json() {
        let stated = Configuration::new().with("b", 1).with("a", "x");
        let json = serde_json::to_string(&stated).unwrap();
        assert_eq!(json, r#"{"a":"x","b":"1"}"#);
        assert_eq!(
            serde_json::from_str::<Configuration>(&json).unwrap(),
            stated
        );
        assert_eq!(stated.get("b"), Some("1"));
    }
}
