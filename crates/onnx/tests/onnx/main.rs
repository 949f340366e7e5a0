//! Files to graphs.

mod files;
mod functions;

/// Asserts the variant of an error and that its message names every one of `mentions`.
macro_rules! refused {
    ($result:expr, $variant:pat $(, $mention:expr)* $(,)?) => {{
        let error = $result.map(|_| ()).expect_err("it was accepted");
        assert!(matches!(error, $variant), "{error:?}");
        let text = error.to_string();
        $(assert!(text.contains(&$mention.to_string()), "{text:?} does not name {:?}", $mention);)*
        assert!(text.len() < 1000, "{} characters", text.len());
    }};
}

use refused;
