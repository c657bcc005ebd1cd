//! A walk over a whole JPEG file: its tables, its frame and each of its scans.

use super::bits::Table;
use super::entropy::{Coefficients, Progressive, Sequential, Stop, walk};
use super::frame::{Frame, Part, Scan};
use std::ops::Range;

/// A file whose scans are all there.
pub(super) struct Walked {
    pub(super) frame: Frame,
    /// The coefficients, if they were asked for.
    pub(super) coefficients: Option<Coefficients>,
    /// The quantisation table of each component as it was when its scan came: whether it has 16 bits, and its bytes.
    pub(super) quantisation: Vec<Option<(bool, Vec<u8>)>>,
    /// Segments of applications, which hold the colour space and the orientation.
    pub(super) applications: Vec<Range<usize>>,
}

/// Tables in force.
#[derive(Default)]
struct Tables {
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    quantisation: [Option<(bool, Vec<u8>)>; 4],
    restart: usize,
}

/// Walks over the file; takes coefficients out if `with_coefficients`, which only sequential files allow.
///
/// # Errors
/// [`Stop`] where it stops early or makes no sense. [`Stop::NoTable`] where only the decoder can say, also for other oddities.
pub(super) fn read(bytes: &[u8], with_coefficients: bool) -> Result<Walked, Stop> {
    let mut tables = Tables::default();
    let mut applications = Vec::new();
    let mut frame: Option<Frame> = None;
    let mut taking: Option<Coefficients> = None;
    let mut seeing: Option<Progressive> = None;
    let mut quantisation = Vec::new();
    let mut coded = Vec::new();
    let mut next = mark_from(bytes, 2);
    while let Some((mark, at)) = next {
        if mark == 0xD9 {
            break;
        }
        if matches!(mark, 0x01 | 0xD0..=0xD8) {
            next = mark_from(bytes, at);
            continue;
        }
        let length = bytes.get(at..at + 2).map(|field| usize::from(u16::from_be_bytes([field[0], field[1]])));
        let end = at + length.filter(|&length| length >= 2).ok_or(Stop::NoTable)?;
        let body = bytes.get(at + 2..end).ok_or(Stop::NoTable)?;
        next = mark_from(bytes, end);
        match mark {
            0xC4 => tables.take_codes(body).ok_or(Stop::NoTable)?,
            0xDB => tables.take_quantisation(body).ok_or(Stop::NoTable)?,
            0xDD => tables.restart = body.first_chunk().map_or(0, |&two| u16::from_be_bytes(two).into()),
            0xC0..=0xC2 if frame.is_none() => {
                let new = Frame::new(mark == 0xC2, body).ok_or(Stop::NoTable)?;
                quantisation = vec![None; new.components.len()];
                coded = vec![false; new.components.len()];
                taking = with_coefficients.then(|| Coefficients::new(&new));
                seeing = new.is_progressive.then(|| Progressive::new(&new));
                frame = Some(new);
            }
            0xE0..=0xEF => applications.push(at - 2..end),
            0xDA => {
                let frame = frame.as_ref().ok_or(Stop::NoTable)?;
                let scan = tables.scan(frame, body).ok_or(Stop::NoTable)?;
                for &Part { component, .. } in &scan.parts {
                    let id = usize::from(frame.components[component].quantisation & 3);
                    quantisation[component] =
                        quantisation[component].take().or(tables.quantisation[id].clone());
                    coded[component] |= scan.band.0 == 0;
                }
                next = match (&mut seeing, &mut taking) {
                    (Some(blocks), _) => walk(bytes, end, frame, &scan, blocks),
                    (None, Some(blocks)) => walk(bytes, end, frame, &scan, blocks),
                    (None, None) => walk(bytes, end, frame, &scan, &mut Sequential),
                }?;
            }
            _ => {}
        }
    }
    let frame = frame.ok_or(Stop::NoTable)?;
    if let Some(missing) = coded.iter().position(|&is_coded| !is_coded) {
        let (colour, count) = (missing + 1, coded.len());
        return Err(Stop::Short(format!(
            "has no picture data for colour {colour} of {count} before its end mark"
        )));
    }
    Ok(Walked { frame, coefficients: taking, quantisation, applications })
}

/// The next mark at or after `at`, and the position after it.
fn mark_from(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        match *bytes.get(at + 1)? {
            0xFF => at += 1,
            0 => at += 2,
            mark => return Some((mark, at + 2)),
        }
    }
}

impl Tables {
    /// Huffman tables (T.81, B.2.4.2).
    fn take_codes(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&place, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let count = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(count)?;
            let class = if place >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *class.get_mut(usize::from(place & 15))? = Some(Table::new(counts, symbols)?);
            body = rest;
        }
        Some(())
    }

    /// Quantisation tables (T.81, B.2.4.1).
    fn take_quantisation(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&place, rest)) = body.split_first() {
            let is_wide = place >> 4 != 0;
            let (values, rest) = rest.split_at_checked(if is_wide { 128 } else { 64 })?;
            *self.quantisation.get_mut(usize::from(place & 15))? = Some((is_wide, values.to_vec()));
            body = rest;
        }
        Some(())
    }

    /// The scan of a header (T.81, B.2.3); `None` if it does not fit its frame.
    fn scan(&self, frame: &Frame, body: &[u8]) -> Option<Scan> {
        let (&count, rest) = body.split_first()?;
        let (selectors, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[first, last, bits] = rest.first_chunk()?;
        let part = |selector: &[u8; 2]| {
            let component = frame.components.iter().position(|component| component.id == selector[0])?;
            let table =
                |tables: &[Option<Table>; 4], place: u8| tables.get(usize::from(place)).cloned().flatten();
            Some(Part {
                component,
                dc: table(&self.dc, selector[1] >> 4),
                ac: table(&self.ac, selector[1] & 15),
            })
        };
        let parts: Vec<Part> = selectors.as_chunks().0.iter().map(part).collect::<Option<_>>()?;
        let band = if frame.is_progressive { (usize::from(first), usize::from(last)) } else { (0, 63) };
        let is_sound =
            band.1 < 64 && band.0 <= band.1 && (band.0 == 0 || parts.len() == 1) && !parts.is_empty();
        let high = if frame.is_progressive { bits >> 4 } else { 0 };
        is_sound.then_some(Scan { parts, band, high, restart: self.restart })
    }
}
