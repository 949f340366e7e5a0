//! How wide text is.

/// Of each printable letter of ASCII in Helvetica, in thousandths of its size (Adobe's font metrics).
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

/// The widest letters of other fonts that a reader may see instead, as a part of the size.
const WIDEST: f64 = 0.6;

/// Room that a text needs in whatever font it is shown.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    let letters = text.chars().count() as f64;
    (letters * WIDEST * size).max(helvetica(text, size))
}

/// How long a text is in Helvetica. Letters with accents are as wide as most of those without.
pub(super) fn helvetica(text: &str, size: f64) -> f64 {
    let of = |letter: char| -> f64 {
        let place = (letter as usize).checked_sub(0x20);
        let known = place.and_then(|place| HELVETICA.get(place));
        f64::from(known.copied().unwrap_or(556))
    };
    text.chars().map(of).sum::<f64>() * size / 1000.0
}

/// A text that fits into so much room: a long one loses its end.
pub(crate) fn fitting(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let most = (room / (WIDEST * size)) as usize;
    let first: String = text.chars().take(most.saturating_sub(1).max(1)).collect();
    format!("{first}\u{2026}")
}

/// The byte of a letter in the encoding of Windows for Western languages, which all readers of PDF know.
pub(super) fn win_ansi(letter: char) -> Option<u8> {
    match letter {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(letter)).ok(),
        '\u{20ac}' => Some(0x80),
        '\u{2026}' => Some(0x85),
        '\u{160}' => Some(0x8a),
        '\u{17d}' => Some(0x8e),
        '\u{2018}' => Some(0x91),
        '\u{2019}' => Some(0x92),
        '\u{201c}' => Some(0x93),
        '\u{201d}' => Some(0x94),
        '\u{2022}' => Some(0x95),
        '\u{2013}' => Some(0x96),
        '\u{2014}' => Some(0x97),
        '\u{161}' => Some(0x9a),
        '\u{17e}' => Some(0x9e),
        // Minus, and the arrows of tables.
        '\u{2212}' => Some(b'-'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        // As Adobe's metrics have them: H 722, e 556, l 222, o 556.
        assert_eq!(
            helvetica("Hello", 1000.0),
            722.0 + 556.0 + 2.0 * 222.0 + 556.0
        );
        assert_eq!(helvetica("~ W", 1000.0), 584.0 + 278.0 + 944.0);
        assert_eq!(helvetica("\u{e9}", 10.0), 5.56);
    }

    #[test]
    fn long_text_loses_its_end() {
        assert_eq!(fitting("short", 12.0, 100.0), "short");
        let short = fitting(&"x".repeat(300), 12.0, 100.0);
        assert!(
            short.ends_with('\u{2026}') && width(&short, 12.0) <= 100.0,
            "{short}"
        );
        assert_eq!(fitting("xyz", 12.0, 0.0), "x\u{2026}");
    }
}
