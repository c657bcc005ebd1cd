//! Which looks there are, and which defects each can have.

use super::error::SynthError;
use std::fmt;
use std::str::FromStr;

/// What the inspected things look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Look {
    /// Woven fabric: a texture with two directions.
    Fabric,
    /// Brushed metal: streaks in one direction under a glaring lamp.
    Metal,
    /// A plate with printed digits, bars, a logo and pads, laid under the camera with a little play.
    Print,
}

/// A kind of defect; also the name of its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// Torn through, with frayed ends (fabric).
    Hole,
    /// A length of thread is missing (fabric).
    BrokenThread,
    /// A thread lies on the surface (fabric).
    LooseThread,
    /// A soft discolouration (all looks).
    Stain,
    /// A groove (metal, print).
    Scratch,
    /// The surface is pressed in or out and catches the light differently (metal).
    Dent,
    /// A group of corrosion pits (metal).
    Pits,
    /// A piece of the print is absent or wiped off (print).
    Missing,
    /// A piece of the print is displaced or doubled (print).
    Misprint,
    /// Wet ink was dragged (print).
    Smear,
}

impl Look {
    /// All looks.
    pub const ALL: [Self; 3] = [Self::Fabric, Self::Metal, Self::Print];

    /// The name in settings and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fabric => "fabric",
            Self::Metal => "metal",
            Self::Print => "print",
        }
    }

    /// The defects of this look, in the order in which sets are written.
    pub fn defects(self) -> &'static [Defect] {
        match self {
            Self::Fabric => &[Defect::BrokenThread, Defect::Hole, Defect::LooseThread, Defect::Stain],
            Self::Metal => &[Defect::Dent, Defect::Pits, Defect::Scratch, Defect::Stain],
            Self::Print => {
                &[Defect::Misprint, Defect::Missing, Defect::Scratch, Defect::Smear, Defect::Stain]
            }
        }
    }
}

impl Defect {
    /// The name of the defect's folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hole => "hole",
            Self::BrokenThread => "broken_thread",
            Self::LooseThread => "loose_thread",
            Self::Stain => "stain",
            Self::Scratch => "scratch",
            Self::Dent => "dent",
            Self::Pits => "pits",
            Self::Missing => "missing",
            Self::Misprint => "misprint",
            Self::Smear => "smear",
        }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Look {
    type Err = SynthError;

    fn from_str(name: &str) -> Result<Self, SynthError> {
        let known = Self::ALL.into_iter().find(|look| look.name() == name);
        known.ok_or_else(|| SynthError::UnknownLook { name: name.to_owned() })
    }
}
