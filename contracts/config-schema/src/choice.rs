/// Declares an enumeration whose values are chosen by name.
macro_rules! choices {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// The name that chooses this value.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl $crate::setting::Setting for $name {
            fn read(
                value: &$crate::tree::Value,
                _: $crate::setting::Check,
            ) -> Result<Self, Vec<$crate::setting::Wrong>> {
                match $crate::setting::text_of(value) {
                    $(Some($text) => Ok(Self::$variant),)*
                    _ => Err($crate::choice::not_a_choice(&[$($text),*])),
                }
            }
        }
    };
}
pub(crate) use choices;

pub(crate) fn not_a_choice(names: &[&str]) -> Vec<crate::setting::Wrong> {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let verb = if names.len() == 1 { "allowed is" } else { "allowed are" };
    crate::setting::Wrong::new(format!("{verb} {}", names.join(", ")))
}
