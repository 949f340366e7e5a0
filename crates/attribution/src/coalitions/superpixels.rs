//! How an image is cut into groups of pixels.
//!
//! SLIC is Achanta et al., *SLIC superpixels compared to state-of-the-art superpixel methods*
//! (2012): k-means of colour and position, where a segment's centre competes for the pixels near it
//! only. With `S` the distance between centres on a regular grid, `d_c` the distance of colours in
//! CIELAB and `d_s` that of positions, a pixel goes to the centre with the least
//! `d_c^2 + (compactness / S)^2 d_s^2`, ten times over. Parts of a segment that do not hang together
//! become segments of their own, or join the neighbour of the nearest colour if they are smaller
//! than a quarter of `S^2`: the number of segments is near the number asked for, and not always that.
//!
//! Colours are those of the picture that a model's [`InputSpec`](elucid_vision::InputSpec) recovers
//! from its input. Where that is no picture, because a closure has no such specification or numbers
//! fall outside of 0 to 255, the smallest number of the image becomes black and the largest white, and
//! channels are red, green and blue in the model's order, this order for a closure.
//! Images of other than three channels are compared by their numbers, stretched to 0..100.

use std::fmt;
use std::str::FromStr;

use elucid_graph::{ImageBatch, Layout};
use elucid_vision::Model;
use ndarray::{Array2, ArrayView3, Axis, Ix4};

use crate::attributor::Setup;
use crate::coalitions::slic::{Slic, colours};
use crate::error::AttributionError;
use crate::network::Network;
use crate::options::Setting;
use crate::target::Target;
use crate::work::Context;

/// Which pixels are hidden together.
///
/// As text, as the option `--segments` has it: `grid:8`, `grid:4x6`, `patches`, `slic:50`, or `slic:50:10`
/// with the compactness.
#[derive(Debug, Clone, PartialEq)]
pub struct Superpixels {
    kind: Kind,
    /// Whether there may be fewer of them, where an image has not that many pixels.
    fits: bool,
    /// Whether they are the patches instead, of a network that has any.
    gives_way: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Rows and columns.
    Grid([usize; 2]),
    Patches,
    Slic(Slic),
    Labels(Array2<usize>),
}

impl Superpixels {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            fits: false,
            gives_way: false,
        }
    }

    /// The same, but no more than an image has pixels, or of a grid along its sides.
    #[must_use]
    pub fn where_they_fit(mut self) -> Self {
        self.fits = true;
        self
    }

    /// The same, but the patches of a network that cuts images into patches before anything else.
    pub(crate) fn or_patches(mut self) -> Self {
        self.gives_way = true;
        self
    }

    /// The cells of a grid of `cells x cells`: row `y` of an image of height `H` is in row
    /// `floor(y * cells / H)` of the grid, so that cells differ by one pixel at most.
    pub fn grid(cells: usize) -> Self {
        Self::cells(cells, cells)
    }

    /// The same of a grid of so many rows and columns.
    pub fn cells(rows: usize, columns: usize) -> Self {
        Self::of(Kind::Grid([rows, columns]))
    }

    /// The patches of a transformer: the positions of its first tokens, before which there is no
    /// activation. Any other network is refused.
    pub fn patches() -> Self {
        Self::of(Kind::Patches)
    }

    /// About so many segments of SLIC, of compactness 10.
    pub fn slic(segments: usize) -> Self {
        Self::slic_with_compactness(segments, 10.0)
    }

    /// About so many segments of SLIC. `compactness` is a distance of colours in CIELAB that weighs
    /// as much as the distance between two neighbouring centres: the larger, the squarer.
    pub fn slic_with_compactness(segments: usize, compactness: f64) -> Self {
        Self::of(Kind::Slic(Slic {
            segments,
            compactness,
        }))
    }

    /// A given map `[H, W]` for all images: pixels of one label are hidden together. Labels need not
    /// follow each other; segments are in ascending order of their labels.
    pub fn labels(labels: Array2<usize>) -> Self {
        Self::of(Kind::Labels(labels))
    }

    /// The segments of each image.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Parameter`] for no segments, more of them than an image has rows, columns
    /// or pixels, a compactness that is no positive number, and labels of another size than the
    /// images; [`AttributionError::Images`] as for every method.
    pub fn segments(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
    ) -> Result<Vec<Segments>, AttributionError> {
        self.check()?;
        let setup = Setup::at(elucid_graph::INPUT);
        let work = Context::new(network, images, &Target::log_sum_exp(), &setup)?;
        self.resolved(&work)?.segments_of(&work)
    }

    /// Refuses what can be no segments of any image.
    ///
    /// # Errors
    ///
    /// [`AttributionError::Parameter`] for no segments and a compactness that is no positive number.
    pub fn check(&self) -> Result<(), AttributionError> {
        let refuse = |expected| Err(self.refused(expected));
        match &self.kind {
            Kind::Grid([0, _] | [_, 0]) | Kind::Slic(Slic { segments: 0, .. }) => {
                refuse("1 segment or more")
            }
            Kind::Slic(slic) if !(slic.compactness.is_finite() && slic.compactness > 0.0) => {
                refuse("a compactness above 0")
            }
            _ => Ok(()),
        }
    }

    /// What is cut out of images of that size.
    fn fitted(&self, [height, width]: [usize; 2]) -> Kind {
        match (&self.kind, self.fits) {
            (Kind::Grid(cells), true) => Kind::Grid(cells.map(|n| n.min(height).min(width))),
            (Kind::Slic(slic), true) => Kind::Slic(Slic {
                segments: slic.segments.min(height * width),
                ..*slic
            }),
            (kind, _) => kind.clone(),
        }
    }

    /// What is cut out of the images of this network.
    pub(crate) fn resolved(&self, work: &Context<'_>) -> Result<Self, AttributionError> {
        let asks = self.gives_way || self.kind == Kind::Patches;
        let model = work.network.as_model().filter(|_| asks);
        let patches = model.map(|model| patches(model, work.size())).transpose()?;
        match (patches.flatten(), &self.kind) {
            (Some([rows, columns]), _) => Ok(Self::cells(rows, columns)),
            (None, Kind::Patches) => {
                Err(self
                    .refused("others: this network does not cut images into patches of one size"))
            }
            (None, _) => Ok(self.clone()),
        }
    }

    pub(crate) fn segments_of(
        &self,
        work: &Context<'_>,
    ) -> Result<Vec<Segments>, AttributionError> {
        let [height, width] = work.size();
        let same = |segments: Segments| vec![segments; work.count()];
        match &self.fitted([height, width]) {
            Kind::Grid([rows, columns]) if *rows > height || *columns > width => {
                Err(self.refused("no more cells than the images have rows and columns"))
            }
            Kind::Grid([rows, columns]) => {
                let labels = Array2::from_shape_fn((height, width), |(y, x)| {
                    (y * rows / height) * columns + x * columns / width
                });
                Ok(same(Segments::new(labels)))
            }
            Kind::Patches => Err(self.refused("the patches of a network")),
            Kind::Labels(labels) if labels.dim() != (height, width) => {
                Err(self.refused("labels of the images' height and width"))
            }
            Kind::Labels(labels) => Ok(same(Segments::new(labels.clone()))),
            Kind::Slic(slic) if slic.segments > height * width => {
                Err(self.refused("no more segments than pixels"))
            }
            Kind::Slic(slic) => {
                let spec = work.network.input_spec();
                let cut = |image: usize| {
                    let image = elucid_graph::Activation::from(work.rows(&[image])).to_array()?;
                    let shape = image.shape().to_vec();
                    let image = image.into_dimensionality::<Ix4>().map_err(|_| {
                        AttributionError::NotSpatial {
                            layer: work.layer.clone(),
                            shape,
                        }
                    })?;
                    let image: ArrayView3<'_, f32> = image.index_axis(Axis(0), 0);
                    let labels = slic.labels(&colours(image, spec), [height, width]);
                    Ok(Segments::new(labels))
                };
                (0..work.count()).map(cut).collect()
            }
        }
    }

    fn refused(&self, expected: &'static str) -> AttributionError {
        AttributionError::Parameter {
            parameter: "segments",
            value: self.to_string(),
            expected,
        }
    }
}

impl fmt::Display for Superpixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Grid([rows, columns]) if rows == columns => write!(f, "grid:{rows}"),
            Kind::Grid([rows, columns]) => write!(f, "grid:{rows}x{columns}"),
            Kind::Patches => f.write_str("patches"),
            Kind::Slic(slic) => write!(f, "slic:{}:{}", slic.segments, slic.compactness),
            Kind::Labels(labels) => write!(f, "labels of shape {:?}", labels.shape()),
        }
    }
}

impl Setting for Superpixels {
    type Value = Self;

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn text(&self, size: [usize; 2]) -> Option<String> {
        Some(Self::of(self.fitted(size)).to_string())
    }

    fn value(&self) -> Option<&Self> {
        Some(self)
    }
}

/// Help of the option `segments`.
pub(crate) const SEGMENTS_HELP: &str =
    "what is hidden together; of a network that cuts images into patches its patches, unless given";

/// What segments may be written as.
pub(crate) const SEGMENTS: &str = "grid:N (N x N cells), grid:ROWSxCOLUMNS, patches (of a transformer), slic:N or \
                                   slic:N:COMPACTNESS";

impl FromStr for Superpixels {
    type Err = AttributionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || AttributionError::unread("segments", text, SEGMENTS);
        let fields: Vec<&str> = text.trim().split(':').collect();
        let count = |text: &str| text.trim().parse().map_err(|_| refuse());
        match fields[..] {
            ["patches"] => Ok(Self::patches()),
            ["grid", cells] => match cells.split_once('x') {
                Some((rows, columns)) => Ok(Self::cells(count(rows)?, count(columns)?)),
                None => Ok(Self::grid(count(cells)?)),
            },
            ["slic", segments] => Ok(Self::slic(count(segments)?)),
            ["slic", segments, compactness] => {
                let compactness = compactness.trim().parse().map_err(|_| refuse())?;
                Ok(Self::slic_with_compactness(count(segments)?, compactness))
            }
            _ => Err(refuse()),
        }
    }
}

/// Rows and columns of the patches that a network cuts images into before anything else; `None` where
/// something else comes first, or patches are not all of one size.
fn patches(
    model: &Model,
    [height, width]: [usize; 2],
) -> Result<Option<[usize; 2]>, AttributionError> {
    let layouts = model.layouts([height, width])?;
    let first = model.layers().iter().find_map(|layer| {
        match layouts.layout(layer.value()) {
            Layout::Tokens { grid, .. } => Some(Some(grid)),
            // Whatever follows sees more than patches.
            _ if layer.algebra().is_activation() => Some(None),
            _ => None,
        }
    });
    let fits = |[rows, columns]: &[usize; 2]| height % rows == 0 && width % columns == 0;
    Ok(first.flatten().filter(fits))
}

/// The segments of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    labels: Array2<usize>,
    count: usize,
}

impl Segments {
    /// Labels in ascending order become 0, 1, 2 and so on.
    pub(crate) fn new(mut labels: Array2<usize>) -> Self {
        let mut known: Vec<usize> = labels.iter().copied().collect();
        known.sort_unstable();
        known.dedup();
        // Every label is among those known.
        labels.mapv_inplace(|label| known.partition_point(|&other| other < label));
        Self {
            labels,
            count: known.len(),
        }
    }

    /// The segment of each pixel, `[H, W]`, from 0.
    pub fn labels(&self) -> &Array2<usize> {
        &self.labels
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }
}
