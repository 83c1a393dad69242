use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::money::MicroDollars;

/// A time as files have it: a number and `ns`, `us`, `ms`, `s`, `m` or `h`.
///
/// ```
/// use std::time::Duration;
/// use critic_executor::config::Time;
///
/// assert_eq!("1.5s".parse(), Ok(Time(Duration::from_millis(1500))));
/// assert_eq!(Time(Duration::from_millis(250)).to_string(), "250ms");
/// assert!("10".parse::<Time>().is_err(), "ten of what?");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(
    /// The time.
    pub Duration,
);

impl std::str::FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("`{text}` is no time; write a number and ns, us, ms, s, m or h");
        let text_of_unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = text.strip_suffix(text_of_unit).ok_or_else(fail)?;
        let unit_ns: u64 = match text_of_unit.trim_start() {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60 * 1_000_000_000,
            "h" => 3600 * 1_000_000_000,
            _ => return Err(fail()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            let ns = whole.checked_mul(unit_ns).ok_or_else(fail)?;
            return Ok(Self(Duration::from_nanos(ns)));
        }
        let number: f64 = number.parse().ok().ok_or_else(fail)?;
        let seconds = number * unit_ns as f64 / 1e9;
        Duration::try_from_secs_f64(seconds).ok().map(Self).ok_or_else(fail)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
        match units.iter().find(|(unit, _)| ns.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", ns / unit),
            None => write!(f, "{ns}ns"),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A limit, or the word `none` where there is to be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    /// So much.
    At(T),
    /// No limit.
    None,
}

impl<T> Limit<T> {
    /// The limit, if there is one.
    pub fn get(self) -> Option<T> {
        match self {
            Self::At(limit) => Some(limit),
            Self::None => None,
        }
    }
}

impl<T: Serialize> Serialize for Limit<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(limit) => limit.serialize(serializer),
            Self::None => serializer.serialize_str("none"),
        }
    }
}

impl<'de> Deserialize<'de> for Limit<Time> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "none" => Ok(Self::None),
            text => text.parse().map(Self::At).map_err(de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Limit<usize> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl Visitor<'_> for Count {
            type Value = Limit<usize>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or \"none\"")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Limit<usize>, E> {
                usize::try_from(number).map(Limit::At).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Limit<usize>, E> {
                usize::try_from(number).map(Limit::At).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit<usize>, E> {
                match text {
                    "none" => Ok(Limit::None),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Count)
    }
}

/// An amount of money as files have it: dollars, not negative, kept in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dollars(
    /// The amount.
    pub MicroDollars,
);

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.0 as f64 / 1e6)
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        if !dollars.is_finite() || dollars < 0.0 {
            return Err(de::Error::custom(format!("{dollars} dollars cannot be spent")));
        }
        Ok(Self(MicroDollars::from_dollars(dollars)))
    }
}
