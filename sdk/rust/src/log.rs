//! Lines for people: `althing logs PROGRAM` shows them. They are no part of the state.
//!
//! Use the macros [`debug!`](crate::debug!), [`info!`](crate::info!), [`warn!`](crate::warn!) and
//! [`error!`](crate::error!).

use crate::host;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For who looks for a defect.
    Debug,
    /// What happened.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

/// Logs a line. A call may log 16 KiB; the rest is dropped.
pub fn log(level: Level, text: &str) {
    host::log(level, text);
}

macro_rules! levels {
    ($($name:ident $level:ident,)*) => { levels! { ($) $($name $level,)* } };
    (($d:tt) $($name:ident $level:ident,)*) => {
        $(
            #[doc = concat!("Logs a formatted line at the level [`", stringify!($level), "`](log::Level::", stringify!($level), ").")]
            #[macro_export]
            macro_rules! $name {
                ($d($d text:tt)*) => {
                    $crate::log::log($crate::log::Level::$level, &::std::format!($d($d text)*))
                };
            }
        )*
    };
}

levels! { debug Debug, info Info, warn Warn, error Error, }
