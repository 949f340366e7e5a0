//! Drawings as SVG: text as text.

use std::fmt::Write;

use super::{Align, Colour, Drawing, INK, Item, Text};
use crate::page::data_uri;
use crate::plot::escape;
use crate::{ColorMap, RenderError};

/// How many colours a bar has between which it is mixed.
const STOPS: usize = 33;

impl Drawing {
    /// The drawing as a document that needs no other file.
    pub fn svg(&self) -> Result<String, RenderError> {
        let [width, height] = self.size;
        let [r, g, b] = INK;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" font-family=\"system-ui, sans-serif\" \
             fill=\"#{r:02x}{g:02x}{b:02x}\"><title>{}</title>\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>",
            escape(&self.title)
        );
        for (i, item) in self.items.iter().enumerate() {
            put(&mut svg, i, item)?;
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }
}

fn put(svg: &mut String, number: usize, item: &Item) -> Result<(), RenderError> {
    let mut write = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = svg.write_fmt(text);
    };
    match item {
        Item::Line {
            points,
            colour,
            width,
            dashes,
        } => {
            let (path, colour) = (path(points), hex(*colour));
            write(format_args!(
                "<path d=\"M{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\""
            ));
            if !dashes.is_empty() {
                let dashes: Vec<String> = dashes.iter().map(f32::to_string).collect();
                write(format_args!(" stroke-dasharray=\"{}\"", dashes.join(" ")));
            }
            write(format_args!("/>"));
        }
        Item::Area {
            points,
            colour,
            opacity,
        } => {
            let (path, colour) = (path(points), hex(*colour));
            write(format_args!(
                "<path d=\"M{path}Z\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>"
            ));
        }
        Item::Dot { at, radius, colour } => {
            let ([x, y], colour) = (at, hex(*colour));
            write(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>"
            ));
        }
        Item::Text(text) => write(format_args!("{}", element(text))),
        Item::Image { at, size, picture } => {
            let uri = data_uri(&picture.to_png_bytes()?);
            let ([x, y], [w, h]) = (at, size);
            write(format_args!(
                "<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" href=\"{uri}\"/>"
            ));
        }
        Item::Bar { at, size, colors } => {
            write(format_args!("{}", gradient(number, *colors)));
            let ([x, y], [w, h]) = (at, size);
            write(format_args!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"url(#bar-{number})\"/>"
            ));
        }
    }
    Ok(())
}

fn gradient(number: usize, colors: ColorMap) -> String {
    let stops = (0..STOPS).map(|stop| {
        let at = stop as f32 / (STOPS - 1) as f32;
        let colour = hex(colors.map(at));
        format!("<stop offset=\"{at}\" stop-color=\"{colour}\"/>")
    });
    let stops: String = stops.collect();
    format!("<linearGradient id=\"bar-{number}\">{stops}</linearGradient>")
}

fn element(text: &Text) -> String {
    let [x, y] = text.at;
    let place = match text.turned {
        true => format!("transform=\"translate({x:.1} {y:.1}) rotate(-90)\""),
        false => format!("x=\"{x:.1}\" y=\"{y:.1}\""),
    };
    let anchor = match text.align {
        Align::Start => "",
        Align::Middle => " text-anchor=\"middle\"",
        Align::End => " text-anchor=\"end\"",
    };
    let weight = if text.bold {
        " font-weight=\"600\""
    } else {
        ""
    };
    let (size, text) = (text.size, escape(&text.text));
    format!("<text {place} font-size=\"{size}\"{anchor}{weight}>{text}</text>")
}

fn path(points: &[[f64; 2]]) -> String {
    let points = points.iter().map(|[x, y]| format!("{x:.2} {y:.2}"));
    points.collect::<Vec<_>>().join("L")
}

fn hex([r, g, b]: Colour) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}
