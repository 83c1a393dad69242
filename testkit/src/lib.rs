//! The scripted engine and other parts that tests share.
