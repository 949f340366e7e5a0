//! The pages in a real browser.

mod accessibility;
mod browser;
mod browser_attention;
mod browser_channels_groups;
mod page;
