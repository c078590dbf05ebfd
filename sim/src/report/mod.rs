//! Reports: a run told to people, as text columns, as a picture, and many runs as tables.

pub mod coverage;
pub mod junit;
pub mod notes;
pub mod story;
pub mod swimlane;
pub mod timeline;
pub mod words;
