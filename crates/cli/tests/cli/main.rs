//! The program `elucid`, run as its users run it.

mod attention;
mod attribute;
mod cases_inputs;
mod channels;
mod commands;
mod common;
mod evaluate;
mod evaluate_maps;
mod evaluate_study;
mod features;
mod first_steps;
mod groups;
mod heads;
mod killed;
mod listed;
mod many_images;
mod models;
mod own_network;
mod own_program;
mod profile;
mod replaced;
mod shells;
mod spatial;
mod target_pages;
mod targets;
mod threads;
