/// Declares a section: each key once, with its meaning, type, default and what is allowed (`, low..=high`
/// for numbers, `=> form` for texts).
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $type:ty = $default:expr $(, $low:literal..=$high:literal)? $(=> $form:path)?;
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "schema", schemars(default, deny_unknown_fields))]
        pub struct $name {
            $(
                $(#[$field_meta])*
                $(#[cfg_attr(feature = "schema", schemars(range(min = $low, max = $high)))])?
                pub $field: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            pub(crate) fn read(reader: &mut $crate::reader::Reader<'_>) -> Self {
                let default = Self::default();
                Self {
                    $($field: reader
                        .get(
                            stringify!($field),
                            $crate::settings::check!($($low..=$high)? $($form)?),
                        )
                        .unwrap_or(default.$field),)*
                }
            }
        }
    };
}

macro_rules! check {
    () => {
        $crate::setting::Check::Any
    };
    ($low:literal..=$high:literal) => {
        $crate::setting::Check::Within($low, $high)
    };
    ($form:path) => {
        $crate::setting::Check::Form($form)
    };
}

pub(crate) use {check, settings};
