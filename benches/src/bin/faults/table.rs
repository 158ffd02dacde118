//! The table: a case a row, an SDK a column.

use std::process::ExitCode;

use serde_json::json;

/// How it is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Text,
    Markdown,
    Json,
}

/// One case.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) typescript: String,
    pub(crate) ours: String,
    /// Whether ours does what it promises; `None` where nothing is promised.
    pub(crate) kept: Option<bool>,
}

impl Row {
    pub(crate) fn new(
        case: impl Into<String>,
        typescript: impl Into<String>,
        ours: impl Into<String>,
    ) -> Self {
        let row = Self { case: case.into(), typescript: typescript.into(), ours: ours.into(), kept: None };
        eprintln!("{}: {} | {}", row.case, row.typescript, row.ours);
        row
    }

    /// Sets whether ours did what it promises.
    pub(crate) fn kept(mut self, kept: bool) -> Self {
        self.kept = Some(kept);
        self
    }
}

/// Prints the rows, and fails when a promise wasn't kept.
pub(crate) fn print(rows: &[Row], version: &str, format: Format) -> ExitCode {
    if let Format::Markdown = format {
        println!("| case | TypeScript SDK {version} | this SDK |\n| --- | --- | --- |");
    }
    for Row { case, typescript, ours, kept } in rows {
        match format {
            Format::Text => {
                println!("{case}\n  TypeScript SDK {version}: {typescript}\n  this SDK: {ours}\n")
            }
            Format::Markdown => println!("| {case} | {typescript} | {ours} |"),
            Format::Json => {
                println!("{}", json!({"case": case, "typescript": typescript, "ours": ours, "ok": kept}));
            }
        }
    }
    let broken = broken(rows);
    for row in &broken {
        eprintln!("not as promised: {}: {}", row.case, row.ours);
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn broken(rows: &[Row]) -> Vec<&Row> {
    rows.iter().filter(|row| row.kept == Some(false)).collect()
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::{Row, broken, thousands};

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([7, 999, 1_000, 1_000_000].map(thousands), ["7", "999", "1,000", "1,000,000"]);
    }

    #[test]
    fn a_row_is_broken_that_did_not_keep_its_promise() {
        let row = |name| Row::new(name, "", "");
        let rows = [row("none"), row("kept").kept(true), row("broken").kept(false)];
        assert_eq!(broken(&rows).iter().map(|row| row.case.as_str()).collect::<Vec<_>>(), ["broken"]);
    }
}
