//! Walks over the coded data of a scan, block by block: to see that it is all there, and to take the coefficients out.
//!
//! The decoder fills what is missing with grey or noise without a word, which would look like a defect; hence this walk.

use super::bits::{Bits, Table};
use super::frame::{Component, Frame, Part, Scan};
use crate::reader::container::grouped;

/// Where the coded data of a scan stops making sense.
#[derive(Debug, PartialEq)]
pub(super) enum Stop {
    /// It ends early, with how.
    Short(String),
    /// It holds what no encoder writes, with what.
    Wrong(String),
    /// The file has not defined a table, so that only the decoder can say.
    NoTable,
}

/// What happens to the blocks of a scan.
pub(super) trait Blocks {
    /// Reads block `index` of the padded blocks of the component of `part`, number `place` in the scan.
    fn read(&mut self, bits: &mut Bits<'_>, scan: &Scan, place: usize, index: usize) -> Result<(), Stop>;
    /// A restart mark: predictions begin anew.
    fn restart(&mut self);
}

/// Reads all blocks of a scan whose coded data begins at `at`; gives where the next mark's segment is: the mark and the position after it.
pub(super) fn walk(
    bytes: &[u8],
    at: usize,
    frame: &Frame,
    scan: &Scan,
    blocks: &mut impl Blocks,
) -> Result<Option<(u8, usize)>, Stop> {
    let mut bits = Bits::new(bytes, at);
    blocks.restart();
    let own = (scan.parts.len() == 1).then(|| &frame.components[scan.parts[0].component]);
    let (across, down) = own.map_or(frame.units, |component| component.blocks);
    let units = across * down;
    for unit in 0..units {
        if unit > 0 && unit.is_multiple_of(scan.restart) {
            bits = after_restart(bytes, &bits, unit, units)?;
            blocks.restart();
        }
        let outcome = read_unit(&mut bits, (frame, scan), own, (unit / across, unit % across), blocks);
        // Some encoders drop the last bits of the last unit, all ones.
        if bits.missing() > if unit + 1 < units { 0 } else { 7 } {
            return Err(short(unit, units));
        }
        outcome?;
    }
    Ok(bits.next_mark())
}

/// Reads the blocks of one unit: one of a scan of its `own`, those of all components of an interleaved one.
fn read_unit(
    bits: &mut Bits<'_>,
    (frame, scan): (&Frame, &Scan),
    own: Option<&Component>,
    (y, x): (usize, usize),
    blocks: &mut impl Blocks,
) -> Result<(), Stop> {
    if let Some(component) = own {
        return blocks.read(bits, scan, 0, y * component.padded.0 + x);
    }
    for (place, part) in scan.parts.iter().enumerate() {
        let component = &frame.components[part.component];
        let (wide, high) = component.sampling;
        for v in 0..high {
            let first = (y * high + v) * component.padded.0 + x * wide;
            for h in 0..wide {
                blocks.read(bits, scan, place, first + h)?;
            }
        }
    }
    Ok(())
}

fn short(unit: usize, units: usize) -> Stop {
    Stop::Short(format!(
        "has picture data for {} of {} blocks before its end mark",
        grouped(unit as u64),
        grouped(units as u64)
    ))
}

fn after_restart<'a>(bytes: &'a [u8], bits: &Bits<'_>, unit: usize, units: usize) -> Result<Bits<'a>, Stop> {
    match bits.next_mark() {
        Some((0xD0..=0xD7, at)) => Ok(Bits::new(bytes, at)),
        _ => Err(short(unit, units)),
    }
}

fn wrong_code() -> Stop {
    Stop::Wrong("its picture data holds a code that its tables do not have".into())
}

fn beyond() -> Stop {
    Stop::Wrong("its picture data holds a block of more than 64 values".into())
}

fn table(table: &Option<Table>) -> Result<&Table, Stop> {
    table.as_ref().ok_or(Stop::NoTable)
}

/// Reads the values of a sequential block behind its first by their symbols, which `next` gives; `each` gets the place and the size of one
/// that is not zero.
fn values<'a>(
    bits: &mut Bits<'a>,
    ac: &Table,
    next: impl Fn(&mut Bits<'a>, &Table) -> Option<u8>,
    mut each: impl FnMut(&mut Bits<'a>, usize, u32),
) -> Result<(), Stop> {
    let mut at = 1;
    while at < 64 {
        let symbol = next(bits, ac).ok_or_else(wrong_code)?;
        // As libjpeg has it: any run without a value but sixteen zeros ends the block.
        match (usize::from(symbol >> 4), u32::from(symbol & 15)) {
            (15, 0) => at += 16,
            (_, 0) => return Ok(()),
            (run, size) => {
                at += run;
                if at > 63 {
                    return Err(beyond());
                }
                each(bits, at, size);
                at += 1;
            }
        }
    }
    Ok(())
}

/// Only looks whether the blocks of a sequential scan are there.
pub(super) struct Sequential;

impl Blocks for Sequential {
    fn read(&mut self, bits: &mut Bits<'_>, scan: &Scan, place: usize, _: usize) -> Result<(), Stop> {
        let Part { dc, ac, .. } = &scan.parts[place];
        bits.pass_value(table(dc)?).ok_or_else(wrong_code)?;
        values(bits, table(ac)?, Bits::pass_value, |_, _, _| {})
    }

    fn restart(&mut self) {}
}

/// Takes the coefficients of sequential scans out.
pub(super) struct Coefficients {
    /// By component, 64 for each padded block in the order of the file.
    pub(super) values: Vec<Vec<i16>>,
    predictions: [i32; 4],
}

impl Coefficients {
    pub(super) fn new(frame: &Frame) -> Self {
        let zeros = |component: &Component| vec![0; 64 * component.padded.0 * component.padded.1];
        Self { values: frame.components.iter().map(zeros).collect(), predictions: [0; 4] }
    }
}

impl Blocks for Coefficients {
    fn read(&mut self, bits: &mut Bits<'_>, scan: &Scan, place: usize, index: usize) -> Result<(), Stop> {
        let Part { component, dc, ac } = &scan.parts[place];
        let block = &mut self.values[*component][64 * index..64 * index + 64];
        let size = bits.symbol(table(dc)?).ok_or_else(wrong_code)?;
        let prediction = &mut self.predictions[*component];
        // 8-bit samples keep to 11 bits; what damage makes of them wraps as it does in decoders.
        *prediction = prediction.wrapping_add(bits.signed(u32::from(size & 15)));
        block[0] = *prediction as i16;
        values(bits, table(ac)?, Bits::symbol, |bits, at, size| block[at] = bits.signed(size) as i16)
    }

    fn restart(&mut self) {
        self.predictions = [0; 4];
    }
}

/// Looks whether the blocks of progressive scans are there. Which coefficients are not zero decides how refinements are coded.
pub(super) struct Progressive {
    /// By component, a bit for each coefficient of each padded block that is not zero.
    nonzero: Vec<Vec<u64>>,
    /// Blocks that have nothing more in this scan.
    empty_run: u32,
}

impl Progressive {
    pub(super) fn new(frame: &Frame) -> Self {
        let zeros = |component: &Component| vec![0; component.padded.0 * component.padded.1];
        Self { nonzero: frame.components.iter().map(zeros).collect(), empty_run: 0 }
    }

    /// The band's first coding in a block (T.81, G.1.2.2).
    fn first(&mut self, bits: &mut Bits<'_>, scan: &Scan, index: usize) -> Result<(), Stop> {
        if self.empty_run > 0 {
            self.empty_run -= 1;
            return Ok(());
        }
        let Part { component, ac, .. } = &scan.parts[0];
        let (ac, mut at) = (table(ac)?, scan.band.0);
        while at <= scan.band.1 {
            let symbol = bits.symbol(ac).ok_or_else(wrong_code)?;
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            match (run, size) {
                (15, 0) => at += 16,
                (run, 0) => {
                    self.empty_run = (1 << run) - 1 + bits.take(run);
                    return Ok(());
                }
                (run, size) => {
                    at += run as usize;
                    bits.pass(size);
                    if at > scan.band.1 {
                        return Err(beyond());
                    }
                    self.nonzero[*component][index] |= 1 << at;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// A further bit of the band in a block (T.81, G.1.2.3).
    fn refined(&mut self, bits: &mut Bits<'_>, scan: &Scan, index: usize) -> Result<(), Stop> {
        let Part { component, ac, .. } = &scan.parts[0];
        let (ac, (mut at, last)) = (table(ac)?, scan.band);
        let nonzero = &mut self.nonzero[*component][index];
        if self.empty_run == 0 {
            while at <= last {
                let symbol = bits.symbol(ac).ok_or_else(wrong_code)?;
                let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
                if size == 0 && zeros < 15 {
                    self.empty_run = (1 << zeros) + bits.take(zeros);
                    break;
                }
                // The new coefficient's sign.
                bits.pass(u32::from(size > 0));
                // A run counts coefficients that are still zero; those passed over get a bit each.
                while at <= last {
                    if *nonzero >> at & 1 == 1 {
                        bits.pass(1);
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    at += 1;
                }
                if size > 0 {
                    if at > last {
                        return Err(beyond());
                    }
                    *nonzero |= 1 << at;
                }
                at += 1;
            }
        }
        if self.empty_run > 0 {
            self.empty_run -= 1;
            let band = if last < 63 { (1_u64 << (last + 1)) - 1 } else { u64::MAX };
            for _ in 0..(*nonzero & band & (u64::MAX << at)).count_ones() {
                bits.pass(1);
            }
        }
        Ok(())
    }
}

impl Blocks for Progressive {
    fn read(&mut self, bits: &mut Bits<'_>, scan: &Scan, place: usize, index: usize) -> Result<(), Stop> {
        match (scan.band.0, scan.high) {
            (0, 0) => bits.pass_value(table(&scan.parts[place].dc)?).map(drop).ok_or_else(wrong_code),
            (0, _) => {
                bits.pass(1);
                Ok(())
            }
            (_, 0) => self.first(bits, scan, index),
            _ => self.refined(bits, scan, index),
        }
    }

    fn restart(&mut self) {
        self.empty_run = 0;
    }
}
