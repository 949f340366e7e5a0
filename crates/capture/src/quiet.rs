//! Panics that are caught and told in words need no report on the terminal.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// A panic, in its own words.
pub(crate) struct Panic(pub String);

/// Makes the process's hook silent while *this* thread records, and only then: whatever hook there was
/// is called for every other panic. It is put in front once, and stays.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
}

/// Restores what was, also while unwinding.
struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        QUIET.set(self.0);
    }
}

/// Runs `f`; its panic is returned and not reported.
pub(crate) fn quietly<T>(f: impl FnOnce() -> T) -> Result<T, Panic> {
    // A hook cannot be changed by a thread that is panicking: in a destructor, say.
    if !std::thread::panicking() {
        install();
    }
    let _restore = Restore(QUIET.replace(true));
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Panic(words(&*payload)))
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_returned_in_its_words() {
        let panicked: Result<(), _> = quietly(|| panic!("no {}", "luck"));
        let text = panicked.err().map(|p| p.0);
        assert_eq!(text.as_deref(), Some("no luck"));
        assert!(!QUIET.get());
    }
}
