//! What the tests of several members share: toy networks as ONNX files, operators as loops that can be
//! checked by eye, stored arrays, and a real browser. Never published.

pub mod array;
pub mod axe;
pub mod browser;
mod dense;
pub mod generated;
pub mod hostile;
pub mod memory;
pub mod onnx;
mod reference;

pub use dense::dense;
pub use reference::{Chelsea, assets, device, numbers, read_npy, relative_error, tensor};

/// Asserts the variant of an error and that its message, which is short, names every one of `mentions`.
#[macro_export]
macro_rules! refused {
    ($result:expr, $variant:pat $(, $mention:expr)* $(,)?) => {{
        let error = $result.map(|_| ()).expect_err("it was accepted");
        assert!(matches!(error, $variant), "{error:?}");
        let text = error.to_string();
        $(assert!(text.contains(&$mention.to_string()), "{text:?} does not name {:?}", $mention);)*
        assert!(text.len() < 1000, "{} characters", text.len());
        assert!(!text.contains('\n') || text.len() < 400, "{text}");
    }};
}
