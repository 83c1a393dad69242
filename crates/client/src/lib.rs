//! Typed client of the native API that reconnects and resumes.
