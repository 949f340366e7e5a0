//! Which maps and curves of a study are kept, and where.

use super::{Found, Place, State};

/// In the place of a file's number: there is none, and none is asked for.
const EXCUSED: u32 = u32::MAX;

/// Which files some things are kept in, by their places.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// For which of them images are not done without.
    asked: Vec<bool>,
    /// Names of files; the first is none.
    files: Vec<String>,
    /// The file of each place; empty until there is one.
    places: Vec<u32>,
}

impl Kept {
    fn is_asked(&self, what: usize) -> bool {
        self.asked.get(what) == Some(&true)
    }

    fn file(&self, place: usize) -> Option<&str> {
        match *self.places.get(place)? {
            0 => None,
            file => self.files.get(file as usize).map(String::as_str),
        }
    }

    /// Whether there is neither a file nor an excuse.
    fn is_empty(&self, place: usize) -> bool {
        self.places.get(place).is_none_or(|file| *file == 0)
    }

    /// From now on images are not done without the `asked`. Files that are lost are forgotten.
    fn ask(&mut self, asked: Vec<bool>, is_lost: impl Fn(usize, &str) -> bool) {
        for place in 0..self.places.len() {
            if self.file(place).is_some_and(|file| is_lost(place, file)) {
                self.places[place] = 0;
            }
        }
        self.asked = asked;
    }

    /// Makes room for so many places.
    fn open(&mut self, places: usize) {
        if self.places.is_empty() {
            self.places.resize(places, 0);
            self.files.push(String::new());
        }
    }

    /// The number of a file, one of so many places.
    pub fn file_of(&mut self, name: &str, places: usize) -> u32 {
        self.open(places);
        if self.files.last().is_none_or(|last| last != name) {
            self.files.push(name.to_owned());
        }
        u32::try_from(self.files.len() - 1).unwrap_or(0)
    }

    pub fn set(&mut self, place: usize, file: u32) {
        self.places[place] = file;
    }

    fn excuse(&mut self, place: usize, places: usize) {
        self.open(places);
        self.places[place] = EXCUSED;
    }
}

impl Found {
    /// Whether the maps of a row are to be kept.
    pub(crate) fn keeps_map(&self, row: usize) -> bool {
        self.maps.is_asked(row)
    }

    /// Whether the curves of a metric are to be kept.
    pub(crate) fn keeps_curves(&self, metric: usize) -> bool {
        self.curves.is_asked(metric)
    }

    /// Whether the map of an image is to be kept and is not. Of what failed there is none.
    pub(crate) fn lacks_map(&self, image: usize, row: usize) -> bool {
        self.keeps_map(row)
            && self.maps.is_empty(image * self.rows.len() + row)
            && self.is_wanted(image, row)
            && !self.has_failed(image, row)
    }

    /// Whether the curves of a number are to be kept and are not.
    pub(super) fn lacks_curve(&self, place: Place) -> bool {
        self.keeps_curves(place.metric)
            && self.curves.is_empty(self.index(place))
            && matches!(self.state(place), State::Number(_))
    }

    /// Where the map of an image under a method is kept, by the name that [`maps::read`](crate::maps::read) takes.
    pub fn map_file(&self, image: usize, row: usize) -> Option<&str> {
        self.maps.file(image * self.rows.len() + row)
    }

    /// Where the curves of a value are kept, by the name that [`curves::read`](crate::curves::read) takes, if it is of a metric
    /// that has any.
    pub fn curve_file(&self, image: usize, row: usize, metric: usize) -> Option<&str> {
        self.curves.file(self.index(Place { image, row, metric }))
    }

    /// Of how many images the map is kept under a method.
    pub fn maps_kept(&self, row: usize) -> usize {
        let images = 0..self.planned.len();
        images
            .filter(|&image| self.map_file(image, row).is_some())
            .count()
    }

    /// From now on images are not done without the maps of the `asked` rows. Files that `is_there` does not know are forgotten.
    pub(crate) fn keep_maps(&mut self, asked: Vec<bool>, is_there: impl Fn(usize, &str) -> bool) {
        let rows = self.rows.len();
        let is_lost = |place: usize, file: &str| {
            asked.get(place % rows) == Some(&true) && !is_there(place % rows, file)
        };
        self.maps.ask(asked.clone(), is_lost);
        self.count();
    }

    /// The same of the curves of the `asked` metrics; `is_there` is told the row.
    pub(crate) fn keep_curves(&mut self, asked: Vec<bool>, is_there: impl Fn(usize, &str) -> bool) {
        let (rows, metrics) = (self.rows.len(), self.metrics.len());
        let is_lost = |place: usize, file: &str| {
            let row = place / metrics % rows;
            asked.get(place % metrics) == Some(&true) && !is_there(row, file)
        };
        self.curves.ask(asked.clone(), is_lost);
        self.count();
    }

    /// The maps and curves of images that could not be made are not asked for again by this process.
    pub(crate) fn excuse(&mut self, images: impl IntoIterator<Item = usize>, row: usize) {
        let mut is_any = false;
        for image in images {
            if self.lacks_map(image, row) {
                self.maps
                    .excuse(image * self.rows.len() + row, self.seconds.len());
                is_any = true;
            }
            for metric in 0..self.metrics.len() {
                let place = Place { image, row, metric };
                if self.lacks_curve(place) {
                    self.curves.excuse(self.index(place), self.values.len());
                    is_any = true;
                }
            }
        }
        if is_any {
            self.count();
        }
    }
}
