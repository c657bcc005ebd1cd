//! The `data` of a tensor in JSON: numbers or texts, flat or nested as the shape is, which the protocol both allows.

use crate::fault::Fault;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// What `data` holds, row by row.
///
/// Numbers are kept in single precision, which holds every UINT8 and is what FP32 means: four bytes for what took two as text at least.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers; also if there is nothing.
    Numbers(Vec<f32>),
    /// Texts.
    Texts(Vec<String>),
}

impl Values {
    /// The numbers.
    ///
    /// # Errors
    /// [`Fault`] for texts.
    pub fn numbers(self, input: &str) -> Result<Vec<f32>, Fault> {
        match self {
            Self::Numbers(numbers) => Ok(numbers),
            Self::Texts(_) => {
                Err(Fault::new("tensor", format!("input `{input}` holds texts; it takes numbers")))
            }
        }
    }

    fn push_number<E: Error>(&mut self, number: f32) -> Result<(), E> {
        match self {
            Self::Numbers(numbers) => numbers.push(number),
            Self::Texts(_) => return Err(E::custom("`data` mixes numbers and texts")),
        }
        Ok(())
    }

    fn push_text<E: Error>(&mut self, text: String) -> Result<(), E> {
        match self {
            Self::Texts(texts) => texts.push(text),
            Self::Numbers(numbers) if numbers.is_empty() => *self = Self::Texts(vec![text]),
            Self::Numbers(_) => return Err(E::custom("`data` mixes numbers and texts")),
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Self::Numbers(Vec::new());
        deserializer.deserialize_seq(Into(&mut values))?;
        Ok(values)
    }
}

/// Puts whatever comes behind what is there.
struct Into<'a>(&'a mut Values);

impl<'de> DeserializeSeed<'de> for Into<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Into<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("numbers, texts or lists of them")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.push_number(value as f32)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.push_number(value as f32)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.push_number(value as f32)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.0.push_text(value.to_owned())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<(), E> {
        self.0.push_text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Into(self.0))?.is_some() {}
        Ok(())
    }
}
