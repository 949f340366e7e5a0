//! Convolution by matrix products, whose columns are gathered from windows on the way. The transpose is made of
//! convolutions, too: where steps are longer than 1, the places of the input fall into *phases*, by what remains of their row
//! and column, and those of a phase are reached by the same elements of windows.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::Planes;
use crate::depthwise;
use crate::gemm::{Matrix, put_product};
use crate::padded::{Padded, behind, inside, pairs, reach};
use crate::pointwise::Pointwise;
use crate::product::{self, Columns, Grid, Product, Tap, Term, Weights};
use crate::threads::with_scratch;
use crate::vectors::vectorised;
use crate::window::{Axis, Geometry, window_setters};
use crate::winograd;
use crate::written::{share_out, written};

/// The parameters of a two-dimensional convolution, with ONNX's defaults. Pairs are height first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Steps between windows: 1 by default.
    pub stride: [usize; 2],
    /// Zeros around the image: top, left, bottom, right, in ONNX's order; none by default.
    pub pads: [usize; 4],
    /// Steps between the elements of a window: 1 by default.
    pub dilation: [usize; 2],
    /// Into how many parts the channels of input and output fall, each part of the output seeing
    /// its part of the input only: 1 by default.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            pads: [0; 4],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

impl Conv2d {
    window_setters!();

    /// Sets into how many parts the channels fall.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Where windows of a weight `[O, I / groups, height, width]` lie in an image `[height, width]`.
    ///
    /// # Panics
    ///
    /// When a stride, dilation or side of the window is zero, or the window does not fit into the padded
    /// image.
    pub fn windows(&self, image: [usize; 2], weight: [usize; 4]) -> Windows {
        let [top, left, bottom, right] = self.pads;
        let axis = |i: usize, before: usize, after: usize| {
            let (size, kernel, stride) = (image[i], weight[i + 2], self.stride[i]);
            let dilation = self.dilation[i];
            assert!(
                kernel > 0 && stride > 0 && dilation > 0,
                "the kernel, stride and dilation of a convolution must be 1 or more"
            );
            let extent = (kernel - 1) * dilation + 1;
            let padded = size + before + after;
            assert!(
                extent <= padded,
                "windows of {extent} do not fit into {padded}, an axis of {size} with its padding"
            );
            Axis {
                kernel,
                stride,
                before,
                after,
                dilation,
                size,
                out: (padded - extent) / stride + 1,
            }
        };
        Windows {
            geometry: Geometry {
                rows: axis(0, top, bottom),
                cols: axis(1, left, right),
            },
            groups: self.groups,
        }
    }

    /// Whether a weight `[O, I / groups, height, width]` fits the channels of an image.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn check(&self, channels: usize, weight: [usize; 4]) {
        let [outputs, per_group, ..] = weight;
        let groups = self.groups;
        assert!(
            groups > 0 && outputs.is_multiple_of(groups) && channels == per_group * groups,
            "a weight [{outputs}, {per_group}, ..] does not fit {channels} channels in {groups} groups"
        );
    }
}

/// Numbers in the scratch of a thread, so that they stay in its second-level cache.
pub(crate) const THREAD: usize = 1 << 18;

/// Below this many numbers filling padded planes is no task of its own.
const FILLED: usize = 1 << 14;

/// Where the windows of a convolution lie, and how many parts the channels fall into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Where they lie.
    pub geometry: Geometry,
    /// Into how many parts the channels fall.
    pub groups: usize,
}

/// How sums over windows are computed.
#[derive(Debug)]
struct Plan {
    /// How many planes a group reads, and of which size.
    planes: usize,
    size: [usize; 2],
    /// How many planes a group makes, and how far their weights are apart.
    made: usize,
    row: usize,
    source: Source,
    phases: Vec<Phase>,
    /// Whether the phases are all of a plane of the result.
    is_whole: bool,
}

/// How what windows see is found.
#[derive(Debug)]
enum Source {
    /// It lies side by side in padded planes.
    Padded(Padded),
    /// It is gathered, window by window: padded planes would be much larger than planes.
    Windows,
}

/// What is reached by the same elements of windows.
#[derive(Debug)]
struct Phase {
    /// Where it lies in a plane of the result.
    grid: Grid,
    /// Rows of columns.
    rows: usize,
    /// From a window to the next, where they are gathered.
    stride: [usize; 2],
    taps: Vec<Tap>,
    /// Where each term lies among a group's weights, and in its padded planes.
    terms: Vec<Term>,
}

impl Phase {
    /// How many columns a product has, with those between rows that nobody wants.
    fn columns(&self) -> usize {
        match self.rows {
            0 => 0,
            rows => (rows - 1) * self.grid.width + self.grid.across,
        }
    }
}

/// From so many rows or columns of padded planes for one that is wanted on, windows are gathered one by one.
const WASTE: usize = 2;

/// The sizes of one group of channels.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    geometry: Geometry,
    groups: usize,
    inputs: usize,
    outputs: usize,
}

impl Sizes {
    fn new(windows: &Windows, weight: Planes) -> Self {
        let [outputs, inputs, ..] = weight.dims();
        Self {
            geometry: windows.geometry,
            groups: windows.groups,
            inputs,
            outputs: outputs / windows.groups,
        }
    }

    /// Elements of a window in one channel.
    fn taps(&self) -> usize {
        self.geometry.rows.kernel * self.geometry.cols.kernel
    }

    /// Whether the columns of the whole plane are the image itself.
    fn is_pointwise(&self) -> bool {
        [self.geometry.rows, self.geometry.cols]
            .iter()
            .all(|axis| axis.kernel == 1 && axis.stride == 1 && axis.size == axis.out)
    }

    /// Whether windows of several groups see one channel each.
    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.inputs == 1
    }

    /// The weights of a group whose windows have one element, `[outputs, inputs]`.
    fn matrix<'a>(&self, weight: Planes<'a>, group: usize) -> Matrix<'a> {
        let len = self.outputs * self.inputs;
        let values = &weight.values()[group * len..(group + 1) * len];
        Matrix::packed(values, self.outputs, self.inputs)
    }

    /// `made` planes of `row` numbers for each group of `n` images: its matrix by the planes themselves.
    fn products<'a>(
        &self,
        x: Planes,
        [n, made]: [usize; 2],
        row: usize,
        epilogue: Epilogue,
        matrix: impl Fn(usize) -> Matrix<'a> + Send + Sync,
    ) -> Vec<f32> {
        written(n * self.groups * made * row, |y| {
            share_out(y, made * row, |i, y, together| {
                let group = i % self.groups;
                let epilogue = epilogue.of(group * made..(group + 1) * made);
                let matrix = matrix(group);
                let len = matrix.columns * row;
                let x = Matrix::packed(&x.values()[i * len..(i + 1) * len], matrix.columns, row);
                put_product(y, matrix, x, epilogue, together);
            });
        })
    }

    /// The output: every place sees all elements of its window.
    fn forward(&self) -> Plan {
        let Geometry { rows, cols } = self.geometry;
        let depth = self.inputs * self.taps();
        let padded = Padded::of_windows(&rows, &cols, [rows.out, cols.out]);
        let elements = elements(rows.kernel, cols.kernel);
        // The elements of a channel lie alike in each.
        let within = elements.iter();
        let within: Vec<usize> = within
            .map(|element| padded.offset(&rows, &cols, *element))
            .collect();
        let channel = padded.starts.len() * padded.plane();
        let terms = (0..self.inputs).flat_map(|i| within.iter().map(move |at| i * channel + at));
        let terms = terms
            .enumerate()
            .map(|(weight, column)| Term { weight, column });
        let mut phase = Phase {
            grid: Grid::line(cols.out),
            rows: rows.out,
            stride: [rows.stride, cols.stride],
            taps: (elements.iter())
                .map(|&[row, col]| {
                    let place = [
                        behind(row * rows.dilation, rows.before),
                        behind(col * cols.dilation, cols.before),
                    ];
                    Tap::new(place, cols.stride, cols.out, cols.size)
                })
                .collect(),
            terms: terms.collect(),
        };
        Plan {
            planes: self.inputs,
            size: [rows.size, cols.size],
            made: self.outputs,
            row: depth,
            source: self.source(padded, std::slice::from_mut(&mut phase)),
            phases: vec![phase],
            is_whole: true,
        }
    }

    /// How windows are found. Where they lie in padded planes, the columns of the phases do, too.
    fn source(&self, padded: Padded, phases: &mut [Phase]) -> Source {
        let [height, width] = padded.size;
        let is_sparse =
            |phase: &Phase| height > WASTE * phase.rows || width > WASTE * phase.grid.across;
        let numbers = height
            .saturating_mul(width)
            .saturating_mul(padded.starts.len());
        if numbers > THREAD || phases.iter().any(is_sparse) {
            return Source::Windows;
        }
        phases.iter_mut().for_each(|phase| phase.grid.width = width);
        Source::Padded(padded)
    }

    /// The gradient at the input, by the phases that anything arrives at.
    fn transpose(&self) -> Plan {
        let Geometry { rows, cols } = self.geometry;
        let places = pairs(&rows, &cols)
            .into_iter()
            .map(|[a, b]| ([a, b], [inside(&rows, a), inside(&cols, b)]));
        let mut places: Vec<_> = places.collect();
        places.retain(|(_, [down, across])| !down.is_empty() && !across.is_empty());
        let ends = |axis: usize| {
            let starts = places.iter().map(|(_, places)| places[axis].start);
            let ends = places.iter().map(|(_, places)| places[axis].end);
            starts.min().unwrap_or(0)..ends.max().unwrap_or(0)
        };
        let (down, across) = (ends(0), ends(1));
        let count = [down.len(), across.len()];
        let padded = Padded::of_gradient(&rows, &cols, [down.start, across.start], count);
        let mut phases: Vec<Phase> = (places.iter())
            .map(|(remainders, places)| self.phase(*remainders, places, [&down, &across], &padded))
            .collect();
        let reached: usize = (phases.iter())
            .map(|phase| phase.rows * phase.grid.across)
            .sum();
        Plan {
            planes: self.outputs,
            size: [rows.out, cols.out],
            made: self.inputs,
            row: self.taps(),
            source: self.source(padded, &mut phases),
            phases,
            is_whole: reached == rows.size * cols.size,
        }
    }

    /// The gradient at places of the same remainders.
    fn phase(
        &self,
        [a, b]: [usize; 2],
        [down, across]: &[Range<usize>; 2],
        [all_down, all_across]: [&Range<usize>; 2],
        padded: &Padded,
    ) -> Phase {
        let Geometry { rows, cols } = self.geometry;
        let mut elements = elements(rows.kernel, cols.kernel);
        elements.retain(|[row, col]| {
            row * rows.dilation % rows.stride == a && col * cols.dilation % cols.stride == b
        });
        // How far back an element reaches.
        let back = |[row, col]: [usize; 2]| {
            [
                row * rows.dilation / rows.stride,
                col * cols.dilation / cols.stride,
            ]
        };
        let offset = |element: [usize; 2]| {
            let [row, col] = back(element);
            let row = down.start - all_down.start + reach(&rows) - row;
            let col = across.start - all_across.start + reach(&cols) - col;
            row * padded.size[1] + col
        };
        // The elements of a channel lie alike in each, and so do their weights.
        let within: Vec<[usize; 2]> = (elements.iter())
            .map(|&[row, col]| [row * cols.kernel + col, offset([row, col])])
            .collect();
        let (channel, plane) = (self.inputs * self.taps(), padded.plane());
        let terms = (0..self.outputs).flat_map(|i| {
            let within = within.iter();
            within.map(move |[weight, column]| Term {
                weight: i * channel + weight,
                column: i * plane + column,
            })
        });
        let terms = terms.collect();
        let taps = elements.iter().map(|&element| {
            let [row, col] = back(element);
            let place = [behind(down.start, row), behind(across.start, col)];
            Tap::new(place, 1, across.len(), cols.out)
        });
        let first = |axis: &Axis, remainder: usize, places: &Range<usize>| {
            places.start * axis.stride + remainder - axis.before
        };
        Phase {
            grid: Grid {
                width: across.len(),
                across: across.len(),
                first: first(&rows, a, down) * cols.size + first(&cols, b, across),
                down: rows.stride * cols.size,
                step: cols.stride,
            },
            rows: down.len(),
            stride: [1, 1],
            taps: taps.collect(),
            terms,
        }
    }
}

/// The elements of a window, row by row.
fn elements(rows: usize, cols: usize) -> Vec<[usize; 2]> {
    (0..rows)
        .flat_map(|row| (0..cols).map(move |col| [row, col]))
        .collect()
}

impl Plan {
    /// Planes of `row` numbers for each of `n` images, `groups` groups in each, from those of `x`.
    fn run(
        &self,
        (x, weight): (Planes, Planes),
        [n, groups, row]: [usize; 3],
        epilogue: Epilogue,
    ) -> Vec<f32> {
        written(n * groups * self.made * row, |y| {
            if !self.is_whole {
                y.fill(MaybeUninit::new(0.0));
            }
            // Nothing arrives where steps are longer than the plane.
            if !self.phases.is_empty() {
                self.fill((x, weight), y, [groups, row], epilogue);
            }
        })
    }

    /// Every product, into planes that hold nothing yet, of `row` numbers.
    fn fill(
        &self,
        (x, weight): (Planes, Planes),
        y: &mut [MaybeUninit<f32>],
        [groups, row]: [usize; 2],
        epilogue: Epilogue,
    ) {
        let planes = self.made;
        let share = weight.values().len() / groups;
        let len = self.planes * self.size[0] * self.size[1];
        let work = |i: usize, y: &mut [MaybeUninit<f32>], together: bool| {
            let x = &x.values()[i * len..(i + 1) * len];
            let group = i % groups;
            let epilogue = epilogue.of(group * planes..(group + 1) * planes);
            let weights = Weights {
                values: &weight.values()[group * share..(group + 1) * share],
                rows: planes,
                row: self.row,
            };
            self.group((x, weights), epilogue, y, row, together);
        };
        share_out(y, planes * row, work);
    }

    /// One group of one image.
    fn group(
        &self,
        (x, weights): (&[f32], Weights),
        epilogue: Epilogue,
        y: &mut [MaybeUninit<f32>],
        row: usize,
        together: bool,
    ) {
        let mut put = |phase: &Phase, columns: Columns| {
            let product = Product {
                weights,
                columns,
                terms: &phase.terms,
                epilogue,
            };
            product.put(y, row, phase.columns(), phase.grid, together);
        };
        match &self.source {
            Source::Windows => {
                for phase in &self.phases {
                    let windows = product::Windows {
                        values: x,
                        size: self.size,
                        across: phase.grid.across,
                        stride: phase.stride,
                        taps: &phase.taps,
                    };
                    put(phase, Columns::Windows(windows));
                }
            }
            Source::Padded(padded) => with_scratch(padded.len(self.planes), |values| {
                let plane = self.size[0] * self.size[1];
                let each = padded.starts.len() * padded.plane();
                let fill = |(x, to): (&[f32], &mut [f32])| {
                    vectorised(
                        #[inline(always)]
                        || padded.fill(x, self.size, 0..padded.size[0], to),
                    );
                };
                if together {
                    x.par_chunks_exact(plane)
                        .zip(values.par_chunks_exact_mut(each))
                        .with_min_len(FILLED.div_ceil(each))
                        .for_each(fill);
                } else {
                    x.chunks_exact(plane)
                        .zip(values.chunks_exact_mut(each))
                        .for_each(fill);
                }
                for phase in &self.phases {
                    put(phase, Columns::Placed(values));
                }
            }),
        }
    }
}

/// What is done with each sum of a convolution, where it is still at hand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// What is added to each channel, `[O]`.
    pub bias: Option<&'a [f32]>,
    /// What each number becomes then.
    pub then: Option<Pointwise>,
}

impl Epilogue<'_> {
    /// That of some of the channels.
    fn of(self, channels: Range<usize>) -> Self {
        Self {
            bias: self.bias.map(|bias| &bias[channels]),
            ..self
        }
    }
}

/// `y = then(weight * x + bias)`: planes `[N, I, H, W]` by a weight `[O, I / groups, height, width]` to `[N, O, H', W']`.
///
/// # Panics
///
/// When sizes are not those that [`Conv2d::check`] and [`Conv2d::windows`] accepted.
pub fn forward(x: Planes, weight: Planes, windows: &Windows, epilogue: Epilogue) -> Vec<f32> {
    let sizes = Sizes::new(windows, weight);
    if sizes.is_depthwise()
        && let Some(y) = depthwise::forward(x, weight, windows, epilogue)
    {
        return y;
    }
    if let Some(y) = winograd::forward(x, weight, windows, epilogue) {
        return y;
    }
    let ([n, ..], plane) = (x.dims(), windows.geometry.output_len());
    if sizes.is_pointwise() {
        return sizes.products(x, [n, sizes.outputs], plane, epilogue, |group| {
            sizes.matrix(weight, group)
        });
    }
    let plan = sizes.forward();
    plan.run((x, weight), [n, sizes.groups, plane], epilogue)
}

/// The gradient at the input `[N, I, H, W]`, given the one at the output, `[N, O, H', W']`.
///
/// # Panics
///
/// As [`forward`].
pub fn transpose(g: Planes, weight: Planes, windows: &Windows) -> Vec<f32> {
    let sizes = Sizes::new(windows, weight);
    if sizes.is_depthwise()
        && let Some(x) = depthwise::transpose(g, weight, windows)
    {
        return x;
    }
    if let Some(x) = winograd::transpose(g, weight, windows) {
        return x;
    }
    let ([n, ..], plane) = (g.dims(), windows.geometry.input_len());
    if sizes.is_pointwise() {
        return sizes.products(g, [n, sizes.inputs], plane, Epilogue::default(), |group| {
            sizes.matrix(weight, group).transposed()
        });
    }
    let plan = sizes.transpose();
    plan.run((g, weight), [n, sizes.groups, plane], Epilogue::default())
}
