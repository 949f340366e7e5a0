//! Methods that describe rows by a few numbers each.
//!
//! A [`Reducer`] is a method with its settings, a [`Reduction`] what it found in a matrix
//! `[rows, columns]`: directions `[components, columns]`, and a rule that gives each row its
//! coordinates `[rows, components]`. All methods reconstruct the same way: coordinates times
//! directions, plus an offset that is the mean row for [`Pca`] and [`Ica`] and nothing for the others.
//!
//! | method | coordinates | directions | made by |
//! | --- | --- | --- | --- |
//! | [`Nmf`] | non-negative, `W` | non-negative, `H` | this crate |
//! | [`Pca`] | signed, uncorrelated | orthonormal, largest variance first | `linfa-reduction` |
//! | [`Ica`] | signed, variance 1, as independent as possible | largest first | `linfa-ica` |
//! | [`KMeans`] | 1 for the cluster of the row, else 0 | centres, largest cluster first | `linfa-clustering` |
//!
//! The last three compute in `f64` whatever the rows are, on rows that are divided by their largest
//! absolute value first, because linfa's stopping rules are absolute.

use std::fmt::{self, Debug};
use std::str::FromStr;

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use linfa_clustering::KMeans as LinfaKMeans;
use linfa_ica::fast_ica::{FastIca, GFunc};
use linfa_reduction::Pca as LinfaPca;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;

use crate::error::FactorError;
use crate::nmf::{Nmf, check_components, check_shape, relative};
use crate::scalar::{Scalar, cast, widen};
use crate::settings::settings;

/// A method with its settings.
pub trait Reducer<T: Scalar>: Debug + Send + Sync {
    /// The method's name, as [`Method`] spells it where it is one of those.
    fn name(&self) -> &'static str;

    /// Finds directions in `x`, `[rows, columns]`, and gives the coordinates of its rows,
    /// `[rows, components]`.
    ///
    /// # Errors
    ///
    /// When `x` or a setting does not suit the method.
    fn fit_transform(&self, x: ArrayView2<'_, T>) -> Result<Reduced<T>, FactorError>;

    /// Finds directions in `x`, `[rows, columns]`.
    ///
    /// # Errors
    ///
    /// As [`Reducer::fit_transform`].
    fn fit(&self, x: ArrayView2<'_, T>) -> Result<Box<dyn Reduction<T>>, FactorError> {
        Ok(self.fit_transform(x)?.1)
    }
}

/// Coordinates `[rows, components]`, and what gave them.
pub type Reduced<T> = (Array2<T>, Box<dyn Reduction<T>>);

/// What a method found.
pub trait Reduction<T: Scalar>: Debug + Send + Sync {
    /// `[components, columns]`
    fn directions(&self) -> ArrayView2<'_, T>;

    /// What is added to every reconstructed row, if anything: `[columns]`.
    fn offset(&self) -> Option<ArrayView1<'_, T>>;

    /// The coordinates of other rows, `[rows, columns]` to `[rows, components]`.
    ///
    /// # Errors
    ///
    /// When the columns differ in number, or a value does not suit the method.
    fn transform(&self, x: ArrayView2<'_, T>) -> Result<Array2<T>, FactorError>;

    /// How the fit went.
    fn summary(&self) -> Summary;

    /// Rows from coordinates, `[rows, components]` to `[rows, columns]`.
    ///
    /// # Errors
    ///
    /// When there is not one coordinate per direction.
    fn inverse(&self, coordinates: ArrayView2<'_, T>) -> Result<Array2<T>, FactorError> {
        let directions = self.directions();
        let expected = [coordinates.nrows(), directions.nrows()];
        check_shape("the coordinates", coordinates.shape(), &expected)?;
        let rows = coordinates.dot(&directions);
        Ok(match self.offset() {
            Some(offset) => rows + offset,
            None => rows,
        })
    }
}

/// How a fit went.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The Frobenius norm of what the reconstruction of the fitted rows leaves out.
    pub error: f64,
    /// That over the norm of the rows; 0 for rows that are all zero.
    pub relative_error: f64,
    /// Iterations, where the method tells.
    pub iterations: Option<usize>,
    /// Whether the method's stopping rule ended it, where the method tells.
    pub converged: Option<bool>,
}

impl Summary {
    /// Of a method that gave `reconstructed` for `rows`, both `[rows, columns]`, and tells nothing of its
    /// iterations.
    pub fn of<T: Scalar>(rows: ArrayView2<'_, T>, reconstructed: ArrayView2<'_, T>) -> Self {
        let norm = |squares: f64| squares.sqrt();
        let all = norm(rows.iter().map(|&v| widen(v).powi(2)).sum());
        let pairs = rows.iter().zip(&reconstructed);
        let error = norm(pairs.map(|(&a, &b)| (widen(a) - widen(b)).powi(2)).sum());
        Self {
            error,
            relative_error: relative(error, all),
            iterations: None,
            converged: None,
        }
    }

    /// The same of a method that took so many iterations, and whose stopping rule ended it or not.
    #[must_use]
    pub fn after(self, iterations: usize, converged: bool) -> Self {
        Self {
            iterations: Some(iterations),
            converged: Some(converged),
            ..self
        }
    }
}

/// The methods by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// [`Nmf`].
    #[default]
    Nmf,
    /// [`Pca`].
    Pca,
    /// [`Ica`].
    Ica,
    /// [`KMeans`].
    KMeans,
}

impl Method {
    /// All methods.
    pub const ALL: [Method; 4] = [Method::Nmf, Method::Pca, Method::Ica, Method::KMeans];

    /// The name that [`FromStr`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Method::Nmf => "nmf",
            Method::Pca => "pca",
            Method::Ica => "ica",
            Method::KMeans => "kmeans",
        }
    }

    /// The method with its defaults.
    pub fn reducer<T: Scalar>(self, components: usize, seed: u64) -> Box<dyn Reducer<T>> {
        match self {
            Method::Nmf => Box::new(Nmf::new(components).seed(seed)),
            Method::Pca => Box::new(Pca::new(components)),
            Method::Ica => Box::new(Ica::new(components).seed(seed)),
            Method::KMeans => Box::new(KMeans::new(components).seed(seed)),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = FactorError;

    fn from_str(name: &str) -> Result<Self, FactorError> {
        let wanted = name.trim().to_ascii_lowercase().replace('-', "");
        Method::ALL
            .into_iter()
            .find(|method| method.name() == wanted)
            .ok_or_else(|| FactorError::Unknown {
                what: "method",
                name: name.to_owned(),
                known: Method::ALL.map(Method::name).join(", "),
            })
    }
}

#[derive(Debug)]
struct NmfReduction<T> {
    nmf: Nmf,
    h: Array2<T>,
    summary: Summary,
}

impl<T: Scalar> Reducer<T> for Nmf {
    fn name(&self) -> &'static str {
        Method::Nmf.name()
    }

    fn fit_transform(&self, x: ArrayView2<'_, T>) -> Result<Reduced<T>, FactorError> {
        let fit = Nmf::fit(self, x)?;
        let summary = Summary {
            error: fit.error,
            relative_error: fit.relative_error,
            iterations: Some(fit.iterations),
            converged: Some(fit.converged),
        };
        let reduction = NmfReduction {
            nmf: self.clone(),
            h: fit.h,
            summary,
        };
        Ok((fit.w, Box::new(reduction)))
    }
}

impl<T: Scalar> Reduction<T> for NmfReduction<T> {
    fn directions(&self) -> ArrayView2<'_, T> {
        self.h.view()
    }

    fn offset(&self) -> Option<ArrayView1<'_, T>> {
        None
    }

    fn transform(&self, x: ArrayView2<'_, T>) -> Result<Array2<T>, FactorError> {
        self.nmf.transform(x, self.h.view())
    }

    fn summary(&self) -> Summary {
        self.summary
    }
}

/// Principal component analysis: the orthonormal directions in which the rows vary most.
///
/// The sign of a direction is such that its largest entry is positive. Coordinates are not whitened.
/// At most `min(rows, columns)` components, and no more than the centred rows have rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Pca {
    components: usize,
}

impl Pca {
    /// With this number of components.
    pub fn new(components: usize) -> Self {
        Self { components }
    }
}

/// Centred and scaled principal components, in `f64`.
struct Principal {
    /// `[columns]`
    mean: Array1<f64>,
    /// `[components, columns]`, orthonormal
    directions: Array2<f64>,
    /// The scaled rows, `[rows, columns]`.
    rows: Array2<f64>,
    /// What the rows were divided by.
    scale: f64,
}

impl Principal {
    fn fit<T: Scalar>(components: usize, x: ArrayView2<'_, T>) -> Result<Self, FactorError> {
        let scale = largest("the matrix", x)?;
        check_components(components, x.nrows(), x.ncols())?;
        let rows = scaled(x, scale);
        let mean = rows.mean_axis(Axis(0)).unwrap_or_default();
        let centred = &rows - &mean;
        let spread = centred.iter().map(|v| v * v).sum::<f64>().sqrt();
        // Rounding of the mean alone leaves this much.
        let nothing = 1e-14 * (rows.len() as f64).sqrt();
        if spread <= nothing {
            return Err(FactorError::Rank {
                components,
                rank: 0,
            });
        }
        let data = DatasetBase::from(&centred / spread);
        let method = |source| FactorError::Method {
            method: "principal component analysis",
            source,
        };
        let pca = LinfaPca::params(components)
            .fit(&data)
            .map_err(|error| method(Box::new(error)))?;
        let mut directions = pca.components().clone();
        let rank = pca
            .singular_values()
            .iter()
            .filter(|&&value| value > 1e-7)
            .count();
        if rank < components || directions.iter().any(|v| !v.is_finite()) {
            return Err(FactorError::Rank { components, rank });
        }
        for mut direction in directions.rows_mut() {
            let norm = direction.dot(&direction).sqrt();
            let sign = sign_of(direction.view());
            direction.mapv_inplace(|v| sign * v / norm);
        }
        Ok(Self {
            mean,
            directions,
            rows,
            scale,
        })
    }
}

impl<T: Scalar> Reducer<T> for Pca {
    fn name(&self) -> &'static str {
        Method::Pca.name()
    }

    fn fit_transform(&self, x: ArrayView2<'_, T>) -> Result<Reduced<T>, FactorError> {
        let principal = Principal::fit(self.components, x)?;
        let encoder = principal.directions.t().to_owned();
        Affine::reduced("principal component analysis", principal, encoder, None)
    }
}

/// How a reducer that begins with random numbers is made.
macro_rules! seeded {
    ($reducer:ident: $parts:literal, $seed:literal) => {
        impl $reducer {
            #[doc = concat!("With this number of ", $parts, ".")]
            pub fn new(components: usize) -> Self {
                Self {
                    components,
                    seed: 0,
                }
            }

            settings! {
                #[doc = concat!("Seed of the ", $seed, ".")]
                seed(seed: u64) => seed;
            }
        }
    };
}

/// Independent component analysis: directions along which the coordinates are as independent as
/// possible.
///
/// FastICA (Hyvärinen and Oja, *Independent component analysis: algorithms and applications*, Neural
/// Networks 13, 2000), symmetric, with the log-cosh contrast, at most 200 iterations, tolerance `1e-4`,
/// on the leading principal components. Coordinates have variance 1 over the fitted rows. Order and
/// sign, which the method leaves open, are: longest direction first, its largest entry positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Ica {
    components: usize,
    seed: u64,
}

seeded!(Ica: "components", "first guess");

impl<T: Scalar> Reducer<T> for Ica {
    fn name(&self) -> &'static str {
        Method::Ica.name()
    }

    fn fit_transform(&self, x: ArrayView2<'_, T>) -> Result<Reduced<T>, FactorError> {
        let name = "independent component analysis";
        let principal = Principal::fit(self.components, x)?;
        let k = self.components;
        let count = principal.rows.nrows() as f64;
        let centred = &principal.rows - &principal.mean;
        let scores = centred.dot(&principal.directions.t());
        // Whitened here, so that linfa divides by singular values that are all the same.
        let spread = scores.map_axis(Axis(0), |score| (score.dot(&score) / count).sqrt());
        let white = &scores / &spread;
        let method = |source| FactorError::Method {
            method: name,
            source,
        };
        let data = DatasetBase::from(white.clone());
        let ica = FastIca::<f64>::params()
            .ncomponents(k)
            .gfunc(GFunc::Logcosh(1.0))
            .random_state(self.seed as usize)
            .fit(&data)
            .map_err(|error| method(Box::new(error)))?;
        // The model keeps its matrix to itself: its answers to the unit vectors are the matrix.
        let origin: Array2<f64> = ica.predict(&Array2::zeros((1, k)));
        let unmix: Array2<f64> = ica.predict(&Array2::eye(k)) - &origin;
        let sources = white.dot(&unmix);
        let size = sources.map_axis(Axis(0), |source| (source.dot(&source) / count).sqrt());
        if size.iter().any(|&v| !(v.is_finite() && v > 0.0)) {
            return Err(FactorError::Diverged { method: name });
        }
        let (unmix, sources) = (&unmix / &size, &sources / &size);
        // White rows and white sources: the mixing matrix is their correlation.
        let mixing = sources.t().dot(&scores) / count;
        let directions = mixing.dot(&principal.directions);
        let encoder = (&principal.directions / &spread.insert_axis(Axis(1)))
            .t()
            .dot(&unmix);

        let lengths = directions.map_axis(Axis(1), |d| d.dot(&d));
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|&i, &j| lengths[j].total_cmp(&lengths[i]));
        let signs: Array1<f64> = order.iter().map(|&i| sign_of(directions.row(i))).collect();
        let directions = directions.select(Axis(0), &order) * signs.view().insert_axis(Axis(1));
        let encoder = encoder.select(Axis(1), &order) * &signs;
        Affine::reduced(name, principal, encoder, Some(directions))
    }
}

/// Coordinates that are an affine map of the rows.
#[derive(Debug)]
struct Affine<T> {
    /// `[components, columns]`
    directions: Array2<T>,
    mean: Array1<T>,
    /// `[columns, components]`
    encoder: Array2<f64>,
    exact_mean: Array1<f64>,
    summary: Summary,
}

impl<T: Scalar> Affine<T> {
    /// `encoder` turns scaled and centred rows into coordinates; `directions`, those of the principal
    /// components if none, turn them back. Coordinates of principal components carry the scale, those
    /// of independent ones do not.
    fn reduced(
        method: &'static str,
        principal: Principal,
        encoder: Array2<f64>,
        directions: Option<Array2<f64>>,
    ) -> Result<Reduced<T>, FactorError> {
        let Principal {
            mean, rows, scale, ..
        } = principal;
        let centred = &rows - &mean;
        let coordinates = centred.dot(&encoder);
        let backwards = directions.as_ref().unwrap_or(&principal.directions);
        let left = &centred - &coordinates.dot(backwards);
        let size = |a: &Array2<f64>| a.iter().map(|v| v * v).sum::<f64>().sqrt();
        let error = size(&left);
        let summary = Summary {
            error: error * scale,
            relative_error: relative(error, size(&rows)),
            iterations: None,
            converged: None,
        };
        let (coordinates, directions, encoder) = match directions {
            None => (coordinates * scale, principal.directions, encoder),
            Some(directions) => (coordinates, directions * scale, encoder / scale),
        };
        let reduction = Affine {
            directions: directions.mapv(cast),
            mean: mean.mapv(|v| cast(v * scale)),
            encoder,
            exact_mean: mean * scale,
            summary,
        };
        let coordinates: Array2<T> = coordinates.mapv(cast);
        let values = coordinates.iter().chain(&reduction.directions);
        if values.chain(&reduction.mean).any(|v| !v.is_finite()) {
            return Err(FactorError::Diverged { method });
        }
        Ok((coordinates, Box::new(reduction)))
    }
}

impl<T: Scalar> Reduction<T> for Affine<T> {
    fn directions(&self) -> ArrayView2<'_, T> {
        self.directions.view()
    }

    fn offset(&self) -> Option<ArrayView1<'_, T>> {
        Some(self.mean.view())
    }

    fn transform(&self, x: ArrayView2<'_, T>) -> Result<Array2<T>, FactorError> {
        check_shape("the matrix", x.shape(), &[x.nrows(), self.encoder.nrows()])?;
        largest("the matrix", x)?;
        let centred = x.mapv(widen) - &self.exact_mean;
        Ok(centred.dot(&self.encoder).mapv(cast))
    }

    fn summary(&self) -> Summary {
        self.summary
    }
}

/// k-means: every row belongs to the nearest of a few centres.
///
/// One k-means++ start, as in scikit-learn, at most 300 iterations, until the centres move by less than
/// `1e-4` of the largest value. Coordinates are 1 for the row's cluster and 0 for the others, so that a group is a mask;
/// scikit-learn's `transform` gives distances. Clusters come largest first. Where there are fewer
/// distinct rows than clusters, the clusters left over are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct KMeans {
    components: usize,
    seed: u64,
}

seeded!(KMeans: "clusters", "starts");

impl<T: Scalar> Reducer<T> for KMeans {
    fn name(&self) -> &'static str {
        Method::KMeans.name()
    }

    fn fit_transform(&self, x: ArrayView2<'_, T>) -> Result<Reduced<T>, FactorError> {
        let scale = largest("the matrix", x)?;
        // Columns are no limit, other than for the methods above.
        let (rows, columns) = x.dim();
        check_components(self.components.min(1), rows, columns)?;
        if self.components > rows {
            return Err(FactorError::TooManyComponents {
                components: self.components,
                rows,
                columns,
                limit: rows,
            });
        }
        let data = DatasetBase::from(scaled(x, scale));
        let rng = Xoshiro256Plus::seed_from_u64(self.seed);
        let found = LinfaKMeans::<f64, _>::params_with_rng(self.components, rng)
            .n_runs(1)
            .fit(&data)
            .map_err(|error| FactorError::Method {
                method: "k-means",
                source: Box::new(error),
            })?;
        let centres = found.centroids();
        let mut counts = vec![0_usize; self.components];
        for row in data.records.rows() {
            counts[nearest(row, centres)] += 1;
        }
        let mut order: Vec<usize> = (0..self.components).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(counts[i]));
        let centres = centres.select(Axis(0), &order);
        let squares: f64 = data
            .records
            .rows()
            .into_iter()
            .map(|row| distance(row, centres.row(nearest(row, &centres))))
            .sum();
        let norm = data.records.iter().map(|v| v * v).sum::<f64>().sqrt();
        let exact = &centres * scale;
        let reduction = Clusters {
            directions: exact.mapv(cast),
            exact,
            summary: Summary {
                error: squares.sqrt() * scale,
                relative_error: relative(squares.sqrt(), norm),
                iterations: None,
                converged: None,
            },
        };
        Ok((reduction.transform(x)?, Box::new(reduction)))
    }
}

#[derive(Debug)]
struct Clusters<T> {
    directions: Array2<T>,
    exact: Array2<f64>,
    summary: Summary,
}

impl<T: Scalar> Reduction<T> for Clusters<T> {
    fn directions(&self) -> ArrayView2<'_, T> {
        self.directions.view()
    }

    fn offset(&self) -> Option<ArrayView1<'_, T>> {
        None
    }

    fn transform(&self, x: ArrayView2<'_, T>) -> Result<Array2<T>, FactorError> {
        check_shape("the matrix", x.shape(), &[x.nrows(), self.exact.ncols()])?;
        largest("the matrix", x)?;
        let mut coordinates = Array2::zeros((x.nrows(), self.exact.nrows()));
        for (row, mut coordinates) in x.rows().into_iter().zip(coordinates.rows_mut()) {
            let row = row.mapv(widen);
            coordinates[nearest(row.view(), &self.exact)] = T::one();
        }
        Ok(coordinates)
    }

    fn summary(&self) -> Summary {
        self.summary
    }
}

fn distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The nearest centre, the first of equals.
fn nearest(row: ArrayView1<'_, f64>, centres: &Array2<f64>) -> usize {
    let (mut best, mut least) = (0, f64::INFINITY);
    for (i, centre) in centres.rows().into_iter().enumerate() {
        let distance = distance(row, centre);
        if distance < least {
            (best, least) = (i, distance);
        }
    }
    best
}

/// The largest absolute value, at least the smallest normal number; an error for a matrix that is
/// empty or not finite.
fn largest<T: Scalar>(what: &'static str, x: ArrayView2<'_, T>) -> Result<f64, FactorError> {
    if x.is_empty() {
        return Err(FactorError::Empty {
            what,
            shape: x.shape().to_vec(),
        });
    }
    let mut largest = f64::MIN_POSITIVE;
    for ((row, column), &value) in x.indexed_iter() {
        let value = widen(value);
        if !value.is_finite() {
            return Err(FactorError::NotFinite {
                what,
                row,
                column,
                value,
            });
        }
        largest = largest.max(value.abs());
    }
    Ok(largest)
}

fn scaled<T: Scalar>(x: ArrayView2<'_, T>, scale: f64) -> Array2<f64> {
    let scaled = x.mapv(|v| widen(v) / scale);
    if scaled.is_standard_layout() {
        scaled
    } else {
        scaled.as_standard_layout().into_owned()
    }
}

/// 1 or -1, so that the entry of largest size, the first of equals, becomes positive.
fn sign_of(direction: ArrayView1<'_, f64>) -> f64 {
    let mut largest = 0.0_f64;
    for &value in direction {
        if value.abs() > largest.abs() {
            largest = value;
        }
    }
    if largest < 0.0 { -1.0 } else { 1.0 }
}
