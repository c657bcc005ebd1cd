//! Arrays of NumPy as labels and masks: which values are not 0.
//!
//! The format is that of NumPy's `numpy.lib.format`: a magic number, the length of a header, the header as a Python dictionary, the values.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Most values that are read at once.
const MOST: usize = 1 << 30;

/// An array in a file, whose values stay there until they are asked for.
#[derive(Debug)]
pub(crate) struct Npy {
    file: File,
    /// Where the values begin.
    start: u64,
    /// Bytes of a value.
    bytes: usize,
    is_float: bool,
    shape: Vec<usize>,
}

impl Npy {
    /// Reads the header.
    ///
    /// # Errors
    /// In words, after the name of the file: what is wrong with it.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let mut magic = [0; 8];
        file.read_exact(&mut magic).map_err(|_| "ends too early; copy it again".to_owned())?;
        if &magic[..6] != b"\x93NUMPY" {
            return Err("is not an array of NumPy (.npy)".into());
        }
        let is_short = magic[6] == 1;
        let mut length = [0; 4];
        file.read_exact(&mut length[..if is_short { 2 } else { 4 }]).map_err(|error| error.to_string())?;
        let length = u32::from_le_bytes(length);
        if length > 1 << 16 {
            return Err("has a damaged header; copy it again".into());
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(|_| "ends too early; copy it again".to_owned())?;
        let header = String::from_utf8_lossy(&header).into_owned();
        let start = file.stream_position().map_err(|error| error.to_string())?;
        let unknown = || format!("has a header that is not understood: {}", header.trim());
        let kind =
            entry(&header, "descr").and_then(|text| text.split(['\'', '"']).nth(1)).ok_or_else(unknown)?;
        let (order, kind) = kind.split_at(kind.len().min(1));
        let is_float = kind.starts_with('f');
        let bytes = kind.get(1..).and_then(|digits| digits.parse().ok());
        let bytes = bytes.filter(|bytes| [1, 2, 4, 8].contains(bytes) && order != ">");
        let bytes: usize = bytes.filter(|_| kind.starts_with(['b', 'u', 'i', 'f'])).ok_or_else(|| {
            format!(
                "holds values of type `{order}{kind}`; save it as booleans or bytes (array.astype('uint8'))"
            )
        })?;
        if entry(&header, "fortran_order").is_none_or(|text| text.trim_start().starts_with("True")) {
            return Err("is stored column by column; save numpy.ascontiguousarray of it".into());
        }
        let shape = entry(&header, "shape")
            .and_then(|text| text.split_once('(')?.1.split_once(')'))
            .ok_or_else(unknown)?;
        let sides = shape.0.split(',').map(str::trim).filter(|side| !side.is_empty());
        let shape =
            sides.map(|side| side.parse().ok()).collect::<Option<Vec<usize>>>().ok_or_else(unknown)?;
        Ok(Self { file, start, bytes, is_float, shape })
    }

    /// The lengths of its dimensions, the slowest first.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Which of `count` values from `first` on, in the order of the file, are not 0.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn marked(&mut self, first: usize, count: usize) -> Result<Vec<bool>, String> {
        let all = self.shape.iter().try_fold(1usize, |all, &side| all.checked_mul(side)).unwrap_or(0);
        if count > MOST || first.checked_add(count).is_none_or(|end| end > all) {
            return Err(format!("has {all} values, not {}", first.saturating_add(count)));
        }
        let mut bytes = vec![0; count * self.bytes];
        let start = SeekFrom::Start(self.start + (first * self.bytes) as u64);
        let read = self.file.seek(start).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|_| "ends too early; copy it again".to_owned())?;
        // The sign of a float that is 0 does not count.
        let sign = if self.is_float { 0x7f } else { 0xff };
        let is_marked = |value: &[u8]| {
            value
                .split_last()
                .is_some_and(|(last, rest)| last & sign != 0 || rest.iter().any(|&byte| byte != 0))
        };
        Ok(bytes.chunks_exact(self.bytes).map(is_marked).collect())
    }
}

/// What follows a key of the dictionary.
fn entry<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    rest.trim_start().strip_prefix(':')
}

/// An array as NumPy writes it, for tests.
#[cfg(test)]
pub(crate) fn written(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Result<Npy, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        Npy::open(&path)
    }

    #[test]
    fn values_of_any_kind_are_marked_where_they_are_not_0() {
        let mut bytes = open(&written("|b1", "2, 3", &[0, 1, 0, 1, 1, 0])).unwrap();
        assert_eq!(bytes.shape(), [2, 3]);
        assert_eq!(bytes.marked(3, 3).unwrap(), [true, true, false]);
        let floats: Vec<u8> =
            [0.0f32, -0.0, 0.5, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(
            open(&written("<f4", "4,", &floats)).unwrap().marked(0, 4).unwrap(),
            [false, false, true, true]
        );
        let whole: Vec<u8> = [256i64, 0].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(open(&written("<i8", "2,", &whole)).unwrap().marked(0, 2).unwrap(), [true, false]);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let message = |bytes: &[u8]| open(bytes).unwrap_err();
        assert!(message(b"PNG").contains("too early"));
        assert!(message(b"not an array").contains("not an array"));
        assert!(message(&written("|O", "1,", &[])).contains("|O"));
        assert!(message(&written(">f4", "1,", &[])).contains(">f4"));
        let mut short = open(&written("|u1", "5,", &[1, 2])).unwrap();
        assert!(short.marked(0, 5).unwrap_err().contains("too early"));
        assert!(short.marked(0, 6).unwrap_err().contains("5 values"));
    }
}
