//! How the agent writes its log: `log:`. Always to standard error; who keeps and rotates it is the
//! service manager's matter.

use super::section::{Section, Unknown};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub level: tracing::Level,
    pub shape: LogShape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogShape {
    Text,
    Json,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            level: tracing::Level::INFO,
            shape: LogShape::Text,
        }
    }
}

pub fn read(root: &Section<'_>) -> Log {
    let mut log = Log::default();
    let Some(section) = root.section("log") else {
        return log;
    };
    if let Some(level) = section.text("level") {
        match level.to_uppercase().as_str() {
            "TRACE" => log.level = tracing::Level::TRACE,
            "DEBUG" => log.level = tracing::Level::DEBUG,
            "INFO" => log.level = tracing::Level::INFO,
            "WARN" | "WARNING" => log.level = tracing::Level::WARN,
            "ERROR" | "FATAL" | "CRITICAL" => log.level = tracing::Level::ERROR,
            _ => section.wrong(
                "level",
                format!("expected DEBUG, INFO, WARNING, ERROR or CRITICAL, found `{level}`"),
                "write one of these",
            ),
        }
    }
    if let Some(shape) = section.text("type") {
        match shape.as_str() {
            "plain" => log.shape = LogShape::Text,
            "json" => log.shape = LogShape::Json,
            _ => section.wrong(
                "type",
                format!("expected plain or json, found `{shape}`"),
                "write plain or json",
            ),
        }
    }
    for key in ["dir", "file_num", "file_size", "mode", "max_queue_size"] {
        section.without_effect(key, "the log goes to standard error");
    }
    for key in [
        "format",
        "dateformat",
        "static_fields",
        "traceback_level",
        "loggers",
        "deduplicate_heartbeat_logs",
    ] {
        section.without_effect(key, "the log has one fixed form, text or JSON");
    }
    section.finish(Unknown::Warn);
    log
}
