//! Comma-separated values: RFC 4180, with a byte order mark and bare line feeds allowed.

/// One line of a file; more than one where a quoted cell holds line breaks.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of its first line, from 1.
    pub line: usize,
    /// Its cells, out of their quotes.
    pub cells: Vec<String>,
    /// Where in the file it ends, in bytes, its line feed included.
    pub end: usize,
    /// Whether it ends in a line feed, outside of quotes. One that does not may have been torn.
    pub ended: bool,
}

/// The records of a file, without empty lines. Bytes that are no UTF-8 are replaced.
pub fn parse(bytes: &[u8]) -> Vec<Record> {
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
    let mut records = Vec::new();
    let (mut cells, mut cell) = (Vec::new(), Vec::new());
    let (mut quoted, mut first, mut line) = (false, 1, 1);
    let mut at = match bytes.starts_with(BYTE_ORDER_MARK) {
        true => BYTE_ORDER_MARK.len(),
        false => 0,
    };
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let next = bytes.get(at);
        line += usize::from(byte == b'\n');
        match (quoted, byte) {
            (true, b'"') if next == Some(&b'"') => {
                cell.push(b'"');
                at += 1;
            }
            (true, b'"') => quoted = false,
            (false, b'"') if cell.is_empty() => quoted = true,
            (false, b',') => cells.push(text(&mut cell)),
            (false, b'\r') if next == Some(&b'\n') => {}
            (false, b'\n') => {
                cells.push(text(&mut cell));
                let cells = std::mem::take(&mut cells);
                if cells.iter().any(|cell| !cell.is_empty()) {
                    records.push(Record {
                        line: first,
                        cells,
                        end: at,
                        ended: true,
                    });
                }
                first = line;
            }
            (_, byte) => cell.push(byte),
        }
    }
    if quoted || !cell.is_empty() || !cells.is_empty() {
        cells.push(text(&mut cell));
        records.push(Record {
            line: first,
            cells,
            end: at,
            ended: false,
        });
    }
    records
}

fn text(cell: &mut Vec<u8>) -> String {
    String::from_utf8_lossy(&std::mem::take(cell)).into_owned()
}

/// A line of these cells, with its line feed.
pub fn line<S: AsRef<str>>(cells: impl IntoIterator<Item = S>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|cell| quote(cell.as_ref())).collect();
    format!("{}\n", cells.join(","))
}

fn quote(cell: &str) -> String {
    match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Vec<Vec<String>> {
        let records = parse(text.as_bytes()).into_iter();
        records.map(|record| record.cells).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let rows = [
            vec!["a", "b,c", "", "d \"e\""],
            vec!["x\ny", "\r\n", "猫", "\""],
        ];
        let written: String = rows.iter().map(line).collect();
        assert_eq!(cells(&written), rows);
        let records = parse(written.as_bytes());
        assert_eq!((records[0].line, records[1].line), (1, 2));
        assert_eq!(records[1].end, written.len());
        assert!(records.iter().all(|record| record.ended));
    }

    #[test]
    fn other_programs_lines_are_read() {
        let text = "\u{feff}file,class\r\n\r\na.png,\"chow, chow chow\"\r\n\nb.png,1";
        assert_eq!(
            cells(text),
            [
                ["file", "class"],
                ["a.png", "chow, chow chow"],
                ["b.png", "1"]
            ]
        );
        let lines: Vec<_> = parse(text.as_bytes()).iter().map(|r| r.line).collect();
        assert_eq!(lines, [1, 3, 5]);
    }

    #[test]
    fn torn_lines_are_seen() {
        let whole = line(["a", "b\nc"]);
        for length in 1..whole.len() {
            let records = parse(&whole.as_bytes()[..length]);
            assert!(!records[records.len() - 1].ended, "{length}");
        }
        assert!(parse(b"").is_empty());
    }
}
