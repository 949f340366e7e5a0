//! The pages in a real browser.

mod browser;
mod browser_channels_groups;
