//! A sequential JPEG of several scans written anew with one scan, without loss: the decoder reads only such files rightly.

use super::file::Walked;

/// Sizes that differences of 8-bit samples take: 0 to 11 bits; of other coefficients, 1 to 10.
const DC_SIZES: u8 = 12;
const AC_SIZES: u8 = 10;

/// The file with one scan of all its components; `None` if it holds values that 8-bit samples never have.
pub(super) fn one_scan(bytes: &[u8], walked: &Walked) -> Option<Vec<u8>> {
    let Walked { frame, coefficients, quantisation, applications } = walked;
    let values = &coefficients.as_ref()?.values;
    let mut out = vec![0xFF, 0xD8];
    for range in applications {
        out.extend_from_slice(&bytes[range.clone()]);
    }
    let mut is_wide = false;
    for (number, table) in quantisation.iter().enumerate() {
        let (wide, table) = table.as_ref()?;
        is_wide |= wide;
        let place = (u8::from(*wide) << 4) | number as u8;
        segment(&mut out, 0xDB, &[&[place], table.as_slice()].concat());
    }
    let mut head = vec![8];
    head.extend(frame.height.to_be_bytes());
    head.extend(frame.width.to_be_bytes());
    head.push(frame.components.len() as u8);
    for (number, component) in frame.components.iter().enumerate() {
        let (across, down) = component.sampling;
        head.extend([component.id, (across << 4 | down) as u8, number as u8]);
    }
    segment(&mut out, if is_wide { 0xC1 } else { 0xC0 }, &head);
    segment(&mut out, 0xC4, &codes());
    let mut scan = vec![frame.components.len() as u8];
    scan.extend(frame.components.iter().flat_map(|component| [component.id, 0]));
    scan.extend([0, 63, 0]);
    segment(&mut out, 0xDA, &scan);
    let mut coded = Coded { out, ahead: 0, count: 0 };
    let mut predictions = [0; 4];
    for unit in 0..frame.units.0 * frame.units.1 {
        let (y, x) = (unit / frame.units.0, unit % frame.units.0);
        for ((component, values), prediction) in frame.components.iter().zip(values).zip(&mut predictions) {
            let (wide, high) = component.sampling;
            for (v, h) in (0..high).flat_map(|v| (0..wide).map(move |h| (v, h))) {
                let index = (y * high + v) * component.padded.0 + x * wide + h;
                coded.block(&values[64 * index..64 * index + 64], prediction)?;
            }
        }
    }
    Some(coded.finish())
}

fn segment(out: &mut Vec<u8>, mark: u8, body: &[u8]) {
    out.extend([0xFF, mark]);
    out.extend((body.len() as u16 + 2).to_be_bytes());
    out.extend_from_slice(body);
}

/// Huffman tables with codes of equal length for every symbol there is: 4 bits for sizes of differences, 8 for runs and sizes.
fn codes() -> Vec<u8> {
    let mut body = vec![0x00];
    body.extend((1..=16).map(|length| if length == 4 { DC_SIZES } else { 0 }));
    body.extend(0..DC_SIZES);
    let symbols: Vec<u8> = ac_symbols().collect();
    body.push(0x10);
    body.extend((1..=16).map(|length| if length == 8 { symbols.len() as u8 } else { 0 }));
    body.extend(symbols);
    body
}

/// End of block, sixteen zeros, and all runs with all sizes.
fn ac_symbols() -> impl Iterator<Item = u8> {
    [0x00, 0xF0].into_iter().chain((0..16).flat_map(|run| (1..=AC_SIZES).map(move |size| run << 4 | size)))
}

/// The code of a run of zeros and the size of what follows: its place in [`ac_symbols`].
fn ac_code(run: u32, size: u32) -> u32 {
    2 + u32::from(AC_SIZES) * run + size - 1
}

/// Coded data, FF followed by 00.
struct Coded {
    out: Vec<u8>,
    ahead: u32,
    count: u32,
}

impl Coded {
    fn put(&mut self, value: u32, count: u32) {
        self.ahead = self.ahead << count | value;
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.ahead >> self.count) as u8;
            self.out.push(byte);
            if byte == 0xFF {
                self.out.push(0);
            }
        }
    }

    /// A number in the sign convention of the format, after its size has been coded.
    fn put_signed(&mut self, value: i32, size: u32) {
        let value = if value < 0 { value - 1 } else { value };
        self.put(value as u32 & ((1 << size) - 1), size);
    }

    fn block(&mut self, block: &[i16], prediction: &mut i32) -> Option<()> {
        let size_of = |value: i32| 32 - value.unsigned_abs().leading_zeros();
        let difference = i32::from(block[0]) - *prediction;
        *prediction = i32::from(block[0]);
        let size = size_of(difference);
        if size >= u32::from(DC_SIZES) {
            return None;
        }
        self.put(size, 4);
        self.put_signed(difference, size);
        let mut zeros = 0;
        for &value in &block[1..] {
            if value == 0 {
                zeros += 1;
                continue;
            }
            for _ in 0..zeros / 16 {
                self.put(1, 8);
            }
            let (value, size) = (i32::from(value), size_of(i32::from(value)));
            if size > u32::from(AC_SIZES) {
                return None;
            }
            self.put(ac_code(zeros % 16, size), 8);
            self.put_signed(value, size);
            zeros = 0;
        }
        if zeros > 0 {
            self.put(0, 8);
        }
        Some(())
    }

    fn finish(mut self) -> Vec<u8> {
        // Ones fill the last byte.
        self.put(0x7F, 7);
        self.out.extend([0xFF, 0xD9]);
        self.out
    }
}
