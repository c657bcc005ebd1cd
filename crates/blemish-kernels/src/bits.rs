//! Rows of bits, sixty-four to a word: which entries of a bank each query may match.

/// A table of bits, rows x columns, all false at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitRows {
    rows: usize,
    columns: usize,
    words: Vec<u64>,
}

impl BitRows {
    /// All false.
    pub fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, words: vec![0; rows * columns.div_ceil(64)] }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bits of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    fn words_a_row(&self) -> usize {
        self.columns.div_ceil(64)
    }

    /// The bit at a row and column.
    ///
    /// # Panics
    /// If there is none.
    #[inline(always)]
    pub fn get(&self, row: usize, column: usize) -> bool {
        debug_assert!(column < self.columns);
        self.words[row * self.words_a_row() + column / 64] >> (column % 64) & 1 == 1
    }

    /// Makes a bit true.
    ///
    /// # Panics
    /// If there is none.
    pub fn set(&mut self, row: usize, column: usize) {
        assert!(column < self.columns, "a bit lies within its row");
        let words = self.words_a_row();
        self.words[row * words + column / 64] |= 1 << (column % 64);
    }

    /// True bits of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn count(&self, row: usize) -> usize {
        let words = self.words_a_row();
        self.words[row * words..][..words].iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Every row as whole bytes, the lowest bit first: rows x ceil(columns / 8).
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.columns.div_ceil(8);
        let words = self.words.chunks_exact(self.words_a_row().max(1)).take(self.rows);
        words.flat_map(|row| row.iter().flat_map(|word| word.to_le_bytes()).take(bytes)).collect()
    }

    /// The table that [`Self::to_bytes`] wrote; `None` if the length does not fit or a bit beyond the columns is true.
    pub fn from_bytes(bytes: &[u8], rows: usize, columns: usize) -> Option<Self> {
        let length = columns.div_ceil(8);
        if bytes.len() != rows.checked_mul(length)? {
            return None;
        }
        let mut table = Self::new(rows, columns);
        let words = table.words_a_row();
        for (row, bytes) in bytes.chunks_exact(length.max(1)).enumerate() {
            for (index, &byte) in bytes.iter().enumerate() {
                table.words[row * words + index / 8] |= u64::from(byte) << (index % 8 * 8);
            }
            if !columns.is_multiple_of(64) && table.words[(row + 1) * words - 1] >> (columns % 64) != 0 {
                return None;
            }
        }
        Some(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_survive_bytes_and_strays_are_refused() {
        for columns in [1, 8, 9, 63, 64, 65, 200] {
            let mut table = BitRows::new(3, columns);
            table.set(0, 0);
            table.set(2, columns - 1);
            assert_eq!([0, 1, 2].map(|row| table.count(row)), [1, 0, 1]);
            let bytes = table.to_bytes();
            assert_eq!(bytes.len(), 3 * columns.div_ceil(8));
            let back = BitRows::from_bytes(&bytes, 3, columns).unwrap();
            assert_eq!(back, table);
            assert!(back.get(0, 0) && back.get(2, columns - 1) && !back.get(1, 0));
            assert!(BitRows::from_bytes(&bytes[1..], 3, columns).is_none());
        }
        assert!(BitRows::from_bytes(&[0b10], 1, 1).is_none());
        assert!(BitRows::from_bytes(&[0, 0b10], 1, 9).is_none());
    }
}
