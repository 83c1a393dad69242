//! The pure scheduler: admission, queue order, deadlines, positions.
