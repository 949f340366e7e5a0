//! The library as a whole, and the pages that it makes.

mod attention_page;
mod by_hand;
mod evaluation;
mod example_page;
mod examples;
mod googlenet_page;
mod lucid_pages;
mod page;
mod results;
mod sanity;
mod wgpu;
