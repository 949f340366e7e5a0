//! Felzenszwalb and Huttenlocher's segments: see [`xrai`](crate::xrai).

use ndarray::{Array2, Array3};

use crate::saliency::gaussian_blur;

/// *Efficient graph-based image segmentation* (2004): pixels are joined along edges between neighbours,
/// those of the least difference first, as long as the difference is no larger than what either side
/// has inside, plus `scale` over its size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Felzenszwalb {
    /// A difference of colours times a number of pixels: the larger, the larger segments become.
    pub scale: f64,
    /// Standard deviation of the Gaussian that goes over the picture first, in pixels.
    pub sigma: f32,
    /// Segments of fewer pixels are joined to a neighbour.
    pub least: usize,
}

impl Felzenszwalb {
    /// The segment of each pixel, `[H, W]`, of a picture `[C, H, W]`, numbered as they are met row by row.
    pub fn labels(&self, picture: &Array3<f32>) -> Array2<usize> {
        let (_, height, width) = picture.dim();
        let mut smooth = picture.clone();
        for mut channel in smooth.outer_iter_mut() {
            let blurred = gaussian_blur(channel.view(), self.sigma, 4.0);
            channel.assign(&blurred);
        }
        let edges = edges(&smooth);
        let mut parts = Parts::of(height * width);
        for &Edge { difference, ends } in &edges {
            let [a, b] = ends.map(|pixel| parts.find(pixel as usize));
            let allowed = |part: usize, parts: &Parts| {
                parts.inside[part] + self.scale / parts.size[part] as f64
            };
            let least = allowed(a, &parts).min(allowed(b, &parts));
            if a != b && f64::from(difference) <= least {
                parts.join(a, b, f64::from(difference));
            }
        }
        for &Edge { difference, ends } in &edges {
            let [a, b] = ends.map(|pixel| parts.find(pixel as usize));
            if a != b && parts.size[a].min(parts.size[b]) < self.least {
                parts.join(a, b, f64::from(difference));
            }
        }
        parts.numbered([height, width])
    }
}

/// Two neighbours.
struct Edge {
    difference: f32,
    ends: [u32; 2],
}

/// All neighbours by side or corner, those of the least difference first.
fn edges(picture: &Array3<f32>) -> Vec<Edge> {
    let (channels, height, width) = picture.dim();
    let difference = |a: [usize; 2], b: [usize; 2]| -> f32 {
        let squares = (0..channels).map(|c| {
            let difference = picture[[c, a[0], a[1]]] - picture[[c, b[0], b[1]]];
            f64::from(difference).powi(2)
        });
        squares.sum::<f64>().sqrt() as f32
    };
    let mut edges = Vec::with_capacity(4 * height * width);
    for (y, x) in ndarray::indices((height, width)) {
        // To the right, and to the three below.
        let others = [
            (y, x + 1),
            (y + 1, x.wrapping_sub(1)),
            (y + 1, x),
            (y + 1, x + 1),
        ];
        for (v, u) in others {
            if v < height && u < width {
                edges.push(Edge {
                    difference: difference([y, x], [v, u]),
                    ends: [y * width + x, v * width + u].map(|pixel| pixel as u32),
                });
            }
        }
    }
    edges.sort_by(|a, b| a.difference.total_cmp(&b.difference));
    edges
}

/// Sets of pixels that are joined.
struct Parts {
    parent: Vec<usize>,
    size: Vec<usize>,
    /// The largest difference along which a set was joined.
    inside: Vec<f64>,
}

impl Parts {
    fn of(pixels: usize) -> Self {
        Self {
            parent: (0..pixels).collect(),
            size: vec![1; pixels],
            inside: vec![0.0; pixels],
        }
    }

    fn find(&mut self, mut pixel: usize) -> usize {
        while self.parent[pixel] != pixel {
            self.parent[pixel] = self.parent[self.parent[pixel]];
            pixel = self.parent[pixel];
        }
        pixel
    }

    fn join(&mut self, a: usize, b: usize, difference: f64) {
        let (into, from) = match self.size[a] >= self.size[b] {
            true => (a, b),
            false => (b, a),
        };
        self.parent[from] = into;
        self.size[into] += self.size[from];
        self.inside[into] = difference;
    }

    fn numbered(mut self, [height, width]: [usize; 2]) -> Array2<usize> {
        let mut numbers = vec![None; height * width];
        let mut count = 0;
        Array2::from_shape_fn((height, width), |(y, x)| {
            let part = self.find(y * width + x);
            *numbers[part].get_or_insert_with(|| {
                count += 1;
                count - 1
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without smoothing, by hand: two flat halves, and a pixel of its own that is too small to stay.
    #[test]
    fn flat_regions_are_segments() {
        let picture = Array3::from_shape_fn((1, 6, 8), |(_, y, x)| match (y, x) {
            (2, 1) => 0.9,
            (_, x) if x < 4 => 0.0,
            _ => 1.0,
        });
        let of = |scale, least| {
            let method = Felzenszwalb {
                scale,
                sigma: 0.0,
                least,
            };
            method.labels(&picture)
        };
        let halves = of(0.5, 2);
        for ((_, x), &label) in halves.indexed_iter() {
            assert_eq!(label, usize::from(x >= 4));
        }
        let three = of(0.5, 1);
        assert_eq!(three[[2, 1]], 2);
        assert_eq!(three.iter().max(), Some(&2));
        // A scale that forgives any difference leaves one segment.
        assert!(of(1e3, 1).iter().all(|&label| label == 0));
    }

    /// Edges one by one, without any structure of sets: whoever has the label of one side gets that of the
    /// other.
    #[test]
    fn as_a_loop_over_labels() {
        let (h, w) = (9, 11);
        let picture = Array3::from_shape_fn((3, h, w), |(c, y, x)| {
            (((y * 7 + x * 3 + c * 5) % 11) as f32 / 11.0 + (x / 4) as f32).sin()
        });
        for (scale, least) in [(0.3, 1), (1.5, 4), (4.0, 9)] {
            let method = Felzenszwalb {
                scale,
                sigma: 0.8,
                least,
            };
            let got = method.labels(&picture);
            let mut smooth = picture.clone();
            for mut channel in smooth.outer_iter_mut() {
                let blurred = gaussian_blur(channel.view(), 0.8, 4.0);
                channel.assign(&blurred);
            }
            let mut label: Vec<usize> = (0..h * w).collect();
            let mut inside = vec![0.0; h * w];
            let edges = edges(&smooth);
            for round in 0..2 {
                for Edge { difference, ends } in &edges {
                    let [a, b] = ends.map(|pixel| label[pixel as usize]);
                    let size = |part: usize| label.iter().filter(|&&l| l == part).count();
                    let allowed = |part: usize| inside[part] + scale / size(part) as f64;
                    let joins = match round {
                        0 => f64::from(*difference) <= allowed(a).min(allowed(b)),
                        _ => size(a).min(size(b)) < least,
                    };
                    if a != b && joins {
                        label.iter_mut().filter(|l| **l == b).for_each(|l| *l = a);
                        inside[a] = f64::from(*difference);
                    }
                }
            }
            let count = got.iter().max().map_or(0, |most| most + 1);
            assert!(count > 1, "{scale}");
            for (i, j) in ndarray::indices((h * w, h * w)) {
                let same = got[[i / w, i % w]] == got[[j / w, j % w]];
                assert_eq!(same, label[i] == label[j], "{scale}");
            }
        }
    }
}
