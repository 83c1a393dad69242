// The blocks of the guide are documentation tests of this module, which exists for nothing else.
#![doc = include_str!("../../../docs/guides/critics.md")]
