//! The declaration of a group of settings: one line of truth per key.

/// Declares a struct of settings. Each field is the setting of the same name,
/// its doc comment the setting's documentation; `= "text"` is the default as it
/// would be written in the file (empty: unset), `for` names its scope. A setting that is read and
/// changes nothing says so: `without_effect "why"`, or `missing "why"` where what it asks for does
/// not happen.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        pub struct $Name:ident in $title:literal {
            $( $(#[doc = $doc:literal])* $key:ident: $ty:ty = $default:literal for $scope:ident $(, $effect:ident $why:literal)?; )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone)]
        pub struct $Name {
            $( $(#[doc = $doc])* pub $key: $ty, )*
        }

        impl $Name {
            pub(crate) const KEYS: &'static [$crate::registry::Key] = &[
                $( $crate::registry::Key {
                    name: stringify!($key),
                    section: $title,
                    kind: <$ty as $crate::values::Setting>::KIND,
                    default: $default,
                    secret: <$ty as $crate::values::Setting>::SECRET,
                    scope: $crate::registry::Scope::$scope,
                    effect: $crate::section::effect!($($effect $why)?),
                    doc: concat!($($doc, "\n"),*),
                }, )*
            ];

            /// `None` when a value could not be read; the reader knows the problems.
            pub(crate) fn read(reader: &mut $crate::reader::Reader<'_>) -> Option<Self> {
                // Every field is read before any is given up on, so that all
                // problems are found in one go.
                $( let $key = reader.read::<$ty>(stringify!($key), $default); )*
                Some(Self { $( $key: $key?, )* })
            }
        }
    };
}

/// What setting a key does.
macro_rules! effect {
    () => {
        $crate::registry::Effect::Full
    };
    (without_effect $why:literal) => {
        $crate::registry::Effect::None($why)
    };
    (missing $why:literal) => {
        $crate::registry::Effect::Missing($why)
    };
}

pub(crate) use {effect, section};
