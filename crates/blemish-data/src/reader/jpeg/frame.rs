//! The frame of a JPEG file: its colour components and how many blocks of 8x8 samples each has.

use super::bits::Table;

/// One colour component.
pub(super) struct Component {
    /// The number that scans call it by.
    pub(super) id: u8,
    /// Blocks of it in each unit of an interleaved scan, across and down.
    pub(super) sampling: (usize, usize),
    /// The number of its quantisation table.
    pub(super) quantisation: u8,
    /// Blocks that hold its samples, across and down: those of a scan of its own.
    pub(super) blocks: (usize, usize),
    /// Blocks of interleaved scans, which fill whole units.
    pub(super) padded: (usize, usize),
}

/// What the frame's header says.
pub(super) struct Frame {
    pub(super) is_progressive: bool,
    pub(super) height: u16,
    pub(super) width: u16,
    pub(super) components: Vec<Component>,
    /// Units of an interleaved scan, across and down.
    pub(super) units: (usize, usize),
}

impl Frame {
    /// The frame in the body of a header (T.81, B.2.2); `None` if it cannot be one.
    pub(super) fn new(is_progressive: bool, body: &[u8]) -> Option<Self> {
        let (&[_, a, b, c, d, count], rest) = body.split_first_chunk()?;
        let (height, width) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let fields: Vec<&[u8; 3]> = rest.as_chunks().0.iter().take(usize::from(count)).collect();
        let sampling = |field: &[u8; 3]| (usize::from(field[1] >> 4), usize::from(field[1] & 15));
        let is_sound = |field: &&[u8; 3]| {
            let (across, down) = sampling(field);
            (1..=4).contains(&across) && (1..=4).contains(&down)
        };
        if height == 0 || width == 0 || !(1..=4).contains(&count) || fields.len() != usize::from(count) {
            return None;
        }
        if !fields.iter().all(is_sound) {
            return None;
        }
        let across = fields.iter().map(|field| sampling(field).0).max()?;
        let down = fields.iter().map(|field| sampling(field).1).max()?;
        let size = (usize::from(width), usize::from(height));
        let units = (size.0.div_ceil(8 * across), size.1.div_ceil(8 * down));
        let component = |field: &&[u8; 3]| {
            let own = sampling(field);
            let blocks = |length: usize, own: usize, most: usize| (length * own).div_ceil(most).div_ceil(8);
            Component {
                id: field[0],
                sampling: own,
                quantisation: field[2],
                blocks: (blocks(size.0, own.0, across), blocks(size.1, own.1, down)),
                padded: (units.0 * own.0, units.1 * own.1),
            }
        };
        let components = fields.iter().map(component).collect();
        Some(Self { is_progressive, height, width, components, units })
    }
}

/// One scan: what it codes and with which tables.
pub(super) struct Scan {
    pub(super) parts: Vec<Part>,
    /// First and last coefficient.
    pub(super) band: (usize, usize),
    /// Bits that earlier scans have left to this one; 0 for the first of its band.
    pub(super) high: u8,
    /// Units between restart marks; 0 for none.
    pub(super) restart: usize,
}

/// One component of a scan.
pub(super) struct Part {
    /// Which of the frame's.
    pub(super) component: usize,
    pub(super) dc: Option<Table>,
    pub(super) ac: Option<Table>,
}
