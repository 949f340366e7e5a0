//! Feature visualisation: pictures of what a network looks for.
