//! Which curves of a study are kept, and where.

use super::{EXCUSED, Found, Place, State};

/// Which curves are kept, and where.
#[derive(Debug, Clone, Default)]
pub(super) struct Curves {
    /// By metric: whether a number is not enough.
    asked: Vec<bool>,
    /// Names of files; the first is none.
    files: Vec<String>,
    /// By image, row and metric, the file; empty until there is one.
    places: Vec<u32>,
}

impl Curves {
    /// Makes room for so many places.
    fn open(&mut self, places: usize) {
        if self.places.is_empty() {
            self.places.resize(places, 0);
            self.files.push(String::new());
        }
    }
}

impl Found {
    /// Whether the curves of a metric are to be kept.
    pub(crate) fn keeps_curves(&self, metric: usize) -> bool {
        self.curves.asked.get(metric) == Some(&true)
    }

    /// Whether the curves of a number are to be kept and are not.
    pub(super) fn lacks_curve(&self, place: Place) -> bool {
        let file = self.curves.places.get(self.index(place));
        self.keeps_curves(place.metric)
            && file.is_none_or(|file| *file == 0)
            && matches!(self.state(place), State::Number(_))
    }

    /// Where the curves of a value are kept, by the name that [`curves::read`](crate::curves::read) takes, if it is of a metric
    /// that has any.
    pub fn curve_file(&self, image: usize, row: usize, metric: usize) -> Option<&str> {
        let index = self.index(Place { image, row, metric });
        let place = self.curves.places.get(index)?;
        let file = self.curves.files.get(*place as usize)?;
        (*place > 0).then_some(file)
    }

    /// From now on images are not done without the curves of the `asked` metrics. Files that `is_there` does not know are forgotten.
    pub(crate) fn keep_curves(&mut self, asked: Vec<bool>, is_there: impl Fn(usize, &str) -> bool) {
        let metrics = self.metrics.len();
        for at in 0..self.curves.places.len() {
            let (image, row, metric) = (
                at / metrics / self.rows.len(),
                at / metrics % self.rows.len(),
                at % metrics,
            );
            let is_lost = (self.curve_file(image, row, metric))
                .is_some_and(|file| asked.get(metric) == Some(&true) && !is_there(row, file));
            if is_lost {
                self.curves.places[at] = 0;
            }
        }
        self.curves.asked = asked;
        self.count();
    }

    /// The curves of images that could not be made are not asked for again by this process.
    pub(crate) fn excuse_curves(&mut self, images: impl IntoIterator<Item = usize>, row: usize) {
        let mut is_any = false;
        for image in images {
            for metric in 0..self.metrics.len() {
                let place = Place { image, row, metric };
                if self.lacks_curve(place) {
                    let index = self.index(place);
                    self.curves.open(self.values.len());
                    self.curves.places[index] = EXCUSED;
                    is_any = true;
                }
            }
        }
        if is_any {
            self.count();
        }
    }

    /// The number of a file of curves.
    pub(super) fn file_of_curves(&mut self, name: &str) -> u32 {
        self.curves.open(self.values.len());
        let files = &mut self.curves.files;
        if files.last().is_none_or(|last| last != name) {
            files.push(name.to_owned());
        }
        u32::try_from(files.len() - 1).unwrap_or(0)
    }

    pub(super) fn set_curves(&mut self, place: Place, file: u32) {
        let index = self.index(place);
        self.curves.places[index] = file;
    }
}
