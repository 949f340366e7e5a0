//! The page of channel attribution: what every channel of a layer adds to a score.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ndarray::{Array1, Array3, ArrayView1};
use serde::Serialize;

use crate::builders::builders;
use crate::normalise::{check_finite, percentile};
use crate::page::{
    self, Prediction, STEPS, Widget, address, base64_size, check_bytes, data_uri, expect_shape,
    page_methods,
};
use crate::{Picture, RenderError, SpriteMap};

const WIDGET: Widget = Widget {
    markup: include_str!("../widgets/channel/page.html"),
    style: include_str!("../widgets/channel/style.css"),
    parts: &[],
    script: Some(include_str!("../widgets/channel/script.js")),
};

/// Above this many pixels all sprites together go into the page as JPEG instead of PNG.
const LARGEST_PNG: usize = 1 << 20;
/// The quality of that JPEG.
const QUALITY: u8 = 90;

/// What one method attributes to the channels of the layer.
#[derive(Clone, Debug)]
pub struct ChannelView {
    name: String,
    description: Option<String>,
    values: Array1<f32>,
    maps: Option<Maps>,
}

#[derive(Clone, Debug)]
struct Maps {
    /// The channels that have a map; all of them when absent.
    channels: Option<Vec<usize>>,
    values: Array3<f32>,
}

impl ChannelView {
    /// A view of `values`, `[C]`: what each channel adds to the score, signed, in the score's unit.
    pub fn new(name: impl Into<String>, values: Array1<f32>) -> Self {
        ChannelView {
            name: name.into(),
            description: None,
            values,
            maps: None,
        }
    }

    /// A sentence or two below the name.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Where in the photograph every channel adds what it adds, `[C, H, W]`: the attribution before
    /// it is summed over positions. Shown over the photograph while a channel is chosen.
    pub fn maps(mut self, maps: Array3<f32>) -> Self {
        self.maps = Some(Maps {
            channels: None,
            values: maps,
        });
        self
    }

    /// As [`ChannelView::maps`], for some channels only: row `i` of `maps`, `[K, H, W]`, belongs to
    /// `channels[i]`.
    pub fn maps_of(mut self, channels: impl IntoIterator<Item = usize>, maps: Array3<f32>) -> Self {
        self.maps = Some(Maps {
            channels: Some(channels.into_iter().collect()),
            values: maps,
        });
        self
    }
}

/// The channels in descending order of their values, equal ones by their number.
fn order(values: ArrayView1<f32>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    order
}

/// The channels of `values`, `[C]`, that [`ChannelWidget`] shows with their sprites: those of the `n`
/// largest values in descending order, then those of the `n` smallest, the smallest of all last;
/// every channel when there are no more than `2 n`.
///
/// Whoever makes icons for a page without a sprite map makes them for these.
pub fn top_and_bottom<'a>(values: impl Into<ArrayView1<'a, f32>>, n: usize) -> Vec<usize> {
    let [top, bottom] = ends(&order(values.into()), n);
    [top, bottom].concat()
}

/// The two ends of the order; the first has all channels when there is nothing between them.
fn ends(order: &[usize], n: usize) -> [Vec<usize>; 2] {
    if order.len() <= n.saturating_mul(2) {
        return [order.to_vec(), Vec::new()];
    }
    [order[..n].to_vec(), order[order.len() - n..].to_vec()]
}

/// One self-contained HTML page: what every channel of a layer adds to a score, or takes from it.
///
/// Each view shows all channels as bars, sorted, and the `n` channels at either end with their
/// sprites and values, in the manner of Lucid's channel attribution notebook. Pointing at a bar or a
/// sprite shows that channel everywhere: in the other views, as a large sprite, and, when the view
/// has maps, over the photograph. The page works by mouse, touch and keyboard, and fetches nothing.
///
/// The notebook draws bars 15 pixels high per unit and colours them for values about 1.8. Here the
/// largest absolute value of all views sets the height, and the 99th percentile of the absolute
/// values the colours; both are written on the page, so any method and any network's scores can be
/// read. The reader may have heights by the square root, which shows the small ones.
///
/// ```
/// use elucid_render::{ChannelView, ChannelWidget, Picture, SpriteMap};
/// use ndarray::{Array1, Array3};
///
/// # fn main() -> Result<(), elucid_render::RenderError> {
/// let photo = Picture::from_rgb(Array3::from_elem((8, 12, 3), 120).view())?;
/// let sprite = Picture::from_rgb(Array3::from_elem((4, 4, 3), 90).view())?;
/// let values = Array1::from_shape_fn(64, |c| (c as f32 * 0.7).sin());
/// let page = ChannelWidget::new(&photo, "inception_4d", "Egyptian cat minus tabby")
///     .view(ChannelView::new("Linear", values))
///     .icons([(21, sprite)])
///     .render()?;
/// assert!(page.starts_with("<!doctype html>"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ChannelWidget {
    photo: Picture,
    layer: String,
    score: String,
    title: Option<String>,
    views: Vec<ChannelView>,
    top: usize,
    sprites: Sprites,
    predictions: Vec<(String, Option<f32>)>,
    facts: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Sprites {
    Icons(Vec<(usize, Picture)>),
    Map(SpriteMap),
}

impl ChannelWidget {
    /// Largest size of a page in bytes, 32 MiB. A sprite map of 528 sprites of 110 x 110 pixels
    /// takes about 4 MB, maps of 528 channels over 14 x 14 positions 0.3 MB in each view.
    pub const MAX_BYTES: usize = 32 << 20;

    /// A page for what the network saw (any size; the layer covers all of it), the layer, and what
    /// the channels are attributed to, such as "Egyptian cat minus tabby".
    pub fn new(photo: &Picture, layer: impl Into<String>, score: impl Into<String>) -> Self {
        ChannelWidget {
            photo: photo.clone(),
            layer: layer.into(),
            score: score.into(),
            title: None,
            views: Vec::new(),
            top: 4,
            sprites: Sprites::Icons(Vec::new()),
            predictions: Vec::new(),
            facts: Vec::new(),
        }
    }

    builders! {
        /// Adds a view. All views have the same channels.
        push view(view: ChannelView) => views;
        /// How many channels are shown with their sprites at either end; 4 by default, as in the
        /// notebook.
        set top(n: usize) => top;
    }

    /// The sprites of all channels, in the place of what [`ChannelWidget::icons`] set. Sprites that
    /// the map lacks are left open.
    pub fn sprites(mut self, map: &SpriteMap) -> Self {
        self.sprites = Sprites::Map(map.clone());
        self
    }

    /// Sprites of some channels, all square and of one size, in the place of what was set before;
    /// [`top_and_bottom`] says which the page shows.
    pub fn icons(mut self, icons: impl IntoIterator<Item = (usize, Picture)>) -> Self {
        self.sprites = Sprites::Icons(icons.into_iter().collect());
        self
    }

    /// The page.
    ///
    /// # Errors
    ///
    /// - [`RenderError::NoViews`] without a view;
    /// - [`RenderError::Empty`], [`RenderError::Shape`], [`RenderError::NotFinite`] for values or
    ///   maps without channels or positions, of views that differ in their number of channels, or
    ///   that hold a NaN or an infinity; for a sprite map of another number of channels, and for
    ///   icons that are not square and of one size; [`RenderError::PictureTooLarge`] for icons that
    ///   together have more than [`SpriteMap::MAX_PIXELS`];
    /// - [`RenderError::Parameter`] for a map or an icon of a channel that there is not, for a
    ///   `top` of 0, and for a probability outside 0 to 1;
    /// - [`RenderError::PageTooLarge`] above [`ChannelWidget::MAX_BYTES`];
    /// - [`RenderError::Encode`] when an encoder fails.
    pub fn render(&self) -> Result<String, RenderError> {
        let count = self.check()?;
        let predictions = Prediction::list(&self.predictions)?;
        let photo = self.photo.to_png_bytes()?;
        let numbers = |view: &ChannelView| view.maps.as_ref().map_or(0, |maps| maps.values.len());
        let packed = base64_size(2 * self.views.iter().map(numbers).sum::<usize>())
            .saturating_add(base64_size(photo.len()));
        check_bytes(packed, Self::MAX_BYTES)?;
        let sheet = self.sheet(count)?;

        let views: Vec<ViewData> = self
            .views
            .iter()
            .map(|view| ViewData::new(view, self.top))
            .collect();
        let text = Text {
            title: self.shown_title(),
            layer: &self.layer,
            score: &self.score,
            count,
            sprites: sheet.is_some(),
            maps: self.views.iter().any(|view| view.maps.is_some()),
            aspect: [self.photo.width(), self.photo.height()],
            views: self
                .views
                .iter()
                .map(|view| ViewText {
                    name: &view.name,
                    description: view.description.as_deref(),
                })
                .collect(),
            predictions,
            facts: &self.facts,
        };
        let data = Data {
            photo: data_uri(&photo),
            layer: &self.layer,
            limit: views.iter().map(|view| view.largest).fold(0.0, f32::max),
            full: self.full()?,
            steps: STEPS,
            sheet,
            views,
        };
        WIDGET.render(&text, &data, Self::MAX_BYTES)
    }

    page_methods!(titled "Channel attribution");

    /// The number of channels.
    fn check(&self) -> Result<usize, RenderError> {
        let first = self.views.first().ok_or(RenderError::NoViews)?;
        let count = first.values.len();
        for view in &self.views {
            let what = format!("view {:?}", view.name);
            expect_shape(&what, &[count], view.values.shape())?;
            if count == 0 {
                return Err(RenderError::Empty {
                    what,
                    shape: vec![0],
                });
            }
            check_finite(&what, view.values.view().into_dyn())?;
            if let Some(maps) = &view.maps {
                maps.check(&view.name, count)?;
            }
        }
        if self.top == 0 {
            return Err(RenderError::Parameter {
                parameter: "the number of channels shown at either end",
                value: self.top.to_string(),
                expected: "at least 1",
            });
        }
        Ok(count)
    }

    /// The 99th percentile of the absolute values of all views: one channel far above all others
    /// leaves them their colours.
    fn full(&self) -> Result<f64, RenderError> {
        let values = self.views.iter().flat_map(|view| &view.values);
        percentile(values.map(|&v| f64::from(v.abs())), 99.0)
    }

    /// All sprites in one picture.
    fn sheet(&self, count: usize) -> Result<Option<Sheet>, RenderError> {
        match &self.sprites {
            Sprites::Map(map) => {
                let what = format!("the sprite map of {:?}", map.layer());
                expect_shape(&what, &[count], &[map.count()])?;
                let present = map.present();
                Sheet::new(map, present.iter().map(|&c| [c, c]).collect()).map(Some)
            }
            Sprites::Icons(icons) => {
                let Some((_, first)) = icons.first() else {
                    return Ok(None);
                };
                let mut map = SpriteMap::new(&self.layer, first.width(), icons.len())?;
                let mut slots = Vec::with_capacity(icons.len());
                for (slot, (channel, icon)) in icons.iter().enumerate() {
                    if *channel >= count {
                        return Err(no_channel("the channel of an icon", *channel, count));
                    }
                    map.insert(slot, icon)?;
                    slots.push([*channel, slot]);
                }
                Sheet::new(&map, slots).map(Some)
            }
        }
    }
}

fn no_channel(parameter: &'static str, channel: usize, count: usize) -> RenderError {
    RenderError::Parameter {
        parameter,
        value: format!("{channel} of {count}"),
        expected: "a channel that the layer has, counted from 0",
    }
}

impl Maps {
    fn check(&self, view: &str, count: usize) -> Result<(), RenderError> {
        let what = format!("the maps of view {view:?}");
        let (maps, height, width) = self.values.dim();
        let channels = self.channels.as_ref().map_or(count, Vec::len);
        expect_shape(&what, &[channels, height, width], &[maps, height, width])?;
        if self.values.is_empty() {
            return Err(RenderError::Empty {
                what,
                shape: vec![maps, height, width],
            });
        }
        for &channel in self.channels.iter().flatten() {
            if channel >= count {
                return Err(no_channel("the channel of a map", channel, count));
            }
        }
        check_finite(&what, self.values.view().into_dyn())
    }
}

/// What the markup shows.
#[derive(Serialize)]
struct Text<'a> {
    title: &'a str,
    layer: &'a str,
    score: &'a str,
    count: usize,
    sprites: bool,
    maps: bool,
    aspect: [usize; 2],
    views: Vec<ViewText<'a>>,
    predictions: Vec<Prediction<'a>>,
    facts: &'a [(String, String)],
}

#[derive(Serialize)]
struct ViewText<'a> {
    name: &'a str,
    description: Option<&'a str>,
}

/// What the script reads.
#[derive(Serialize)]
struct Data<'a> {
    photo: String,
    layer: &'a str,
    /// Largest absolute value of all views.
    limit: f32,
    /// The absolute value that has full colour.
    full: f64,
    steps: f64,
    sheet: Option<Sheet>,
    views: Vec<ViewData<'a>>,
}

/// One picture of many sprites.
#[derive(Serialize)]
struct Sheet {
    source: String,
    size: usize,
    columns: usize,
    rows: usize,
    /// Channel, and its place in the picture.
    slots: Vec<[usize; 2]>,
}

impl Sheet {
    fn new(map: &SpriteMap, slots: Vec<[usize; 2]>) -> Result<Self, RenderError> {
        let picture = map.picture();
        let source = if picture.height() * picture.width() <= LARGEST_PNG {
            data_uri(&picture.to_png_bytes()?)
        } else {
            address("jpeg", &picture.to_jpeg_bytes(QUALITY)?)
        };
        check_bytes(source.len(), ChannelWidget::MAX_BYTES)?;
        Ok(Sheet {
            source,
            size: map.size(),
            columns: map.columns(),
            rows: picture.height() / map.size(),
            slots,
        })
    }
}

#[derive(Serialize)]
struct ViewData<'a> {
    name: &'a str,
    values: Vec<f32>,
    largest: f32,
    sum: f64,
    /// Channels in descending order of their values.
    order: Vec<usize>,
    top: Vec<usize>,
    bottom: Vec<usize>,
    maps: Option<MapData<'a>>,
}

impl<'a> ViewData<'a> {
    fn new(view: &'a ChannelView, n: usize) -> Self {
        let order = order(view.values.view());
        let [top, bottom] = ends(&order, n);
        ViewData {
            name: &view.name,
            values: view.values.to_vec(),
            largest: view.values.fold(0.0, |most, v| most.max(v.abs())),
            sum: view.values.iter().map(|&v| f64::from(v)).sum(),
            order,
            top,
            bottom,
            maps: view.maps.as_ref().map(MapData::new),
        }
    }
}

#[derive(Serialize)]
struct MapData<'a> {
    channels: Option<&'a [usize]>,
    rows: usize,
    columns: usize,
    /// Largest absolute value of each map.
    scales: Vec<f32>,
    /// `[K, H, W]` as little-endian 16-bit integers, in units of `scale / steps`.
    values: String,
}

impl<'a> MapData<'a> {
    fn new(maps: &'a Maps) -> Self {
        let (_, rows, columns) = maps.values.dim();
        let mut bytes = Vec::with_capacity(2 * maps.values.len());
        let scales = maps
            .values
            .outer_iter()
            .map(|map| page::pack(&map, &mut bytes))
            .collect();
        MapData {
            channels: maps.channels.as_deref(),
            rows,
            columns,
            scales,
            values: STANDARD.encode(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::hostile::{HOSTILE, fetches_nothing};
    use ndarray::array;

    fn picture(height: usize, width: usize) -> Picture {
        Picture::from_rgb(Array3::from_elem((height, width, 3), 90).view()).unwrap()
    }

    fn widget() -> ChannelWidget {
        ChannelWidget::new(&picture(4, 6), "layer", "cat")
    }

    fn view() -> ChannelView {
        ChannelView::new("linear", array![0.5, -2.0, 3.0, 0.5, 0.0])
    }

    #[test]
    fn ends_are_sorted_and_equal_values_keep_their_order() {
        let values = array![0.5, -2.0, 3.0, 0.5, 0.0];
        assert_eq!(order(values.view()), [2, 0, 3, 4, 1]);
        assert_eq!(top_and_bottom(&values, 2), [2, 0, 4, 1]);
        assert_eq!(top_and_bottom(&values, 1), [2, 1]);
        assert_eq!(top_and_bottom(&values, 3), [2, 0, 3, 4, 1]);
        assert_eq!(top_and_bottom(&values, usize::MAX), [2, 0, 3, 4, 1]);
        assert_eq!(ends(&[7, 8], 1), [vec![7, 8], vec![]]);
    }

    #[test]
    fn one_outlier_leaves_the_others_their_colours() {
        let mut values = Array1::from_elem(400, -1.5);
        values[17] = 1e6;
        let widget = widget().view(ChannelView::new("v", values));
        assert_eq!(widget.full().unwrap(), 1.5);
        let page = widget.render().unwrap();
        assert!(page.contains("\"limit\":1000000.0,\"full\":1.5"));
    }

    #[test]
    fn sprites_of_all_kinds() {
        let icons = widget()
            .view(view())
            .icons([(4, picture(3, 3)), (1, picture(3, 3))]);
        let sheet = icons.sheet(5).unwrap().unwrap();
        assert_eq!((sheet.columns, sheet.rows, sheet.size), (1, 2, 3));
        assert_eq!(sheet.slots, [[4, 0], [1, 1]]);
        assert!(sheet.source.starts_with("data:image/png"));

        let mut map = SpriteMap::new("layer", 500, 5).unwrap();
        map.insert(3, &picture(500, 500)).unwrap();
        let sheet = widget()
            .view(view())
            .sprites(&map)
            .sheet(5)
            .unwrap()
            .unwrap();
        assert_eq!((sheet.columns, sheet.rows), (2, 3));
        assert_eq!(sheet.slots, [[3, 3]]);
        assert!(sheet.source.starts_with("data:image/jpeg"));
        assert!(widget().view(view()).sheet(5).unwrap().is_none());
    }

    #[test]
    fn labels_stay_text_and_nothing_is_fetched() {
        let page = ChannelWidget::new(&picture(4, 6), HOSTILE, HOSTILE)
            .title(HOSTILE)
            .view(
                ChannelView::new(HOSTILE, Array1::ones(9))
                    .description(HOSTILE)
                    .maps_of([8, 1], Array3::ones((2, 3, 4))),
            )
            .predictions([(HOSTILE, 0.5)])
            .fact(HOSTILE, HOSTILE)
            .render()
            .unwrap();
        assert!(!page.contains("<img src=x"));
        fetches_nothing(&page);
    }

    #[test]
    fn bad_input_is_a_typed_error() {
        assert!(matches!(widget().render(), Err(RenderError::NoViews)));
        let shape = |page: ChannelWidget| matches!(page.render(), Err(RenderError::Shape { .. }));
        let parameter =
            |page: ChannelWidget| matches!(page.render(), Err(RenderError::Parameter { .. }));
        let other = ChannelView::new("other", Array1::zeros(4));
        assert!(shape(widget().view(view()).view(other)));
        assert!(shape(widget().view(view().maps(Array3::zeros((4, 2, 2))))));
        assert!(shape(
            widget().view(view().maps_of([1], Array3::zeros((2, 2, 2))))
        ));
        let map = SpriteMap::new("layer", 2, 6).unwrap();
        assert!(shape(widget().view(view()).sprites(&map)));
        assert!(shape(widget().view(view()).icons([(0, picture(2, 3))])));
        assert!(parameter(widget().view(view()).icons([(5, picture(2, 2))])));
        assert!(parameter(
            widget().view(view().maps_of([5], Array3::zeros((1, 2, 2))))
        ));
        assert!(parameter(widget().view(view()).top(0)));
        assert!(parameter(
            widget().view(view()).predictions([("cat", f32::NAN)])
        ));
        for empty in [
            ChannelView::new("e", Array1::zeros(0)),
            view().maps(Array3::zeros((5, 0, 2))),
        ] {
            let error = widget().view(empty).render();
            assert!(matches!(error, Err(RenderError::Empty { .. })));
        }
        let nan = ChannelView::new("nan", array![1.0, f32::NAN]);
        let message = widget().view(nan).render().unwrap_err().to_string();
        assert!(message.contains("[1]"), "{message}");
    }
}
