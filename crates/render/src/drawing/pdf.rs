//! Drawings as PDF of one page: text as text, in fonts that every reader has, and lines as lines.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{LineCapStyle, LineJoinStyle};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use super::font::{helvetica, win_ansi};
use super::{Align, Colour, Drawing, INK, Item, Text};
use crate::RenderError;

/// Points of PDF in a unit of SVG.
const POINT: f32 = 0.75;

/// How many colours a bar has.
const COLOURS: usize = 256;

const REGULAR: Name<'static> = Name(b"F1");
const BOLD: Name<'static> = Name(b"F2");

/// A picture that the page refers to.
struct Image {
    name: String,
    size: [usize; 2],
    /// Deflated.
    bytes: Vec<u8>,
}

/// What is seen of a page, and what that refers to.
struct Page {
    content: Content,
    /// Of the page, in units.
    height: f64,
    images: Vec<Image>,
    /// In hundredths.
    opacities: Vec<u8>,
}

impl Drawing {
    /// The drawing as a document of one page of its own size. Letters that the standard fonts of PDF do not have, which are those
    /// of Western Europe, are question marks.
    pub fn pdf(&self) -> Result<Vec<u8>, RenderError> {
        let [width, height] = self.size;
        let mut page = Page {
            content: Content::new(),
            height,
            images: Vec::new(),
            opacities: Vec::new(),
        };
        page.content.transform([POINT, 0.0, 0.0, POINT, 0.0, 0.0]);
        for item in &self.items {
            page.put(item)?;
        }
        let size = [width, height].map(|side| POINT * side as f32);
        page.document(&self.title, size)
    }
}

impl Page {
    fn put(&mut self, item: &Item) -> Result<(), RenderError> {
        match item {
            Item::Line {
                points,
                colour,
                width,
                dashes,
            } => {
                self.content.save_state();
                let [r, g, b] = shares(*colour);
                self.content
                    .set_stroke_rgb(r, g, b)
                    .set_line_width(*width as f32)
                    .set_line_cap(LineCapStyle::ButtCap)
                    .set_line_join(LineJoinStyle::RoundJoin)
                    .set_dash_pattern(dashes.iter().copied(), 0.0);
                self.path(points);
                self.content.stroke().restore_state();
            }
            Item::Area {
                points,
                colour,
                opacity,
            } => {
                let hundredths = (100.0 * opacity).round() as u8;
                if !self.opacities.contains(&hundredths) {
                    self.opacities.push(hundredths);
                }
                let [r, g, b] = shares(*colour);
                self.content
                    .save_state()
                    .set_parameters(Name(opacity_name(hundredths).as_bytes()))
                    .set_fill_rgb(r, g, b);
                self.path(points);
                self.content.close_path().fill_nonzero().restore_state();
            }
            Item::Dot { at, radius, colour } => {
                let [r, g, b] = shares(*colour);
                self.content.set_fill_rgb(r, g, b);
                self.disc(*at, *radius);
                self.content.fill_nonzero();
            }
            Item::Text(text) => self.write(text),
            Item::Image { at, size, picture } => {
                let pixels = [picture.width(), picture.height()];
                let bytes = (0..pixels[1]).flat_map(|y| (0..pixels[0]).map(move |x| (y, x)));
                let bytes = bytes.flat_map(|(y, x)| picture.pixel(y, x)).collect();
                self.image(*at, *size, pixels, bytes)?;
            }
            Item::Bar { at, size, colors } => {
                let places = (0..COLOURS).map(|i| i as f32 / (COLOURS - 1) as f32);
                let bytes = places.flat_map(|place| colors.map(place)).collect();
                self.image(*at, *size, [COLOURS, 1], bytes)?;
            }
        }
        Ok(())
    }

    /// From the lower left, as PDF counts.
    fn place(&self, [x, y]: [f64; 2]) -> [f32; 2] {
        [x as f32, (self.height - y) as f32]
    }

    fn path(&mut self, points: &[[f64; 2]]) {
        for (i, point) in points.iter().enumerate() {
            let [x, y] = self.place(*point);
            match i {
                0 => self.content.move_to(x, y),
                _ => self.content.line_to(x, y),
            };
        }
    }

    /// Four curves that differ from a circle by less than a thousandth of its radius.
    fn disc(&mut self, at: [f64; 2], radius: f64) {
        let ([x, y], r) = (self.place(at), radius as f32);
        let k = 0.5523 * r;
        self.content
            .move_to(x + r, y)
            .cubic_to(x + r, y + k, x + k, y + r, x, y + r)
            .cubic_to(x - k, y + r, x - r, y + k, x - r, y)
            .cubic_to(x - r, y - k, x - k, y - r, x, y - r)
            .cubic_to(x + k, y - r, x + r, y - k, x + r, y);
    }

    fn write(&mut self, text: &Text) {
        let letters = text.text.chars();
        let bytes: Vec<u8> = letters.map(|c| win_ansi(c).unwrap_or(b'?')).collect();
        let length = helvetica(&text.text, text.size) as f32;
        let back = match text.align {
            Align::Start => 0.0,
            Align::Middle => length / 2.0,
            Align::End => length,
        };
        let [x, y] = self.place(text.at);
        let matrix = match text.turned {
            true => [0.0, 1.0, -1.0, 0.0, x, y - back],
            false => [1.0, 0.0, 0.0, 1.0, x - back, y],
        };
        let [r, g, b] = shares(INK);
        let font = if text.bold { BOLD } else { REGULAR };
        self.content
            .set_fill_rgb(r, g, b)
            .begin_text()
            .set_font(font, text.size as f32)
            .set_text_matrix(matrix)
            .show(Str(&bytes))
            .end_text();
    }

    fn image(
        &mut self,
        at: [f64; 2],
        size: [f64; 2],
        pixels: [usize; 2],
        bytes: Vec<u8>,
    ) -> Result<(), RenderError> {
        let name = format!("P{}", self.images.len());
        let [x, y] = self.place([at[0], at[1] + size[1]]);
        let [w, h] = size.map(|side| side as f32);
        self.content
            .save_state()
            .transform([w, 0.0, 0.0, h, x, y])
            .x_object(Name(name.as_bytes()))
            .restore_state();
        self.images.push(Image {
            name,
            size: pixels,
            bytes: deflated(&bytes)?,
        });
        Ok(())
    }

    fn document(self, title: &str, [width, height]: [f32; 2]) -> Result<Vec<u8>, RenderError> {
        let mut last = Ref::new(1);
        let mut next = || last.bump();
        let [catalog, pages, page_id, content_id, info] = [(); 5].map(|()| next());
        let fonts = [(REGULAR, &b"Helvetica"[..]), (BOLD, b"Helvetica-Bold")];
        let fonts = fonts.map(|(name, base)| (name, base, next()));
        let images: Vec<(Ref, Image)> = (self.images.into_iter())
            .map(|image| (next(), image))
            .collect();
        let states: Vec<(Ref, u8)> = (self.opacities.into_iter())
            .map(|opacity| (next(), opacity))
            .collect();

        let mut pdf = Pdf::new();
        pdf.catalog(catalog).pages(pages);
        pdf.pages(pages).kids([page_id]).count(1);
        let mut page = pdf.page(page_id);
        page.media_box(Rect::new(0.0, 0.0, width, height));
        page.parent(pages).contents(content_id);
        let mut resources = page.resources();
        let mut names = resources.fonts();
        for (name, _, id) in &fonts {
            names.pair(*name, *id);
        }
        names.finish();
        let mut names = resources.x_objects();
        for (id, image) in &images {
            names.pair(Name(image.name.as_bytes()), *id);
        }
        names.finish();
        let mut names = resources.ext_g_states();
        for (id, opacity) in &states {
            names.pair(Name(opacity_name(*opacity).as_bytes()), *id);
        }
        names.finish();
        resources.finish();
        page.finish();
        for (_, base, id) in fonts {
            pdf.type1_font(id)
                .base_font(Name(base))
                .encoding_predefined(Name(b"WinAnsiEncoding"));
        }
        for (id, opacity) in states {
            let share = f32::from(opacity) / 100.0;
            pdf.ext_graphics(id).non_stroking_alpha(share);
        }
        for (id, image) in &images {
            let [width, height] = image
                .size
                .map(|side| i32::try_from(side).unwrap_or(i32::MAX));
            let mut picture = pdf.image_xobject(*id, &image.bytes);
            picture.filter(Filter::FlateDecode);
            picture.width(width).height(height).bits_per_component(8);
            picture.color_space().device_rgb();
            // Small pictures are enlarged as browsers do it.
            picture.interpolate(true);
        }
        let content = deflated(&self.content.finish())?;
        pdf.stream(content_id, &content).filter(Filter::FlateDecode);
        let mut about = pdf.document_info(info);
        about.title(TextStr(title)).producer(TextStr("elucid"));
        about.finish();
        Ok(pdf.finish())
    }
}

fn opacity_name(hundredths: u8) -> String {
    format!("O{hundredths}")
}

fn shares(colour: Colour) -> [f32; 3] {
    colour.map(|value| f32::from(value) / 255.0)
}

fn deflated(bytes: &[u8]) -> Result<Vec<u8>, RenderError> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes);
    written
        .and_then(|()| encoder.finish())
        .map_err(|error| RenderError::encode("document", error))
}
