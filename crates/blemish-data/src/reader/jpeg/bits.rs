//! The coded bits of a JPEG scan and the Huffman codes in them.

/// Bits that one look at the table decides; longer codes are searched.
const LOOK: u32 = 10;

/// A Huffman table as a file defines it (T.81, annex C).
#[derive(Clone)]
pub(super) struct Table {
    /// By the next [`LOOK`] bits: from the top, bits of the code and the value behind it, length of the code, symbol; 0 for longer codes.
    short: Box<[u32; 1 << LOOK]>,
    /// By length: the first code beyond those of that length, aligned to 16 bits, and what to add to a code for its symbol's index.
    ends: [u32; 17],
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// A table from the number of codes of each length, 1 to 16, and their symbols; `None` if there are more codes than fit.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            short: Box::new([0; 1 << LOOK]),
            ends: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut index) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            table.offsets[length as usize] = index as i32 - code as i32;
            for _ in 0..counts[length as usize - 1] {
                if code >> length != 0 {
                    return None;
                }
                let symbol = *symbols.get(index)?;
                if length <= LOOK {
                    let first = (code << (LOOK - length)) as usize;
                    let with_value = length + u32::from(symbol & 15);
                    table.short[first..first + (1 << (LOOK - length))]
                        .fill(with_value << 16 | length << 8 | u32::from(symbol));
                }
                (code, index) = (code + 1, index + 1);
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }
}

/// The bits of one scan. Beyond its last bit come zeros, and [`Self::missing`] says so.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte to take.
    at: usize,
    /// The next bits, the first one on top.
    ahead: u64,
    /// How many of them are the file's; negative once more were taken than it has.
    count: i32,
    /// A mark or the end of the file was met.
    is_drained: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, ahead: 0, count: 0, is_drained: false }
    }

    /// How many more bits were taken than there are.
    pub(super) fn missing(&self) -> u32 {
        (-self.count).max(0) as u32
    }

    fn refill(&mut self) {
        if self.is_drained {
            return;
        }
        if let Some(&[a, b, c, d]) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let four = u32::from_be_bytes([a, b, c, d]);
            // No byte of the four is FF.
            if (!four).wrapping_sub(0x0101_0101) & four & 0x8080_8080 == 0 {
                self.ahead |= u64::from(four) << (32 - self.count);
                (self.count, self.at) = (self.count + 32, self.at + 4);
                return;
            }
        }
        while self.count <= 56 {
            let (byte, next) = (self.bytes.get(self.at), self.bytes.get(self.at + 1));
            let step = match (byte, next) {
                (Some(0xFF), Some(0)) => 2,
                (None, _) | (Some(0xFF), _) => {
                    self.is_drained = true;
                    return;
                }
                _ => 1,
            };
            self.ahead |= u64::from(self.bytes[self.at]) << (56 - self.count);
            (self.count, self.at) = (self.count + 8, self.at + step);
        }
    }

    /// The next `count` bits as a number, at most 16.
    pub(super) fn take(&mut self, count: u32) -> u32 {
        if self.count < 32 {
            self.refill();
        }
        let value = (self.ahead >> 32) >> (32 - count);
        self.skip(count);
        value as u32
    }

    /// Passes over `count` bits, at most 16.
    pub(super) fn pass(&mut self, count: u32) {
        if self.count < 16 {
            self.refill();
        }
        self.skip(count);
    }

    fn skip(&mut self, count: u32) {
        self.ahead <<= count;
        self.count -= count as i32;
    }

    /// The symbol of the next code; `None` if no code of the table fits.
    pub(super) fn symbol(&mut self, table: &Table) -> Option<u8> {
        if self.count < 32 {
            self.refill();
        }
        let found = table.short[(self.ahead >> (64 - LOOK)) as usize];
        if found != 0 {
            self.skip(found >> 8 & 0xFF);
            return Some(found as u8);
        }
        self.long_symbol(table)
    }

    /// Passes over the next code and the value behind it, of as many bits as the lower half of its symbol says, and gives the symbol.
    pub(super) fn pass_value(&mut self, table: &Table) -> Option<u8> {
        if self.count < 32 {
            self.refill();
        }
        let found = table.short[(self.ahead >> (64 - LOOK)) as usize];
        if found != 0 {
            self.skip(found >> 16);
            return Some(found as u8);
        }
        let symbol = self.long_symbol(table)?;
        self.pass(u32::from(symbol & 15));
        Some(symbol)
    }

    fn long_symbol(&mut self, table: &Table) -> Option<u8> {
        let next = (self.ahead >> 48) as u32;
        let length = (LOOK + 1..=16).find(|&length| next < table.ends[length as usize])?;
        let index = (next >> (16 - length)) as i32 + table.offsets[length as usize];
        self.skip(length);
        table.symbols.get(usize::try_from(index).ok()?).copied()
    }

    /// A number of `size` bits in the sign convention of the format (T.81, F.2.2.1).
    pub(super) fn signed(&mut self, size: u32) -> i32 {
        let value = self.take(size) as i32;
        if size > 0 && value < 1 << (size - 1) { value - (1 << size) + 1 } else { value }
    }

    /// Drops what is left before the next mark and gives the mark with the position after it; `None` at the end of the file.
    pub(super) fn next_mark(&self) -> Option<(u8, usize)> {
        // What was taken ahead holds no mark, so the search may begin behind it.
        let mut at = self.at;
        loop {
            at += self.bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
            match *self.bytes.get(at + 1)? {
                0xFF => at += 1,
                0 => at += 2,
                mark => return Some((mark, at + 2)),
            }
        }
    }
}
