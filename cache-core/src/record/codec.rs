//! The codecs: values to bytes and back, chosen when a region is configured.
//!
//! The built-in ones are compiled for each type; only a custom one is called through a `dyn` bridge.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Miss;
use crate::error::{Error, Kind};

/// How a region's values become bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Codec {
    /// bincode 2.0.1 through serde, standard configuration. Small and fast; positional.
    #[cfg(feature = "bincode")]
    Bincode,
    /// postcard. Small and fast; positional.
    #[cfg(feature = "postcard")]
    Postcard,
    /// JSON. Keeps the names, so that every serde attribute works.
    #[cfg(feature = "json")]
    Json,
    /// One of your own.
    Custom(Arc<dyn CustomCodec>),
}

/// What an encoding or decoding of a custom codec failed with.
pub type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// Takes the deserializer that a custom codec made. Called once.
pub type DecodeInto<'a> = dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error> + 'a;

/// A codec of your own, for any serde format.
///
/// It is called with bytes that passed their check, but may still meet those of another type: a length in them must not
/// be allocated unseen.
pub trait CustomCodec: Send + Sync + fmt::Debug {
    /// The name, which stands in each record by its hash: another name is another type to a reader.
    fn name(&self) -> &str;

    /// Appends `value` to `out`: `value.serialize(..)` through `<dyn erased_serde::Serializer>::erase`, or straight into
    /// any serde serializer.
    ///
    /// # Errors
    ///
    /// Whatever the format fails with: the value is then not stored far.
    fn encode(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Makes a deserializer of `bytes`, gives it to `into`, and checks that it took all bytes.
    ///
    /// # Errors
    ///
    /// Whatever the format or `into` fails with: the record is then a miss.
    fn decode(&self, bytes: &[u8], into: &mut DecodeInto<'_>) -> Result<(), CodecError>;
}

/// Every built-in codec: its name, its number in a record, and whether this build has it.
const BUILT_IN: [(&str, u8, bool); 3] = [
    ("bincode", BINCODE, cfg!(feature = "bincode")),
    ("postcard", POSTCARD, cfg!(feature = "postcard")),
    ("json", JSON, cfg!(feature = "json")),
];
const BINCODE: u8 = 1;
const POSTCARD: u8 = 2;
const JSON: u8 = 3;
const CUSTOM: u8 = 15;

impl Codec {
    /// The codec of a region that names none: the first of bincode, postcard, JSON that this build has.
    pub fn default_codec() -> Option<Codec> {
        [BINCODE, POSTCARD, JSON].into_iter().find_map(Codec::built_in)
    }

    /// What a configuration calls it.
    pub fn name(&self) -> &str {
        match self {
            Codec::Custom(codec) => codec.name(),
            #[allow(unreachable_patterns)]
            built_in => BUILT_IN.iter().find(|(_, id, _)| *id == built_in.id()).map_or("", |(name, ..)| name),
        }
    }

    /// The number in a record, 1 to 15.
    pub(super) fn id(&self) -> u8 {
        match self {
            #[cfg(feature = "bincode")]
            Codec::Bincode => BINCODE,
            #[cfg(feature = "postcard")]
            Codec::Postcard => POSTCARD,
            #[cfg(feature = "json")]
            Codec::Json => JSON,
            Codec::Custom(_) => CUSTOM,
        }
    }

    /// The codec of a record: a built-in one, or the region's own.
    pub(super) fn of_record(id: u8, own: &Codec) -> Option<Codec> {
        if id == own.id() { Some(own.clone()) } else { Codec::built_in(id) }
    }

    fn built_in(id: u8) -> Option<Codec> {
        match id {
            #[cfg(feature = "bincode")]
            BINCODE => Some(Codec::Bincode),
            #[cfg(feature = "postcard")]
            POSTCARD => Some(Codec::Postcard),
            #[cfg(feature = "json")]
            JSON => Some(Codec::Json),
            _ => None,
        }
    }

    /// Appends the encoded value; an error may leave part of it.
    pub(super) fn encode<V: Serialize>(&self, value: &V, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            #[cfg(feature = "bincode")]
            Codec::Bincode => encode_bincode(value, out).map_err(|error| error.to_string()),
            #[cfg(feature = "postcard")]
            Codec::Postcard => {
                let begun = std::mem::take(out);
                *out = postcard::to_extend(value, begun).map_err(|error| error.to_string())?;
                Ok(())
            }
            #[cfg(feature = "json")]
            Codec::Json => serde_json::to_writer(out, value).map_err(|error| error.to_string()),
            Codec::Custom(codec) => codec.encode(value, out).map_err(|error| error.to_string()),
        }
    }

    /// The value that all of `bytes` are.
    pub(super) fn decode<V: DeserializeOwned>(&self, bytes: &[u8], max_value: usize) -> Result<V, Miss> {
        let _ = max_value;
        match self {
            #[cfg(feature = "bincode")]
            Codec::Bincode => decode_bincode(bytes, max_value),
            #[cfg(feature = "postcard")]
            Codec::Postcard => decode_postcard(bytes, max_value),
            #[cfg(feature = "json")]
            Codec::Json => decode_json(bytes),
            Codec::Custom(codec) => decode_custom(&**codec, bytes),
        }
    }
}

impl FromStr for Codec {
    type Err = Error;

    /// The codec of that name.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] if no built-in codec has that name or this build lacks it; the message lists those it has.
    fn from_str(name: &str) -> Result<Self, Error> {
        let known = BUILT_IN.iter().find(|(known, ..)| *known == name);
        if let Some(codec) = known.and_then(|(_, id, _)| Codec::built_in(*id)) {
            return Ok(codec);
        }
        let had: Vec<_> = BUILT_IN.iter().filter(|(.., has)| *has).map(|(name, ..)| *name).collect();
        let had = if had.is_empty() { "none".to_owned() } else { had.join(", ") };
        let message = match known {
            Some(_) => format!("codec `{name}` is not in this build: switch on the feature `{name}`"),
            None => format!("unknown codec `{name}`"),
        };
        Err(Error::new(Kind::Config, format!("{message} (this build has: {had})")))
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(any(feature = "bincode", feature = "postcard", feature = "json"))]
fn refused(error: impl fmt::Display) -> Miss {
    Miss::Decode(error.to_string().into())
}

#[cfg(feature = "bincode")]
fn encode_bincode<V: Serialize>(value: &V, out: &mut Vec<u8>) -> Result<(), bincode::error::EncodeError> {
    struct Appending<'a>(&'a mut Vec<u8>);
    impl bincode::enc::write::Writer for Appending<'_> {
        #[inline]
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    bincode::serde::encode_into_writer(value, Appending(out), bincode::config::standard())
}

/// bincode's own limit is a constant of the type and counts decoded integers, not bytes: it would refuse good values or
/// allow far too much. [`Bounded`](super::bounded::Bounded) bounds by the region's `max_value` instead.
#[cfg(feature = "bincode")]
fn decode_bincode<V: DeserializeOwned>(bytes: &[u8], max_value: usize) -> Result<V, Miss> {
    use super::bounded::{Bounded, Budget};
    let budget = Budget::for_bytes(max_value);
    let seed = Bounded::new(std::marker::PhantomData::<V>, &budget);
    match bincode::serde::seed_decode_from_slice(seed, bytes, bincode::config::standard()) {
        Ok((value, taken)) if taken == bytes.len() => Ok(value),
        Ok(_) => Err(Miss::TrailingBytes),
        Err(error) => Err(refused(error)),
    }
}

#[cfg(feature = "postcard")]
fn decode_postcard<V: DeserializeOwned>(bytes: &[u8], max_value: usize) -> Result<V, Miss> {
    use super::bounded::{Bounded, Budget};
    let budget = Budget::for_bytes(max_value);
    let mut deserializer = postcard::Deserializer::from_bytes(bytes);
    let value = V::deserialize(Bounded::new(&mut deserializer, &budget)).map_err(refused)?;
    match deserializer.finalize() {
        Ok([]) => Ok(value),
        _ => Err(Miss::TrailingBytes),
    }
}

#[cfg(feature = "json")]
fn decode_json<V: DeserializeOwned>(bytes: &[u8]) -> Result<V, Miss> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = V::deserialize(&mut deserializer).map_err(refused)?;
    deserializer.end().map_err(|_| Miss::TrailingBytes)?;
    Ok(value)
}

fn decode_custom<V: DeserializeOwned>(codec: &dyn CustomCodec, bytes: &[u8]) -> Result<V, Miss> {
    let mut value = None;
    let decoded = codec.decode(bytes, &mut |deserializer| {
        value = Some(erased_serde::deserialize(deserializer)?);
        Ok(())
    });
    match (decoded, value) {
        (Ok(()), Some(value)) => Ok(value),
        (Ok(()), None) => Err(Miss::Decode("the codec made no deserializer".into())),
        (Err(error), _) => Err(Miss::Decode(error.to_string().into())),
    }
}
